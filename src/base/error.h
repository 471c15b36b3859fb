// Throwing qvl::Error with a formatted message, and checks for our own bugs.
#pragma once

#include <fmt/format.h>

#include <utility>

#include "qvl/error.h"

namespace qvl {

/// Throws Error{code, formatted message}. For bad input and for limits, never for our own bugs.
template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

/// ErrorCode::limit, where an account refused memory that others may give back. For whoever can wait; to all
/// others an Error.
class MemoryShortage : public Error {
 public:
  explicit MemoryShortage(const std::string& message) : Error(ErrorCode::limit, message) {}
};

/// Throws MemoryShortage{formatted message}.
template <typename... Args>
[[noreturn]] void fail_short_of_memory(fmt::format_string<Args...> format, Args&&... args) {
  throw MemoryShortage(fmt::format(format, std::forward<Args>(args)...));
}

/// `text` made fit for one line of an error message: control characters and bytes that are no UTF-8 escaped,
/// at most `max_bytes` bytes shown.
std::string printable(std::string_view text, size_t max_bytes = 120);

namespace detail {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}

}  // namespace qvl

/// Stops the program where `condition` is false: a bug of ours. Outside input never reaches a check.
#define QVL_CHECK(condition)                                       \
  do {                                                             \
    if (!(condition)) {                                            \
      ::qvl::detail::check_failed(#condition, __FILE__, __LINE__); \
    }                                                              \
  } while (false)
