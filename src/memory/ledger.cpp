#include "memory/ledger.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/checked.h"
#include "base/error.h"
#include "memory/memory_size.h"

namespace qvl {
namespace {

// "kv 1.0 GiB + vision 200.0 MiB"
std::string list_of(std::span<const MemoryNeed> needs) {
  std::string out;
  for (const MemoryNeed& need : needs) {
    if (need.bytes == 0) continue;
    out += fmt::format("{}{} {}", out.empty() ? "" : " + ", name_of(need.part), format_bytes(need.bytes));
  }
  return out;
}

// The same of what each part holds, "nothing" where that is nothing.
std::string held_text(const std::array<LedgerReport::Part, kMemoryParts>& parts) {
  std::vector<MemoryNeed> held;
  for (size_t i = 0; i < kMemoryParts; ++i) {
    held.push_back({.part = static_cast<MemoryPart>(i), .bytes = parts[i].held_bytes});
  }
  const std::string sum = list_of(held);
  return sum.empty() ? "nothing" : sum;
}

}  // namespace

// More than 64 bits hold is more than any cap.
uint64_t sum_of(std::span<const MemoryNeed> needs) {
  uint64_t sum = 0;
  for (const MemoryNeed& need : needs) {
    sum = checked_add(sum, need.bytes).value_or(std::numeric_limits<uint64_t>::max());
  }
  return sum;
}

Reservation::Reservation(Reservation&& other) noexcept
    : ledger_(std::exchange(other.ledger_, nullptr)),
      part_(other.part_),
      bytes_(std::exchange(other.bytes_, 0)) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this == &other) return *this;
  release();
  ledger_ = std::exchange(other.ledger_, nullptr);
  part_ = other.part_;
  bytes_ = std::exchange(other.bytes_, 0);
  return *this;
}

void Reservation::release() {
  if (bytes_ > 0) ledger_->give_back(part_, std::exchange(bytes_, 0));
}

std::optional<MemoryRefusal> Reservation::grow(uint64_t more) {
  QVL_CHECK(ledger_ != nullptr);
  const MemoryNeed need{.part = part_, .bytes = more};
  auto refusal = ledger_->take({&need, 1});
  if (!refusal) bytes_ += more;
  return refusal;
}

void Reservation::shrink(uint64_t less) {
  QVL_CHECK(less <= bytes_);
  if (less == 0) return;
  bytes_ -= less;
  ledger_->give_back(part_, less);
}

Reservation Reservation::split(uint64_t bytes, MemoryPart part) {
  QVL_CHECK(bytes <= bytes_);
  if (bytes > 0) ledger_->move(part_, part, bytes);
  bytes_ -= bytes;
  return Reservation(ledger_, part, bytes);
}

void Reservation::absorb(Reservation&& other) {
  if (other.bytes_ == 0) return;
  QVL_CHECK(ledger_ == other.ledger_ && this != &other);
  ledger_->move(other.part_, part_, other.bytes_);
  bytes_ += std::exchange(other.bytes_, 0);
}

Ledger::~Ledger() { QVL_CHECK(held_ == 0); }

Grant<Reservation> Ledger::reserve(MemoryPart part, uint64_t bytes) {
  const MemoryNeed need{.part = part, .bytes = bytes};
  if (auto refusal = take({&need, 1})) return *std::move(refusal);
  return Reservation(this, part, bytes);
}

Grant<std::vector<Reservation>> Ledger::reserve(std::span<const MemoryNeed> needs) {
  std::vector<Reservation> out;
  out.reserve(needs.size());  // before anything is taken
  if (auto refusal = take(needs)) return *std::move(refusal);
  for (const MemoryNeed& need : needs) out.push_back(Reservation(this, need.part, need.bytes));
  return out;
}

bool Ledger::make_room(uint64_t bytes) {
  const auto missing = [&] { return bytes - std::min(bytes, free_bytes()); };
  if (missing() > 0 && bytes <= cap_bytes()) reclaimers_.run([&](uint64_t) { return missing(); });
  return missing() == 0;
}

std::optional<MemoryRefusal> Ledger::take(std::span<const MemoryNeed> needs) {
  const uint64_t asked = sum_of(needs);
  auto shortage = try_take(needs, asked);
  // What could not fit into an empty account is not worth the caches.
  if (shortage && asked <= shortage->cap_bytes) {
    reclaimers_.run([&](uint64_t) {
      shortage = try_take(needs, asked);
      return shortage ? shortage->missing_bytes : 0;
    });
    if (shortage) shortage = try_take(needs, asked);
  }
  if (!shortage) return std::nullopt;
  return refuse(needs, asked, *shortage);
}

std::optional<Ledger::Shortage> Ledger::try_take(std::span<const MemoryNeed> needs, uint64_t asked) {
  const std::lock_guard lock(mutex_);
  if (asked == 0) return std::nullopt;
  const uint64_t wanted = checked_add(held_, asked).value_or(std::numeric_limits<uint64_t>::max());
  if (wanted > cap_) {
    return Shortage{
        .missing_bytes = wanted - cap_, .free_bytes = free_now(), .cap_bytes = cap_, .parts = parts_};
  }
  for (const MemoryNeed& need : needs) add(need.part, need.bytes);
  held_ = wanted;
  peak_ = std::max(peak_, held_);
  return std::nullopt;
}

void Ledger::add(MemoryPart part, uint64_t bytes) {
  LedgerReport::Part& account = parts_[index_of(part)];
  account.held_bytes += bytes;
  account.peak_bytes = std::max(account.peak_bytes, account.held_bytes);
}

void Ledger::give_back(MemoryPart part, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  parts_[index_of(part)].held_bytes -= bytes;
  held_ -= bytes;
}

void Ledger::move(MemoryPart from, MemoryPart to, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  parts_[index_of(from)].held_bytes -= bytes;
  add(to, bytes);
}

MemoryRefusal Ledger::refuse(std::span<const MemoryNeed> needs, uint64_t asked, const Shortage& shortage) {
  const auto largest = std::max_element(needs.begin(), needs.end(),
                                        [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
  {
    const std::lock_guard lock(mutex_);
    ++refusals_;
    ++parts_[index_of(largest->part)].refusals;
  }
  return {.cause = MemoryRefusal::Cause::limit,
          .part = largest->part,
          .asked_bytes = asked,
          .free_bytes = shortage.free_bytes,
          .missing_bytes = shortage.missing_bytes,
          .message =
              fmt::format("{}{}: {} of {} free, {} missing (held: {})", MemoryRefusal::kBegins,
                          list_of(needs), format_bytes(shortage.free_bytes), format_bytes(shortage.cap_bytes),
                          format_bytes(shortage.missing_bytes), held_text(shortage.parts))};
}

void Ledger::set_cap(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  cap_ = bytes;
}

std::optional<std::string> Ledger::try_set_cap(uint64_t bytes) {
  if (set_cap_or_missing(bytes) == 0) return std::nullopt;
  reclaimers_.run([&](uint64_t) { return set_cap_or_missing(bytes); });
  const uint64_t missing = set_cap_or_missing(bytes);
  if (missing == 0) return std::nullopt;
  return fmt::format("{} are not enough for what is held, {} missing (held: {})", format_bytes(bytes),
                     format_bytes(missing), held_text(report().parts));
}

uint64_t Ledger::set_cap_or_missing(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (held_ > bytes) return held_ - bytes;
  cap_ = bytes;
  return 0;
}

uint64_t Ledger::cap_bytes() const {
  const std::lock_guard lock(mutex_);
  return cap_;
}

uint64_t Ledger::free_bytes() const {
  const std::lock_guard lock(mutex_);
  return free_now();
}

LedgerReport Ledger::report() const {
  const std::lock_guard lock(mutex_);
  return {
      .cap_bytes = cap_, .held_bytes = held_, .peak_bytes = peak_, .refusals = refusals_, .parts = parts_};
}

}  // namespace qvl
