#include "ops/pack_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "memory/file_descriptor.h"

namespace qvl {
namespace {

constexpr uint64_t kPiece = 1 << 20;

struct Trailer {
  char magic[8] = {'Q', 'V', 'L', 'P', 'A', 'C', 'K', '2'};
  uint64_t bytes = 0;
  uint64_t key_hash_low = 0, key_hash_high = 0;
  uint64_t content_hash = 0;
  uint64_t own_hash = 0;  // of the fields above
};

uint64_t own_hash(const Trailer& trailer) { return XXH3_64bits(&trailer, offsetof(Trailer, own_hash)); }

// Nothing where `stop` ended it.
std::optional<uint64_t> hash_contents(std::span<const std::byte> data, ThreadPool& pool,
                                      const std::stop_token& stop) {
  ContentHash hash;
  hash.add(data, pool, stop);
  if (stop.stop_requested()) return std::nullopt;
  return hash.value();
}

Trailer trailer_for(const std::string& key, uint64_t bytes) {
  const XXH128_hash_t hash = XXH3_128bits(key.data(), key.size());
  Trailer trailer;
  trailer.bytes = bytes;
  trailer.key_hash_low = hash.low64;
  trailer.key_hash_high = hash.high64;
  return trailer;
}

bool is_of_this_version(const Trailer& trailer) {
  return std::memcmp(trailer.magic, Trailer().magic, sizeof trailer.magic) == 0;
}

// Nothing where it is no regular file.
std::optional<uint64_t> file_bytes(int fd) {
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  return static_cast<uint64_t>(info.st_size);
}

bool read_trailer(int fd, uint64_t bytes, Trailer& out) {
  return file_bytes(fd) == whole_pages(bytes) + sizeof(Trailer) &&
         ::pread(fd, &out, sizeof out, static_cast<off_t>(whole_pages(bytes))) ==
             static_cast<ssize_t>(sizeof out);
}

}  // namespace

void ContentHash::add(std::span<const std::byte> bytes, ThreadPool& pool, const std::stop_token& stop) {
  const size_t before = pieces_.size();
  pieces_.resize(before + (bytes.size() + kPiece - 1) / kPiece);
  pool.parallel_for(pieces_.size() - before, 4, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end && !stop.stop_requested(); ++i) {
      const auto piece = bytes.subspan(i * kPiece, std::min(kPiece, bytes.size() - i * kPiece));
      pieces_[before + i] = XXH3_64bits(piece.data(), piece.size());
    }
  });
}

uint64_t ContentHash::value() const { return XXH3_64bits(pieces_.data(), pieces_.size() * sizeof(uint64_t)); }

std::string ContentHash::text() const {
  const XXH128_hash_t hash = XXH3_128bits(pieces_.data(), pieces_.size() * sizeof(uint64_t));
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

PackedFileState map_packed_file(const std::filesystem::path& path, const std::string& key, uint64_t bytes,
                                AddressRange& range, ThreadPool& pool, const std::stop_token& stop) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return PackedFileState::differs;
  if (!is_packed_file(file.get())) {
    return file_bytes(file.get()) ? PackedFileState::damaged : PackedFileState::differs;
  }
  Trailer found;
  if (!read_trailer(file.get(), bytes, found)) return PackedFileState::differs;
  Trailer expected = trailer_for(key, bytes);
  if (is_of_this_version(found) && own_hash(found) != found.own_hash) return PackedFileState::damaged;
  expected.content_hash = found.content_hash;
  expected.own_hash = own_hash(expected);
  if (std::memcmp(&found, &expected, sizeof found) != 0) return PackedFileState::differs;
  if (!range.back_with_file(file.get(), bytes, AddressRange::Access::read)) return PackedFileState::differs;
  // When it was used last, also where the disk is mounted without access times. Refused: nothing is lost.
  const struct timespec used_now[2] = {{.tv_sec = 0, .tv_nsec = UTIME_NOW},
                                       {.tv_sec = 0, .tv_nsec = UTIME_OMIT}};
  (void)!::futimens(file.get(), used_now);
  const auto hash = hash_contents({range.data(), bytes}, pool, stop);
  if (!hash) return PackedFileState::differs;
  return *hash == found.content_hash ? PackedFileState::fits : PackedFileState::damaged;
}

bool is_packed_file(int fd) {
  // The last figure of the magic is the version; the trailer of each begins the last page and does not fill
  // it.
  constexpr std::string_view magic = "QVLPACK";
  const auto size = file_bytes(fd);
  if (!size) return false;
  const uint64_t trailer = *size / page_size() * page_size();
  std::string found(magic.size(), '\0');
  const auto read = ::pread(fd, found.data(), found.size(), static_cast<off_t>(trailer));
  return read == static_cast<ssize_t>(magic.size()) && found == magic;
}

PackedFileWriter::PackedFileWriter(const std::filesystem::path& path, uint64_t bytes, AddressRange& range)
    : path_(path), bytes_(bytes) {
  open_file(range);
}

void PackedFileWriter::open_file(AddressRange& range) {
  std::error_code error;
  std::filesystem::create_directories(path_.parent_path(), error);
  // A file without a name is gone when the process is, however it ends. Not every file system has them.
  fd_ = ::open(path_.parent_path().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd_ < 0) {
    std::string name = path_.string() + ".XXXXXX";
    fd_ = ::mkostemp(name.data(), O_CLOEXEC);
    if (fd_ < 0) return refuse(std::strerror(errno));
    temporary_ = name;
  }
  // Space is taken now: a full disk must be an answer here, not a signal while writing.
  const int full = ::posix_fallocate(fd_, 0, static_cast<off_t>(whole_pages(bytes_) + sizeof(Trailer)));
  if (full != 0) return refuse(std::strerror(full));
  if (!range.back_with_file(fd_, bytes_, AddressRange::Access::write)) refuse(std::strerror(errno));
}

PackedFileWriter::~PackedFileWriter() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  if (fd_ >= 0) ::close(fd_);
}

void PackedFileWriter::refuse(const std::string& what) {
  problem_ = fmt::format("{}: cannot write: {}", path_.string(), what);
}

// A file without a name gets one beside the final one: linking alone cannot replace a file.
bool PackedFileWriter::give_name() {
  if (!temporary_.empty()) return true;
  const std::string name = fmt::format("{}.{}", path_.string(), ::getpid());
  ::unlink(name.c_str());
  const std::string self = fmt::format("/proc/self/fd/{}", fd_);
  if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0) return false;
  temporary_ = name;
  return true;
}

bool PackedFileWriter::commit(const std::string& key, const AddressRange& range, ThreadPool& pool,
                              const std::stop_token& stop) {
  const auto content_hash = hash_contents({range.data(), bytes_}, pool, stop);
  if (!content_hash) fail(ErrorCode::cancelled, "{}: writing was stopped", path_.string());
  Trailer trailer = trailer_for(key, bytes_);
  trailer.content_hash = *content_hash;
  trailer.own_hash = own_hash(trailer);
  const auto written = ::pwrite(fd_, &trailer, sizeof trailer, static_cast<off_t>(whole_pages(bytes_)));
  if (written != static_cast<ssize_t>(sizeof trailer) || !give_name() ||
      ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    refuse(std::strerror(errno));
    return false;
  }
  temporary_.clear();
  return true;
}

}  // namespace qvl
