#include "memory/memory_manager.h"

#include <string>
#include <utility>

#include "base/error.h"
#include "memory/memory_size.h"

namespace qvl {
namespace {

void check(const MemoryManagerOptions& options) {
  if (!(options.memory_limit_ratio > 0 && options.memory_limit_ratio <= 1)) {
    fail(ErrorCode::usage, "memory_limit_ratio: found {}, expected a number above 0 and at most 1",
         options.memory_limit_ratio);
  }
  const int64_t interval = options.memory_cleanup_interval.value_or(1);
  if (interval < 1 || interval > 1'000'000) {
    fail(ErrorCode::usage, "memory_cleanup_interval: found {}, expected 1 to 1000000", interval);
  }
}

std::optional<int> interval_of(const MemoryManagerOptions& options) {
  const auto interval = options.memory_cleanup_interval;
  return interval ? std::optional(static_cast<int>(*interval)) : std::nullopt;
}

uint64_t program_bytes(const SystemFiles& files) {
  const auto memory = resident_memory(files);
  return memory ? memory->rss : 0;
}

Json or_null(std::optional<uint64_t> value) { return value ? Json(*value) : Json(); }

Json mebibytes(std::optional<uint64_t> bytes) {
  return bytes ? Json(static_cast<double>(*bytes) / (1 << 20)) : Json();
}

void add_measured(Json& out, const MemoryReport& report) {
  std::optional<uint64_t> rss, vms, peak_rss;
  if (report.process) {
    rss = report.process->rss;
    vms = report.process->vms;
    peak_rss = report.process->peak_rss;
  }
  const auto& [total, available] = report.machine;
  const auto percent = report.percent_used();
  out["rss"] = or_null(rss);
  out["vms"] = or_null(vms);
  out["peak_rss"] = or_null(peak_rss);
  out["available"] = or_null(available);
  out["total"] = total;
  out["percent_used"] = percent ? Json(*percent) : Json();
  out["rss_memory_mb"] = mebibytes(rss);
  out["available_memory_mb"] = mebibytes(available);
  out["total_memory_mb"] = mebibytes(total);
}

}  // namespace

MemoryLimit memory_cap(const MemoryManagerOptions& options, const SystemFiles& files) {
  check(options);
  const MemoryLimit usable = memory_limit(files);
  if (const auto asked = options.memory_limit_bytes) {
    if (*asked <= usable.bytes) return {.bytes = *asked, .cause = "as asked for"};
    return {.bytes = usable.bytes,
            .cause = fmt::format("{} asked for, lowered to {}", format_bytes(*asked), usable.cause)};
  }
  return {.bytes = static_cast<uint64_t>(static_cast<double>(usable.bytes) * options.memory_limit_ratio),
          .cause = fmt::format("{:.3g} % of {}", 100 * options.memory_limit_ratio, usable.cause)};
}

double MemoryReport::memory_utilization() const {
  return ledger.cap_bytes == 0
             ? 0
             : static_cast<double>(ledger.held_bytes) / static_cast<double>(ledger.cap_bytes);
}

std::optional<double> MemoryReport::percent_used() const {
  if (!machine.available) return std::nullopt;
  return 100 * static_cast<double>(machine.total - *machine.available) / static_cast<double>(machine.total);
}

Json to_json(const MemoryReport& report) {
  Json out = Json::object();
  add_measured(out, report);
  out["memory_utilization"] = report.memory_utilization();
  out["tensor_pool_size"] = report.pool.kept_bytes;
  out["tensor_pool_hit_rate"] = report.pool.hit_rate();
  out["tensor_pool_allocations"] = report.pool.system_allocations;
  out["limit_bytes"] = report.limit.bytes;
  out["limit_cause"] = report.limit.cause;
  out["cap_bytes"] = report.ledger.cap_bytes;
  out["held_bytes"] = report.ledger.held_bytes;
  out["peak_bytes"] = report.ledger.peak_bytes;
  out["refusals"] = report.ledger.refusals;
  Json& by_part = out["by_part"] = Json::object();
  for (size_t i = 0; i < kMemoryParts; ++i) {
    const LedgerReport::Part& part = report.ledger.parts[i];
    by_part[std::string(kMemoryPartNames[i])] = {
        {"held_bytes", part.held_bytes}, {"peak_bytes", part.peak_bytes}, {"refusals", part.refusals}};
  }
  return out;
}

MemoryManager::MemoryManager(const MemoryManagerOptions& options, const SystemFiles& files)
    : files_(files),
      limit_(memory_cap(options, files)),
      ledger_(limit_.bytes),
      program_(ledger_.reserve(MemoryPart::program, program_bytes(files)).take_for("memory limit")),
      system_(options.huge_pages),
      pool_(ledger_, options.blocks == nullptr ? system_ : *options.blocks, options.memory_pool_size),
      cleaner_(ledger_, pool_, files, CleanupSchedule(interval_of(options))) {}

void MemoryManager::configure(const MemoryManagerOptions& options) {
  MemoryLimit limit = memory_cap(options, files_);
  if (const auto refusal = ledger_.try_set_cap(limit.bytes)) {
    fail(ErrorCode::limit, "memory limit: {}", *refusal);
  }
  pool_.set_kept_limit(options.memory_pool_size);
  cleaner_.set_interval(interval_of(options));
  system_.set_huge_pages(options.huge_pages);
  const std::lock_guard lock(limit_mutex_);
  limit_ = std::move(limit);
}

MemoryLimit MemoryManager::limit() const {
  const std::lock_guard lock(limit_mutex_);
  return limit_;
}

MemoryReport MemoryManager::report() const {
  return {.process = process_memory(files_),
          .machine = machine_memory(files_),
          .limit = limit(),
          .ledger = ledger_.report(),
          .pool = pool_.stats()};
}

}  // namespace qvl
