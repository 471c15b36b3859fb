// A look at the machine as lines of text. Writes nothing.
#pragma once

#include <string>
#include <vector>

#include "qvl/monitor.h"
#include "terminal.h"

namespace qvl::cli {

/// Lines for a whole screen, at most as many and as wide as it has; colours take no columns.
std::vector<std::string> screen_lines(const MachineView& view, ScreenSize size, Colours colours);

/// One line for a file or a pipe.
std::string plain_line(const MachineView& view);

}  // namespace qvl::cli
