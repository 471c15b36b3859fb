// Numbers of a request that are out of their range, told in one form.
#pragma once

#include <string_view>

#include "base/error.h"

namespace qvl {

/// Throws Error{usage} "NAME: found 0, expected 1 to 10".
template <typename Number>
void check_range(std::string_view name, Number value, Number min, Number max) {
  // Written so that a value that is no number fails too.
  if (!(value >= min && value <= max)) {
    fail(ErrorCode::usage, "{}: found {}, expected {} to {}", name, value, min, max);
  }
}

}  // namespace qvl
