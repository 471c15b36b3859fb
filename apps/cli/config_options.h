// The configuration of the system layer on the command line: a file, and an option for each field over it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

#include "qvl/config_fields.h"

namespace qvl::cli {

struct ConfigArgs {
  std::string file = {};                                             ///< --config; empty: none
  std::vector<std::pair<const ConfigField*, std::string>> values{};  ///< of options, checked

  /// What fits this machine, the file over it, the options over both, in whatever order they were given.
  /// Throws Error{usage} for the file.
  SystemOptimizationConfig config() const;
};

/// --config alone.
void add_config_file(CLI::App& command, ConfigArgs& args);
/// --config and the options made from the table of fields.
void add_config(CLI::App& command, ConfigArgs& args);

}  // namespace qvl::cli
