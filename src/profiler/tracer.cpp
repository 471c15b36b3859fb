#include "profiler/tracer.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <new>
#include <utility>

#include "base/error.h"

namespace qvl {
namespace {

// The ring used last by this thread: one comparison finds it. Plain data, so that no guard is checked.
struct LastRing {
  uint64_t tracer = 0;
  void* ring = nullptr;
};
thread_local constinit LastRing last_ring;

uint64_t next_tracer_id() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

// The end tells what something has become, so that it is the middle of a text that is left out.
std::string without_middle(std::string_view text) {
  if (text.size() <= Tracer::kMostText) return std::string(text);
  constexpr std::string_view kGap = " ... ";
  constexpr size_t kPart = (Tracer::kMostText - kGap.size()) / 2;
  const auto inside_character = [&](size_t at) {
    return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
  };
  size_t front = kPart, back = text.size() - kPart;
  while (front > 0 && inside_character(front)) --front;
  while (inside_character(back)) ++back;
  return fmt::format("{}{}{}", text.substr(0, front), kGap, text.substr(back));
}

}  // namespace

struct Tracer::Ring {
  std::atomic<TraceRing*> events{nullptr};  // null until there is something to record
  std::atomic<bool> owned{true};            // by a thread that is still there

  // Under the registry's lock.
  std::unique_ptr<TraceRing> storage;
  int64_t thread = 0;
  std::string name;
};

// The rings of one thread, given back when it ends.
struct Tracer::OwnRings {
  struct Entry {
    uint64_t tracer;
    std::shared_ptr<Ring> ring;
  };
  ~OwnRings() {
    for (const Entry& entry : entries) entry.ring->owned.store(false, std::memory_order_release);
  }
  std::vector<Entry> entries;
};

Tracer::Tracer(TracerOptions options) : options_(options), id_(next_tracer_id()) {
  QVL_CHECK(options_.events_per_thread >= 1 && options_.most_threads >= 1 && options_.most_instants >= 1);
}

Tracer::~Tracer() = default;

void Tracer::enable() {
  const std::lock_guard lock(registry_);
  if (enabled()) return;
  dropped_.store(0, std::memory_order_relaxed);
  for (const auto& ring : rings_) make_events(*ring)->forget();
  {
    const std::lock_guard instants_lock(instants_mutex_);
    instants_.clear();
    lost_instants_ = 0;
  }
  enabled_.store(true, std::memory_order_relaxed);
}

// The registry's lock is held.
TraceRing* Tracer::make_events(Ring& ring) {
  if (ring.storage == nullptr) {
    ring.storage = std::make_unique<TraceRing>(options_.events_per_thread);
    ring.events.store(ring.storage.get(), std::memory_order_release);
  }
  return ring.storage.get();
}

Tracer::Ring* Tracer::own_ring() {
  if (last_ring.tracer == id_) return static_cast<Ring*>(last_ring.ring);
  Ring* ring = find_own_ring();
  if (ring != nullptr) last_ring = {.tracer = id_, .ring = ring};
  return ring;
}

Tracer::Ring* Tracer::find_own_ring() {
  thread_local OwnRings own;
  for (const OwnRings::Entry& entry : own.entries) {
    if (entry.tracer == id_) return entry.ring.get();
  }
  // Those of tracers that are gone are held here alone.
  std::erase_if(own.entries, [](const OwnRings::Entry& entry) { return entry.ring.use_count() == 1; });
  own.entries.reserve(own.entries.size() + 1);  // a ring that was taken must be given back
  auto ring = take_ring();
  if (ring == nullptr) return nullptr;
  own.entries.push_back({.tracer = id_, .ring = std::move(ring)});
  return own.entries.back().ring.get();
}

// A new ring while there may be more, else one whose thread has ended.
std::shared_ptr<Tracer::Ring> Tracer::take_ring() {
  const std::lock_guard lock(registry_);
  std::shared_ptr<Ring> ring;
  if (rings_.size() < options_.most_threads) {
    ring = std::make_shared<Ring>();
    rings_.push_back(ring);
  } else {
    const auto left = std::find_if(rings_.begin(), rings_.end(), [](const auto& candidate) {
      return !candidate->owned.load(std::memory_order_acquire);
    });
    if (left == rings_.end()) return nullptr;
    ring = *left;
    if (ring->storage != nullptr) {
      dropped_.fetch_add(ring->storage->pushed(), std::memory_order_relaxed);
      ring->storage->forget();
    }
    ring->name.clear();
    ring->owned.store(true, std::memory_order_relaxed);
  }
  ring->thread = ::gettid();
  return ring;
}

// Zones end in destructors: what cannot be recorded is counted as lost, also where memory has run out.
void Tracer::record(const TraceEvent& event) noexcept {
  TraceRing* const events = own_events();
  if (events == nullptr) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  events->push(event);
}

// Null where there is no ring to be had.
TraceRing* Tracer::own_events() noexcept {
  try {
    Ring* ring = own_ring();
    if (ring == nullptr) return nullptr;
    TraceRing* events = ring->events.load(std::memory_order_acquire);
    if (events != nullptr) return events;
    const std::lock_guard lock(registry_);
    return make_events(*ring);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void Tracer::zone(StaticName name, int64_t begin_ns, int64_t end_ns, std::optional<uint64_t> request) {
  if (!enabled()) return;
  TraceEvent event;
  event.name = name.text();
  event.begin_ns = begin_ns;
  event.end_ns = std::max(begin_ns, end_ns);
  event.request = request;
  record(event);
}

void Tracer::counter(StaticName name, double value) {
  if (!enabled() || !std::isfinite(value)) return;
  TraceEvent event;
  event.kind = TraceKind::counter;
  event.name = name.text();
  event.begin_ns = steady_ns();
  event.value = value;
  record(event);
}

void Tracer::instant(StaticName name, std::string_view text) noexcept {
  if (!enabled()) return;
  const std::lock_guard lock(instants_mutex_);
  try {
    instants_.push_back(
        {.thread = ::gettid(), .name = name.text(), .time_ns = steady_ns(), .text = without_middle(text)});
  } catch (const std::bad_alloc&) {
    ++lost_instants_;
    return;
  }
  if (instants_.size() <= options_.most_instants) return;
  instants_.pop_front();
  ++lost_instants_;
}

std::vector<Tracer::Instant> Tracer::instants() const {
  const std::lock_guard lock(instants_mutex_);
  return {instants_.begin(), instants_.end()};
}

void Tracer::name_thread(std::string_view name) {
  Ring* ring = own_ring();
  if (ring == nullptr) return;
  const std::lock_guard lock(registry_);
  ring->name = name;
}

uint64_t Tracer::lost() const {
  const std::lock_guard lock(registry_);
  uint64_t lost = dropped_.load(std::memory_order_relaxed);
  for (const auto& ring : rings_) lost += ring->storage != nullptr ? ring->storage->lost() : 0;
  const std::lock_guard instants_lock(instants_mutex_);
  return lost + lost_instants_;
}

void Tracer::for_each_thread(FunctionRef<void(const ThreadEvents&)> visit) const {
  for (size_t i = 0;; ++i) {
    ThreadEvents thread{};
    {
      const std::lock_guard lock(registry_);
      if (i == rings_.size()) return;
      const Ring& ring = *rings_[i];
      thread.thread = ring.thread;
      thread.name = ring.name;
      if (ring.storage != nullptr) thread.events = ring.storage->read();
    }
    visit(thread);
  }
}

}  // namespace qvl
