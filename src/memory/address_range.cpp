#include "memory/address_range.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace qvl {

AddressRange::AddressRange(uint64_t bytes) : size_(whole_pages(bytes)) {
  if (size_ == 0) return;
  void* address = ::mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    fail(errno == ENOMEM ? ErrorCode::limit : ErrorCode::environment,
         "cannot set aside {} bytes of addresses: {}", size_, std::strerror(errno));
  }
  data_ = static_cast<std::byte*>(address);
}

AddressRange::~AddressRange() {
  watch_ = FileWatch();  // a range is guarded while it is mapped, not longer
  if (data_ != nullptr) ::munmap(data_, size_);
}

AddressRange::AddressRange(AddressRange&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      watch_(std::move(other.watch_)) {}

bool AddressRange::back_with_memory(uint64_t bytes, HugePages huge_pages) {
  QVL_CHECK(bytes <= size_);
  if (bytes == 0) return true;
  watch_ = FileWatch();  // a file that was here goes
  void* address = ::mmap(data_, whole_pages(bytes), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (address == MAP_FAILED) return false;
  if (huge_pages == HugePages::advised) {
    ::madvise(address, whole_pages(bytes), MADV_HUGEPAGE);  // advice: nothing is lost without
  }
  return true;
}

bool AddressRange::back_with_file(int fd, uint64_t bytes, Access access) {
  QVL_CHECK(bytes > 0 && bytes <= size_);
  FileDescriptor watched(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!watched) return false;
  const int protection = access == Access::write ? PROT_READ | PROT_WRITE : PROT_READ;
  void* address = ::mmap(data_, whole_pages(bytes), protection, MAP_SHARED | MAP_FIXED, fd, 0);
  if (address == MAP_FAILED) return false;
  watch_ = FileWatch(std::move(watched), {data_, bytes}, access);
  return true;
}

void AddressRange::make_read_only(uint64_t bytes) {
  if (bytes > 0) ::mprotect(data_, whole_pages(bytes), PROT_READ);
}

}  // namespace qvl
