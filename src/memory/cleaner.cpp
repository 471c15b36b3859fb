#include "memory/cleaner.h"

#include <algorithm>
#include <new>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "memory/memory_size.h"
#include "memory/process_memory.h"

namespace qvl {
namespace {

std::string_view name_of(CleanupCause cause) {
  switch (cause) {
    case CleanupCause::interval:
      return "interval";
    case CleanupCause::pressure:
      return "pressure";
    case CleanupCause::demand:
      return "demand";
  }
  return "";
}

// The first figure beyond the marks at hand, in words; nothing where none is.
std::optional<std::string> sign_of_pressure(const MemoryPressure& pressure, const PressureMarks& marks,
                                            bool pressed) {
  const double some = pressed ? marks.some_end : marks.some_begin;
  const double full = pressed ? marks.full_end : marks.full_begin;
  const double available = pressed ? marks.available_end : marks.available_begin;
  if (pressure.full_avg10 && *pressure.full_avg10 > full) {
    return fmt::format("full {:.1f} % of the last 10 s", *pressure.full_avg10);
  }
  if (pressure.some_avg10 && *pressure.some_avg10 > some) {
    return fmt::format("some {:.1f} % of the last 10 s", *pressure.some_avg10);
  }
  if (pressure.available_bytes && pressure.total_bytes &&
      static_cast<double>(*pressure.available_bytes) <
          available * static_cast<double>(*pressure.total_bytes)) {
    return fmt::format("{} of {} available", format_bytes(*pressure.available_bytes),
                       format_bytes(*pressure.total_bytes));
  }
  return std::nullopt;
}

// What brings the available memory back to the mark where pressure ends.
uint64_t wanted_under(const MemoryPressure& pressure, const PressureMarks& marks) {
  uint64_t wanted = CleanupSchedule::kPressureStep;
  if (pressure.available_bytes && pressure.total_bytes) {
    const auto mark = static_cast<uint64_t>(marks.available_end * static_cast<double>(*pressure.total_bytes));
    wanted = std::max(wanted, mark - std::min(mark, *pressure.available_bytes));
  }
  return wanted;
}

}  // namespace

CleanupSchedule::CleanupSchedule(std::optional<int> interval_operations, const PressureMarks& marks)
    : marks_(marks) {
  set_interval(interval_operations);
}

void CleanupSchedule::set_interval(std::optional<int> interval_operations) {
  QVL_CHECK(interval_operations.value_or(1) >= 1);
  interval_ = interval_operations;
}

std::optional<CleanupOrder> CleanupSchedule::after_operation(const MemoryPressure& pressure) {
  ++operations_;
  if (auto order = pressure_order(pressure)) return order;
  if (!interval_over()) return std::nullopt;
  const int operations = std::exchange(operations_, 0);
  return CleanupOrder{.cause = CleanupCause::interval,
                      .wanted_bytes = 0,
                      .why = fmt::format("{} operation{}", operations, operations == 1 ? "" : "s")};
}

std::optional<CleanupOrder> CleanupSchedule::during_operation(const MemoryPressure& pressure) {
  return pressure_order(pressure);
}

std::optional<CleanupOrder> CleanupSchedule::pressure_order(const MemoryPressure& pressure) {
  const bool before = pressed_;
  auto sign = sign_of_pressure(pressure, marks_, before);
  pressed_ = sign.has_value();
  if (!pressed_ || (before && !interval_over())) return std::nullopt;
  operations_ = 0;
  return CleanupOrder{.cause = CleanupCause::pressure,
                      .wanted_bytes = wanted_under(pressure, marks_),
                      .why = *std::move(sign)};
}

std::string CleanupReport::describe() const {
  return fmt::format("{} ({}): caches {}, pool {}, heap {}", name_of(cause), why, format_bytes(freed.caches),
                     format_bytes(freed.pool), format_bytes(freed.heap));
}

Cleaner::Cleaner(Ledger& ledger, TensorPool& pool, SystemFiles files, const CleanupSchedule& schedule)
    : ledger_(ledger),
      pool_(pool),
      files_(std::move(files)),
      schedule_(schedule),
      heap_(ledger.reclaimers().add(ReclaimStage::heap, [this](uint64_t) { return trim(); })) {}

std::optional<CleanupReport> Cleaner::after_operation(const MemoryPressure& pressure) {
  std::optional<CleanupOrder> order;
  {
    const std::lock_guard lock(mutex_);
    order = schedule_.after_operation(pressure);
  }
  if (!order) return std::nullopt;
  return carry_out(*std::move(order));
}

std::optional<CleanupReport> Cleaner::during_operation(const MemoryPressure& pressure) {
  std::optional<CleanupOrder> order;
  {
    const std::lock_guard lock(mutex_);
    order = schedule_.during_operation(pressure);
  }
  if (!order) return std::nullopt;
  return carry_out(*std::move(order));
}

CleanupReport Cleaner::clean_up(uint64_t wanted_bytes) {
  {
    const std::lock_guard lock(mutex_);
    schedule_.cleaned();
  }
  return carry_out({.cause = CleanupCause::demand,
                    .wanted_bytes = wanted_bytes,
                    .why = fmt::format("{} wanted", format_bytes(wanted_bytes))});
}

void Cleaner::set_interval(std::optional<int> interval_operations) {
  const std::lock_guard lock(mutex_);
  schedule_.set_interval(interval_operations);
}

bool Cleaner::pressed() const {
  const std::lock_guard lock(mutex_);
  return schedule_.pressed();
}

CleanupReport Cleaner::carry_out(CleanupOrder order) {
  const uint64_t trims = trims_;
  CleanupReport report{.cause = order.cause, .why = std::move(order.why), .freed = {}};
  report.freed = ledger_.reclaimers().run(
      [&](uint64_t released) { return order.wanted_bytes - std::min(order.wanted_bytes, released); });
  report.freed.pool += pool_.trim_idle();
  if (trims_ == trims) report.freed.heap += trim();
  return report;
}

// What the process is smaller by; what other threads took meanwhile hides some of it.
uint64_t Cleaner::trim() {
  ++trims_;
  const auto before = resident_bytes();
  trim_heap();
  const auto after = resident_bytes();
  return before && after ? *before - std::min(*before, *after) : 0;
}

// Reading takes some memory itself; where there is none, it is not known.
std::optional<uint64_t> Cleaner::resident_bytes() const noexcept {
  try {
    const auto memory = resident_memory(files_);
    return memory ? std::optional(memory->rss) : std::nullopt;
  } catch (const std::bad_alloc&) {
    return std::nullopt;
  }
}

}  // namespace qvl
