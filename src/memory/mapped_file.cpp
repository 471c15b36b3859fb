#include "memory/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "base/error.h"
#include "memory/page_size.h"

namespace qvl {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, const char* what) {
  fail(ErrorCode::model_file, "{}: {}: {}", path.string(), what, std::strerror(errno));
}

int64_t nanoseconds(const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

int64_t system_time_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return nanoseconds(now);
}

// Longer than the ticks in which kernels and file systems count times of change.
constexpr int64_t kTooLate_ns = 2'000'000'000;

}  // namespace

MappedFile::Identity MappedFile::identity_from(const struct stat& info) {
  return {.device = info.st_dev,
          .inode = info.st_ino,
          .size = static_cast<uint64_t>(info.st_size),
          .modified_ns = nanoseconds(info.st_mtim)};
}

MappedFile::Identity MappedFile::identity_of(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) refuse(path, "cannot open");
  if (!S_ISREG(info.st_mode)) {
    fail(ErrorCode::model_file, "{}: found a {}, expected a regular file", path.string(),
         S_ISDIR(info.st_mode) ? "folder" : "special file");
  }
  return identity_from(info);
}

MappedFile::MappedFile(const std::filesystem::path& path)
    : path_(path), identity_(identity_of(path)), opened_ns_(system_time_ns()) {
  if (identity_.size == 0) return;
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) refuse(path, "cannot open");
  struct stat opened {};
  if (::fstat(file.get(), &opened) != 0) refuse(path, "cannot open");
  if (identity_from(opened) != identity_) refuse_as_changed();
  changed_ns_ = nanoseconds(opened.st_ctim);
  void* address = ::mmap(nullptr, identity_.size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED && errno == ENOMEM) {  // a limit of addresses (ulimit -v), not the file's fault
    fail(ErrorCode::limit, "{}: cannot map its {} bytes: {}", path.string(), identity_.size,
         std::strerror(errno));
  }
  if (address == MAP_FAILED) refuse(path, "cannot map");
  data_ = static_cast<const std::byte*>(address);
  size_ = identity_.size;
  watch_ = FileWatch(std::move(file), bytes(), FaultGuard::Access::read);
}

MappedFile::~MappedFile() {
  watch_ = FileWatch();  // a mapping is guarded while it is there, not longer
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      identity_(other.identity_),
      changed_ns_(other.changed_ns_),
      opened_ns_(other.opened_ns_),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      watch_(std::move(other.watch_)) {}

void MappedFile::advise(std::span<const std::byte> part, Pages pages, int advice) const {
  if (data_ == nullptr || part.data() < data_ || part.data() + part.size() > data_ + size_) return;
  const uint64_t page = page_size();
  const auto offset = static_cast<uint64_t>(part.data() - data_);
  uint64_t begin = offset / page * page, end = offset + part.size();
  if (pages == Pages::filled) {
    begin = whole_pages(offset);
    end = end / page * page;
  }
  if (begin < end) ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, advice);
}

void MappedFile::read_ahead(std::span<const std::byte> part) const {
  advise(part, Pages::touched, MADV_WILLNEED);
}

void MappedFile::expect_sequential(std::span<const std::byte> part) const {
  advise(part, Pages::touched, MADV_SEQUENTIAL);
}

void MappedFile::release(std::span<const std::byte> part) const {
  advise(part, Pages::filled, MADV_DONTNEED);
}

std::optional<std::string> MappedFile::fingerprint() const {
  if (changed_ns_ > opened_ns_ - kTooLate_ns) return std::nullopt;
  return fmt::format("inode {}, {} bytes, modified {}, changed {}", identity_.inode, identity_.size,
                     identity_.modified_ns, changed_ns_);
}

void MappedFile::check_unchanged() const {
  if (identity_of(path_) != identity_) refuse_as_changed();
}

void MappedFile::refuse_as_changed() const {
  fail(ErrorCode::model_file, "{}: the file changed while loading", path_.string());
}

}  // namespace qvl
