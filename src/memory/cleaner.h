// When memory is given back without being asked for, how much, and what it brought.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "base/system_files.h"
#include "memory/reclaimers.h"
#include "memory/tensor_pool.h"

namespace qvl {

/// How short memory is, as somebody measured it. What was not measured is nothing.
struct MemoryPressure {
  std::optional<double> some_avg10{};  ///< percent of the last 10 s in which some task waited for memory
  std::optional<double> full_avg10{};  ///< the same for all tasks at once
  std::optional<uint64_t> available_bytes{};
  std::optional<uint64_t> total_bytes{};
};

/// Where pressure begins, and the lower mark where it ends: between them nothing changes, so that a figure
/// which trembles does not start one clean-up after another.
struct PressureMarks {
  double some_begin = 10, some_end = 5;                 ///< percent
  double full_begin = 2, full_end = 0.5;                ///< percent
  double available_begin = 0.05, available_end = 0.10;  ///< share of the total
};

enum class CleanupCause { interval, pressure, demand };

/// What is to be done. `wanted_bytes` are given back by caches and pool; idle blocks and the heap go in any
/// case.
struct CleanupOrder {
  CleanupCause cause = CleanupCause::demand;
  uint64_t wanted_bytes = 0;
  std::string why;  ///< "10 operations", "some 12.5 % of the last 10 s"
};

/// Decides, and touches nothing. Thread-compatible.
class CleanupSchedule {
 public:
  /// Under pressure that only waiting tells of, the bytes wanted at a time.
  static constexpr uint64_t kPressureStep = uint64_t{64} << 20;

  /// At least once every `interval_operations` >= 1; nothing: when pressure begins alone.
  explicit CleanupSchedule(std::optional<int> interval_operations, const PressureMarks& marks = {});
  /// From now on. The operations since the last clean-up count.
  void set_interval(std::optional<int> interval_operations);

  /// Called after each operation. An order when the interval is over or pressure begins; while pressure
  /// lasts, those of the interval are for the pressure too.
  std::optional<CleanupOrder> after_operation(const MemoryPressure& pressure);
  /// Called in the middle of a long operation: an order when pressure begins.
  std::optional<CleanupOrder> during_operation(const MemoryPressure& pressure);
  /// A clean-up for another reason begins the interval anew.
  void cleaned() { operations_ = 0; }
  /// Whether pressure lasts: nothing new should be admitted.
  bool pressed() const { return pressed_; }

 private:
  // An order where pressure begins, or lasts when the interval is over.
  std::optional<CleanupOrder> pressure_order(const MemoryPressure& pressure);

  bool interval_over() const { return interval_ && operations_ >= *interval_; }

  std::optional<int> interval_;
  PressureMarks marks_;
  int operations_ = 0;  // since the last clean-up
  bool pressed_ = false;
};

/// What a clean-up gave back, and why it was made.
struct CleanupReport {
  CleanupCause cause = CleanupCause::demand;
  std::string why;
  Reclaimed freed;

  /// One line: "pressure (some 12.5 % of the last 10 s): caches 1.0 MiB, pool 20.0 MiB, heap 0 B".
  std::string describe() const;
};

/// Cleans up: caches first, then the pool, then the heap. Thread-safe. Also the last of the ledger's
/// reclaimers, the one that trims the heap. Borrows ledger and pool.
class Cleaner {
 public:
  Cleaner(Ledger& ledger, TensorPool& pool, SystemFiles files, const CleanupSchedule& schedule);

  /// Called after each operation; cleans up when it is time.
  std::optional<CleanupReport> after_operation(const MemoryPressure& pressure);
  /// Called in the middle of a long operation; cleans up when pressure begins.
  std::optional<CleanupReport> during_operation(const MemoryPressure& pressure);
  /// Gives back at least `wanted` bytes of caches and pool, as far as they have them, idle blocks, and the
  /// heap.
  CleanupReport clean_up(uint64_t wanted_bytes);
  /// As CleanupSchedule::set_interval.
  void set_interval(std::optional<int> interval_operations);
  /// Whether the last pressure told of lasts.
  bool pressed() const;

 private:
  CleanupReport carry_out(CleanupOrder order);
  uint64_t trim();
  std::optional<uint64_t> resident_bytes() const noexcept;

  Ledger& ledger_;
  TensorPool& pool_;
  SystemFiles files_;
  mutable std::mutex mutex_;
  CleanupSchedule schedule_;
  std::atomic<uint64_t> trims_{0};
  Reclaimers::Registration heap_;
};

}  // namespace qvl
