#include "profiler/trace_ring.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace qvl {
namespace {

constexpr uint64_t kHasRequest = 1 << 8;
constexpr int kTextShift = 16;

constexpr auto kPublish = std::memory_order_release;
constexpr auto kObserve = std::memory_order_acquire;

}  // namespace

TraceText::TraceText(std::string_view text) {
  size_ = std::min(text.size(), kMostBytes);
  if (size_ < text.size()) {
    while (size_ > 0 && (static_cast<unsigned char>(text[size_]) & 0xC0) == 0x80) --size_;
  }
  std::copy_n(text.begin(), size_, bytes_.begin());
}

TraceRing::TraceRing(size_t capacity)
    : slots_(std::bit_ceil(std::max<size_t>(capacity, 1))), mask_(slots_.size() - 1) {}

void TraceRing::push(const TraceEvent& event) {
  const uint64_t index = next_.load(std::memory_order_relaxed);
  Slot& slot = slots_[index & mask_];
  const std::string_view text = event.text.view();
  slot.sequence.store(2 * index + 1, std::memory_order_relaxed);
  slot.kind_and_text_bytes.store(static_cast<uint64_t>(event.kind) | (event.request ? kHasRequest : 0) |
                                     static_cast<uint64_t>(text.size()) << kTextShift,
                                 kPublish);
  slot.name.store(event.name, kPublish);
  slot.begin_ns.store(event.begin_ns, kPublish);
  slot.end_or_value.store(event.kind == TraceKind::counter ? std::bit_cast<uint64_t>(event.value)
                                                           : static_cast<uint64_t>(event.end_ns),
                          kPublish);
  slot.request.store(event.request.value_or(0), kPublish);
  for (size_t at = 0; at < text.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + at, std::min<size_t>(text.size() - at, 8));
    slot.text[at / 8].store(word, kPublish);
  }
  slot.sequence.store(2 * index + 2, kPublish);
  next_.store(index + 1, kPublish);
}

std::optional<TraceEvent> TraceRing::read_slot(uint64_t index) const {
  const Slot& slot = slots_[index & mask_];
  const uint64_t complete = 2 * index + 2;
  if (slot.sequence.load(kObserve) != complete) return std::nullopt;
  TraceEvent event;
  const uint64_t header = slot.kind_and_text_bytes.load(kObserve);
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
  event.text.size_ = std::min<size_t>(header >> kTextShift, TraceText::kMostBytes);
  for (size_t at = 0; at < event.text.size_; at += 8) {
    const uint64_t word = slot.text[at / 8].load(kObserve);
    std::memcpy(event.text.bytes_.data() + at, &word, 8);
  }
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
