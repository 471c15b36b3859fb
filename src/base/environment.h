// The process environment: read here and nowhere else.
#pragma once

#include <optional>
#include <string>

namespace qvl {

/// The value of a variable that is set and not empty.
std::optional<std::string> environment_variable(const char* name);

}  // namespace qvl
