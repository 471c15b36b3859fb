// The answer to a request for memory: what was asked for, or why not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/error.h"
#include "memory/memory_part.h"

namespace qvl {

/// Why there is no memory. An expected outcome: whoever asked waits, asks for less, or tells its caller.
struct MemoryRefusal {
  enum class Cause {
    limit,   ///< the cap of the ledger would be passed
    system,  ///< the ledger had room, but the system had no memory
  };
  Cause cause = Cause::limit;
  MemoryPart part = MemoryPart::other;  ///< of several, the one that asked for most
  uint64_t asked_bytes = 0;
  uint64_t free_bytes = 0;     ///< below the cap, when it was refused
  uint64_t missing_bytes = 0;  ///< what would have to be given back before the same request fits
  std::string message;         ///< one line that starts with kBegins, with what each part holds
  static constexpr std::string_view kBegins = "not enough memory for ";
};

/// A T, or a refusal. Thread-compatible.
template <typename T>
class [[nodiscard]] Grant {
 public:
  Grant(T value) : answer_(std::in_place_index<0>, std::move(value)) {}                  // NOLINT: a value
  Grant(MemoryRefusal refusal) : answer_(std::in_place_index<1>, std::move(refusal)) {}  // NOLINT: or not

  explicit operator bool() const { return answer_.index() == 0; }
  T& operator*() & { return *value(); }
  T&& operator*() && { return std::move(*value()); }
  T* operator->() { return value(); }
  /// Only where there is no value.
  const MemoryRefusal& refusal() const {
    QVL_CHECK(answer_.index() == 1);
    return *std::get_if<1>(&answer_);
  }
  /// The value; throws MemoryShortage with the refusal's message, which follows `what_for`, where there is
  /// none.
  T take_for(std::string_view what_for) && {
    if (answer_.index() == 1) fail_short_of_memory("{}: {}", what_for, refusal().message);
    return std::move(*value());
  }

 private:
  T* value() {
    QVL_CHECK(answer_.index() == 0);
    return std::get_if<0>(&answer_);
  }
  std::variant<T, MemoryRefusal> answer_;
};

}  // namespace qvl
