#include "memory/page_size.h"

#include <unistd.h>

namespace qvl {

uint64_t page_size() {
  static const long size = ::sysconf(_SC_PAGESIZE);
  return size > 0 ? static_cast<uint64_t>(size) : 4096;
}

uint64_t whole_pages(uint64_t bytes) { return (bytes + page_size() - 1) / page_size() * page_size(); }

}  // namespace qvl
