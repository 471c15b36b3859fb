// A source of memory that counts, and that refuses when a test wants it to. Only for tests.
#pragma once

#include <charconv>
#include <cstdint>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/error.h"
#include "memory/system_memory.h"

namespace qvl {

/// Whether the kernel was advised to put the mapping around `data` into huge pages; nothing where it does not
/// tell.
inline std::optional<bool> advised_huge(const std::byte* data) {
  const auto address = reinterpret_cast<uintptr_t>(data);
  std::ifstream maps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    uintptr_t first = 0, last = 0;  // "7f0000000000-7f0000400000 rw-p ..."
    const char* const end = line.data() + line.size();
    const auto begin = std::from_chars(line.data(), end, first, 16);
    if (begin.ptr != end && *begin.ptr == '-' &&
        std::from_chars(begin.ptr + 1, end, last, 16).ec == std::errc()) {
      inside = first <= address && address < last;
    }
    if (inside && line.starts_with("VmFlags:")) return (line + ' ').find(" hg ") != std::string::npos;
  }
  return std::nullopt;
}

/// Heap memory with an account of what is out. Thread-safe.
class CountedMemory final : public SystemMemory {
 public:
  ~CountedMemory() override { QVL_CHECK(blocks_.empty()); }

  enum class Failing { once, from_then_on };
  /// The `n`-th call from now on, counted from 1, gets nothing.
  void fail_at(uint64_t n, Failing failing) {
    const std::lock_guard lock(mutex_);
    fail_at_ = calls_ + n;
    failing_ = failing;
  }
  /// The same from then on, until `over`.
  void fail_at(uint64_t n, std::function<bool()> over) {
    fail_at(n, Failing::from_then_on);
    over_ = std::move(over);
  }
  void fail_never() {
    const std::lock_guard lock(mutex_);
    fail_at_ = 0;
    over_ = nullptr;
  }

  std::byte* allocate(uint64_t bytes) noexcept override {
    const std::lock_guard lock(mutex_);
    ++calls_;
    if (fails()) return nullptr;
    std::byte* data = source_.allocate(bytes);
    blocks_[data] = bytes;
    bytes_ += bytes;
    return data;
  }
  void release(std::byte* data, uint64_t bytes) noexcept override {
    const std::lock_guard lock(mutex_);
    const auto found = blocks_.find(data);
    QVL_CHECK(found != blocks_.end() && found->second == bytes);
    blocks_.erase(found);
    bytes_ -= bytes;
    source_.release(data, bytes);
  }

  uint64_t calls() const { return locked(calls_); }
  uint64_t bytes() const { return locked(bytes_); }  ///< not released yet

 private:
  bool fails() const {
    if (fail_at_ == 0 || calls_ < fail_at_ || (over_ && over_())) return false;
    return failing_ == Failing::from_then_on || calls_ == fail_at_;
  }
  uint64_t locked(const uint64_t& value) const {
    const std::lock_guard lock(mutex_);
    return value;
  }

  mutable std::mutex mutex_;
  HeapAndPages source_{HugePages::off};
  std::map<std::byte*, uint64_t> blocks_;
  uint64_t calls_ = 0, bytes_ = 0, fail_at_ = 0;
  Failing failing_ = Failing::once;
  std::function<bool()> over_;
};

}  // namespace qvl
