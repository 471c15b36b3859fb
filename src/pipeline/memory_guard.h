// Exhausted memory as an error of the request instead of a foreign exception.
#pragma once

#include <new>
#include <stdexcept>
#include <string_view>

#include "base/error.h"
#include "memory/memory_home.h"

namespace qvl {

/// Runs `body`; where memory runs out throws Error{limit} "not enough memory WHAT_FOR", followed by what the
/// ledger says where it was that which refused. Other exceptions pass.
template <typename Body>
auto with_memory_for(std::string_view what_for, Body&& body) {
  try {
    return body();
  } catch (const MemoryRefused& refused) {
    fail(ErrorCode::limit, "not enough memory {}: {}", what_for, refused.what());
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::limit, "not enough memory {}", what_for);
  } catch (const std::length_error&) {  // a container asked for more than there can be
    fail(ErrorCode::limit, "not enough memory {}", what_for);
  }
}

}  // namespace qvl
