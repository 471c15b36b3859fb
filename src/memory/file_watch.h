// The file behind a mapping: whether the bytes that were mapped are still there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "memory/fault_guard.h"
#include "memory/file_descriptor.h"

namespace qvl {

/// Keeps a mapped file open, guards its mapping against faults, and notices that the file itself was changed.
/// A file that was replaced by a rename is not changed: the mapping keeps the old one. Movable; `damaged` and
/// `check` are thread-safe.
class FileWatch {
 public:
  /// Watches nothing; never damaged.
  FileWatch() = default;
  /// Takes the open `file` over, of which `mapping` is mapped. With Access::write the time of change is not
  /// compared: the mapping itself changes it.
  FileWatch(FileDescriptor file, std::span<const std::byte> mapping, FaultGuard::Access access);

  /// Whether the mapped bytes may be others than at the start: a fault, another size, a later time of change.
  /// One fstat: made to be asked after each step of a computation.
  bool damaged() const;
  /// Throws Error{model_file} "PATH: changed while in use: found N bytes, expected M" where the file is
  /// damaged.
  void check(const std::filesystem::path& path) const;
  /// Whether a fault is caught; see FaultGuard::active.
  bool guarded() const { return guard_.active(); }

 private:
  struct State {
    uint64_t size = 0;
    int64_t modified_ns = 0;
    bool operator==(const State&) const = default;
  };
  // The file as it is now; of size 0 where the system does not tell.
  State now() const;

  FileDescriptor file_;
  FaultGuard guard_;
  State opened_;
  FaultGuard::Access access_ = FaultGuard::Access::read;
};

}  // namespace qvl
