// The last events of one thread: written without a lock, read from any thread at any time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace qvl {

enum class TraceKind : uint8_t { zone, counter };

/// A name that lives as long as the program: made from a literal, at compile time, so that an event holds a
/// pointer and copies nothing.
class StaticName {
 public:
  consteval StaticName(const char* text) : text_(text) {}  // NOLINT: a literal is a name
  constexpr const char* text() const { return text_; }

 private:
  const char* text_;
};

/// Times are of the steady clock.
struct TraceEvent {
  TraceKind kind = TraceKind::zone;
  const char* name = "";
  int64_t begin_ns = 0;
  int64_t end_ns = 0;                 ///< of a zone
  double value = 0;                   ///< of a counter
  std::optional<uint64_t> request{};  ///< of a zone
};

/// Thread-safe for one writer at a time and any number of readers. A full ring overwrites its oldest events.
///
/// Each slot has a sequence number that is odd while the slot is written, so that a reader notices what it
/// read halfway. All fields are atomic: the orders of release (writer) and acquire (reader) on each of them
/// take the place of fences, which cost nothing more on x86 and are understood by the thread sanitizer.
class TraceRing {
 public:
  explicit TraceRing(size_t capacity);
  /// How many events a ring of `capacity` holds, in slots of 64 bytes: the next power of two.
  static size_t slots_for(size_t capacity);

  /// For the one thread that writes.
  void push(const TraceEvent& event);

  /// What is there, oldest first. Events overwritten meanwhile are left out.
  std::vector<TraceEvent> read() const;

  /// Events pushed since the last forget(), and how many of them are overwritten.
  uint64_t pushed() const {
    return next_.load(std::memory_order_acquire) - first_.load(std::memory_order_acquire);
  }
  uint64_t lost() const { return pushed() > slots_.size() ? pushed() - slots_.size() : 0; }

  /// Hides all events up to now. One that is being pushed meanwhile may stay.
  void forget() { first_.store(next_.load(std::memory_order_acquire), std::memory_order_release); }

 private:
  struct alignas(64) Slot {
    std::atomic<uint64_t> sequence{0};
    std::atomic<uint64_t> kind_and_flags{0};
    std::atomic<const char*> name{nullptr};
    std::atomic<int64_t> begin_ns{0};
    std::atomic<uint64_t> end_or_value{0};
    std::atomic<uint64_t> request{0};
  };
  std::optional<TraceEvent> read_slot(uint64_t index) const;

  std::vector<Slot> slots_;
  uint64_t mask_;
  std::atomic<uint64_t> next_{0};   // events pushed so far
  std::atomic<uint64_t> first_{0};  // those before this one are forgotten
};

}  // namespace qvl
