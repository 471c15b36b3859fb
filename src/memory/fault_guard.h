// Mapped files that shrink: a fault inside a guarded mapping marks it instead of ending the process.
#pragma once

#include <cstddef>
#include <span>

namespace qvl {

/// Guards one mapping of a file for as long as it lives. Where the system cannot give a page of it (the file
/// was truncated, the disk failed), zeros take the place of that page and all that follow, and the guard says
/// so from then on: whoever uses the bytes asks before a result leaves. Any other SIGBUS goes to the handler
/// that was there before the first guard, or ends the process as if there were none.
///
/// Only accesses of this process are caught: a system call handed a lost page fails with EFAULT. The signal
/// handler stays for the life of the process; a program that wants one of its own installs it before.
/// Movable; thread-compatible, `faulted` is thread-safe.
class FaultGuard {
 public:
  /// What the mapping allows, and with it the zeros that replace it.
  enum class Access { read, write };
  /// Guards at one time in the whole process. Beyond, a guard is not active.
  static constexpr size_t kMost = 512;

  /// Guards nothing.
  FaultGuard() = default;
  /// `mapping` begins at a page; it is mapped already, and its guard ends before it is unmapped.
  FaultGuard(std::span<const std::byte> mapping, Access access);
  ~FaultGuard();
  FaultGuard(FaultGuard&& other) noexcept;
  FaultGuard& operator=(FaultGuard&& other) noexcept;

  /// False where there is nothing to guard, or all guards are taken: a fault then ends the process.
  bool active() const { return slot_ != nullptr; }
  /// Whether zeros took the place of bytes.
  bool faulted() const;

 private:
  struct Slot;
  friend struct FaultTable;
  Slot* slot_ = nullptr;
};

}  // namespace qvl
