#include "profiler/trace_ring.h"

#include <algorithm>
#include <bit>

namespace qvl {
namespace {

constexpr uint64_t kHasRequest = 1 << 8;

constexpr auto kPublish = std::memory_order_release;
constexpr auto kObserve = std::memory_order_acquire;

}  // namespace

size_t TraceRing::slots_for(size_t capacity) { return std::bit_ceil(std::max<size_t>(capacity, 1)); }

TraceRing::TraceRing(size_t capacity) : slots_(slots_for(capacity)), mask_(slots_.size() - 1) {}

void TraceRing::push(const TraceEvent& event) {
  const uint64_t index = next_.load(std::memory_order_relaxed);
  Slot& slot = slots_[index & mask_];
  slot.sequence.store(2 * index + 1, std::memory_order_relaxed);
  slot.kind_and_flags.store(static_cast<uint64_t>(event.kind) | (event.request ? kHasRequest : 0), kPublish);
  slot.name.store(event.name, kPublish);
  slot.begin_ns.store(event.begin_ns, kPublish);
  slot.end_or_value.store(event.kind == TraceKind::counter ? std::bit_cast<uint64_t>(event.value)
                                                           : static_cast<uint64_t>(event.end_ns),
                          kPublish);
  slot.request.store(event.request.value_or(0), kPublish);
  slot.sequence.store(2 * index + 2, kPublish);
  next_.store(index + 1, kPublish);
}

std::optional<TraceEvent> TraceRing::read_slot(uint64_t index) const {
  const Slot& slot = slots_[index & mask_];
  const uint64_t complete = 2 * index + 2;
  if (slot.sequence.load(kObserve) != complete) return std::nullopt;
  TraceEvent event;
  const uint64_t header = slot.kind_and_flags.load(kObserve);
  event.kind = static_cast<TraceKind>(header & 0xFF);
  event.name = slot.name.load(kObserve);
  event.begin_ns = slot.begin_ns.load(kObserve);
  const uint64_t end_or_value = slot.end_or_value.load(kObserve);
  if (event.kind == TraceKind::counter) {
    event.value = std::bit_cast<double>(end_or_value);
  } else {
    event.end_ns = static_cast<int64_t>(end_or_value);
  }
  const uint64_t request = slot.request.load(kObserve);
  if ((header & kHasRequest) != 0) event.request = request;
  // A writer that came meanwhile changed the number before anything else.
  if (slot.sequence.load(kObserve) != complete) return std::nullopt;
  return event;
}

std::vector<TraceEvent> TraceRing::read() const {
  const uint64_t end = next_.load(kObserve);
  const uint64_t oldest = end > slots_.size() ? end - slots_.size() : 0;
  std::vector<TraceEvent> out;
  for (uint64_t index = std::max(oldest, first_.load(kObserve)); index < end; ++index) {
    if (const auto event = read_slot(index)) out.push_back(*event);
  }
  return out;
}

}  // namespace qvl
