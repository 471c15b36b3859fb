// Records what threads do and when: zones and counters into a ring for each thread, instants into one list.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "profiler/steady_clock.h"
#include "profiler/trace_ring.h"

namespace qvl {

struct TracerOptions {
  size_t events_per_thread = 8192;  ///< at least: TraceRing::slots_for()
  size_t most_threads = 64;         ///< beyond these, and those that ended, events are lost
  size_t most_instants = 1024;      ///< of all threads
};

/// Thread-safe. Zones and counters take no lock and allocate nothing, but for the first of a thread without a
/// name; instants, which are rare and must not be driven out by them, take a lock and copy their text.
/// enable() makes the rings of those that have one. Memory is taken for threads that record, and the ring of
/// a thread that ended stays until another one needs it. A thread that records for several tracers in turn
/// looks its ring up each time.
class Tracer {
 public:
  explicit Tracer(TracerOptions options = {});
  ~Tracer();
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  /// Off at first. Switching on begins a new trace: what was recorded before is no part of it.
  void enable();
  void disable() { enabled_.store(false, std::memory_order_relaxed); }
  bool enabled() const { return enabled_.load(std::memory_order_relaxed); }

  /// Part of the calling thread's time, already over. Zones of a thread nest or follow one another.
  void zone(StaticName name, int64_t begin_ns, int64_t end_ns,
            std::optional<uint64_t> request = std::nullopt);
  /// A value from now on, until the next of that name. Not finite: left out.
  void counter(StaticName name, double value);
  /// Something that happened: `text` tells what. Of one beyond kMostText bytes the middle is left out.
  void instant(StaticName name, std::string_view text) noexcept;
  static constexpr size_t kMostText = 1024;

  /// How traces call the calling thread; whether tracing is on or off.
  void name_thread(std::string_view name);

  /// Events that the trace should have and has not: overwritten, or without a ring.
  uint64_t lost() const;
  /// Zones and counters that are kept of one thread.
  size_t events_per_thread() const { return TraceRing::slots_for(options_.events_per_thread); }

  struct ThreadEvents {
    int64_t thread;                    ///< the system's number
    std::string name{};                ///< empty where it was never given
    std::vector<TraceEvent> events{};  ///< in the order in which they were recorded: zones where they end
  };
  /// Visits the threads one after the other, so that only one's events are held at a time.
  void for_each_thread(FunctionRef<void(const ThreadEvents&)> visit) const;

  struct Instant {
    int64_t thread;  ///< the system's number
    const char* name;
    int64_t time_ns;
    std::string text;
  };
  /// In the order in which they were recorded.
  std::vector<Instant> instants() const;

 private:
  struct Ring;
  struct OwnRings;
  Ring* own_ring();
  Ring* find_own_ring();
  std::shared_ptr<Ring> take_ring();
  TraceRing* make_events(Ring& ring);
  void record(const TraceEvent& event) noexcept;
  TraceRing* own_events() noexcept;

  const TracerOptions options_;
  const uint64_t id_;  // of this tracer among all there ever were
  std::atomic<bool> enabled_{false};
  std::atomic<uint64_t> dropped_{0};  // without a ring, or with a ring that was passed on

  mutable std::mutex registry_;  // for the list and the names; not held while recording
  // Shared with the threads that write into them: either may end first.
  std::vector<std::shared_ptr<Ring>> rings_;

  mutable std::mutex instants_mutex_;  // of the two below; the innermost lock
  std::deque<Instant> instants_;
  uint64_t lost_instants_ = 0;
};

/// Records its own lifetime. With a tracer that is null or switched off it costs a branch.
class Zone {
 public:
  Zone(Tracer* tracer, StaticName name, std::optional<uint64_t> request = std::nullopt)
      : tracer_(tracer != nullptr && tracer->enabled() ? tracer : nullptr), name_(name), request_(request) {
    if (tracer_ != nullptr) begin_ns_ = steady_ns();
  }
  ~Zone() {
    if (tracer_ != nullptr) tracer_->zone(name_, begin_ns_, steady_ns(), request_);
  }
  Zone(const Zone&) = delete;
  Zone& operator=(const Zone&) = delete;

 private:
  Tracer* tracer_;
  StaticName name_;
  std::optional<uint64_t> request_;
  int64_t begin_ns_ = 0;
};

}  // namespace qvl
