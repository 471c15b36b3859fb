// Addresses set aside before it is known what memory will stand behind them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qvl {

/// A range of addresses without memory, into which memory or a file is put once. Pointers into it are final
/// from the start. Thread-compatible.
class AddressRange {
 public:
  /// Throws Error{environment} where there are no such addresses.
  explicit AddressRange(uint64_t bytes);
  ~AddressRange();
  AddressRange(AddressRange&& other) noexcept;
  AddressRange& operator=(AddressRange&&) = delete;

  std::byte* data() const { return data_; }
  uint64_t size() const { return size_; }

  /// Memory of zeros behind the first `bytes`, in huge pages where the system has them. False where there is
  /// none.
  bool back_with_memory(uint64_t bytes);
  /// The first `bytes` of an open file; writes go to it where `writable`. False where the system refuses.
  enum class Access { read, write };
  bool back_with_file(int fd, uint64_t bytes, Access access);
  /// From now on the first `bytes` can only be read.
  void make_read_only(uint64_t bytes);

 private:
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
};

/// A multiple of the page size, at least `bytes`.
uint64_t whole_pages(uint64_t bytes);

}  // namespace qvl
