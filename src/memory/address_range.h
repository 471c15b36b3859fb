// Addresses set aside before it is known what memory will stand behind them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "memory/file_watch.h"
#include "memory/page_size.h"
#include "memory/system_memory.h"

namespace qvl {

/// A range of addresses without memory, into which memory or a file is put once. Pointers into it are final
/// from the start. Thread-compatible.
class AddressRange {
 public:
  /// Throws Error{limit} where a limit leaves no such addresses (ulimit -v).
  explicit AddressRange(uint64_t bytes);
  ~AddressRange();
  AddressRange(AddressRange&& other) noexcept;
  AddressRange& operator=(AddressRange&&) = delete;

  std::byte* data() const { return data_; }
  uint64_t size() const { return size_; }

  /// Memory of zeros behind the first `bytes`. False where there is none.
  bool back_with_memory(uint64_t bytes, HugePages huge_pages);
  /// The first `bytes` of an open file; with Access::write writes go to it. False where the system refuses.
  /// The file is watched from now on; it may be closed.
  using Access = FaultGuard::Access;
  bool back_with_file(int fd, uint64_t bytes, Access access);
  /// From now on the first `bytes` can only be read.
  void make_read_only(uint64_t bytes);
  /// Whether the file behind the range shrank, was written to by others or could not be read: its bytes must
  /// not be used any more. Asked after each step, before a result leaves. Thread-safe.
  bool damaged() const { return watch_.damaged(); }
  /// Throws Error{model_file} that names the file by `path` where the range is damaged.
  void check_undamaged(const std::filesystem::path& path) const { watch_.check(path); }

 private:
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
  FileWatch watch_;
};

}  // namespace qvl
