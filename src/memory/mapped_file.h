// A file mapped read-only: how weights are read without a copy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace qvl {

/// A regular file mapped read-only for as long as the object lives. Movable, immutable, thread-safe.
class MappedFile {
 public:
  /// Throws Error{model_file} naming the file and the cause (errno text, a folder, a FIFO). An empty file
  /// maps to an empty span.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

  /// Throws Error{model_file} "changed while loading" where size, time of change or inode differ from those
  /// at opening.
  void check_unchanged() const;
  /// Lets the system take back the whole pages among `part`, where it lies in this file; they are read again
  /// when they are used.
  void release(std::span<const std::byte> part) const;
  /// Size and time of change at opening.
  std::string fingerprint() const;

 private:
  struct Identity {
    uint64_t device = 0, inode = 0, size = 0;
    int64_t modified_ns = 0;
    bool operator==(const Identity&) const = default;
  };
  static Identity identity_of(const std::filesystem::path& path);

  std::filesystem::path path_;
  Identity identity_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace qvl
