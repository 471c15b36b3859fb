// A file mapped read-only: how weights are read without a copy.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "memory/file_watch.h"

namespace qvl {

/// A regular file mapped read-only for as long as the object lives. A file that shrinks meanwhile reads as
/// zeros from there on, and is damaged: ask before a result leaves. Movable, immutable, thread-safe.
class MappedFile {
 public:
  /// What the system maps at most around a page that is touched: fault_around_bytes of Linux.
  static constexpr uint64_t kMappedAround = 64 << 10;

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
  /// Whether the file shrank, was written to or could not be read since it was opened: its bytes must not be
  /// used any more. A file that was replaced by a rename is not damaged. Costs one fstat.
  bool damaged() const { return watch_.damaged(); }
  /// Throws Error{model_file} "PATH: changed while in use: found N bytes, expected M" where the file is
  /// damaged.
  void check_undamaged() const { watch_.check(path_); }
  /// Whether a file that shrinks is survived: false for an empty file and beyond FaultGuard::kMost mappings.
  bool guarded() const { return watch_.guarded(); }

  /// Tells the system that `part` is needed soon: reading starts now, and the caller does not wait. Advice,
  /// as the following two; a part that is not in this file is ignored.
  void read_ahead(std::span<const std::byte> part) const;
  /// Tells the system that `part` is read once from front to back: it reads far ahead and drops what was
  /// read.
  void expect_sequential(std::span<const std::byte> part) const;
  /// Lets the system take back the whole pages among `part`, where it lies in this file; they are read again
  /// when they are used.
  void release(std::span<const std::byte> part) const;
  /// Inode, size and times of change at opening, also the one that no program can set back. Nothing where
  /// that was so lately that another change could bear the same time.
  std::optional<std::string> fingerprint() const;

 private:
  struct Identity {
    uint64_t device = 0, inode = 0, size = 0;
    int64_t modified_ns = 0;
    bool operator==(const Identity&) const = default;
  };
  static Identity identity_from(const struct stat& info);
  static Identity identity_of(const std::filesystem::path& path);
  [[noreturn]] void refuse_as_changed() const;
  // Advice about the pages of `part`: all that it touches, or only those it fills.
  enum class Pages { touched, filled };
  void advise(std::span<const std::byte> part, Pages pages, int advice) const;

  std::filesystem::path path_;
  Identity identity_;
  int64_t changed_ns_ = 0;  // the last change of contents or attributes: programs cannot set it
  int64_t opened_ns_ = 0;   // by the same clock
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  FileWatch watch_;
};

}  // namespace qvl
