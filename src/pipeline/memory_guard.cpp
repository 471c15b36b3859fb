#include "pipeline/memory_guard.h"

#include "base/error.h"

namespace qvl {

void detail::fail_for_memory(FunctionRef<std::string()> what_for, std::string_view cause) {
  try {
    if (cause.empty()) fail(ErrorCode::limit, "not enough memory {}", what_for());
    if (cause.starts_with(MemoryRefusal::kBegins))
      cause.remove_prefix(MemoryRefusal::kBegins.size());  // it is said already
    fail_short_of_memory("not enough memory {}: {}", what_for(), cause);
  } catch (const std::bad_alloc&) {
    throw Error::out_of_memory();
  }
}

std::exception_ptr as_error(const std::exception_ptr& error, std::string_view what_for) noexcept {
  try {
    with_memory_for(what_for, [&] { std::rethrow_exception(error); });
  } catch (...) {
    return std::current_exception();
  }
  return error;
}

bool is_memory_shortage(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const MemoryShortage&) {
    return true;
  } catch (const MemoryRefused&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace qvl
