// Exhausted memory as an error of the request instead of a foreign exception.
#pragma once

#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/function_ref.h"
#include "memory/memory_home.h"

namespace qvl {

namespace detail {
/// Throws MemoryShortage "not enough memory WHAT_FOR: CAUSE", without the words of a cause that say so again;
/// without a cause Error{limit}; without both where there is no memory for them.
[[noreturn]] void fail_for_memory(FunctionRef<std::string()> what_for, std::string_view cause);
}  // namespace detail

/// Runs `body`; where memory runs out throws Error{limit} "not enough memory WHAT_FOR", followed by what the
/// ledger says where it was that which refused. Other exceptions pass. `what_for` is a text, or a callable
/// that makes it and is called only then: a step that goes well puts no text together.
template <typename WhatFor, typename Body>
auto with_memory_for(const WhatFor& what_for, Body&& body) {
  const auto text = [&] {
    if constexpr (std::is_invocable_v<const WhatFor&>) {
      return std::string(what_for());
    } else {
      return std::string(std::string_view(what_for));
    }
  };
  try {
    return body();
  } catch (const MemoryRefused& refused) {
    detail::fail_for_memory(text, refused.what());
  } catch (const std::bad_alloc&) {
    detail::fail_for_memory(text, "");
  } catch (const std::length_error&) {  // a container asked for more than there can be
    detail::fail_for_memory(text, "");
  }
}

/// `error` as it leaves the library: exhausted memory as with_memory_for tells of it, all else as it is.
std::exception_ptr as_error(const std::exception_ptr& error, std::string_view what_for) noexcept;

/// Whether the account refused memory, as a MemoryShortage or on the way to one: others may give it back.
bool is_memory_shortage(const std::exception_ptr& error) noexcept;

}  // namespace qvl
