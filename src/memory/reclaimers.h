// Those who can give memory back, in the order they are asked.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/function_ref.h"

namespace qvl {

/// Whose memory is missed least goes first.
enum class ReclaimStage {
  caches,  ///< least recently used entries
  pool,    ///< blocks kept for reuse
  heap,    ///< freed memory that the allocator still holds
};

/// Bytes given back, by stage.
struct Reclaimed {
  uint64_t caches = 0, pool = 0, heap = 0;
  uint64_t total() const { return caches + pool + heap; }
};

/// The ordered list of reclaimers. Thread-safe; one thread reclaims at a time, others wait for it, as their
/// requests may fit afterwards.
///
/// A reclaimer is called without any lock but this list's own, which nothing but the list takes. So it may
/// release reservations and take the locks of its cache; who asks for memory must hold none of those.
class Reclaimers {
 public:
  /// Gives back up to about `wanted` bytes, more where its pieces are larger; returns how many. Must not
  /// throw, and must not end a registration. What it reserves meanwhile is granted or refused without
  /// reclaiming again.
  using Reclaim = std::function<uint64_t(uint64_t wanted)>;

  /// A place in the list for as long as it lives. Ends after a call under way. Movable.
  class [[nodiscard]] Registration {
   public:
    Registration() = default;
    ~Registration();
    Registration(Registration&& other) noexcept;
    Registration& operator=(Registration&& other) noexcept;

   private:
    friend class Reclaimers;
    Registration(Reclaimers* list, uint64_t id) : list_(list), id_(id) {}
    Reclaimers* list_ = nullptr;
    uint64_t id_ = 0;
  };

  Reclaimers() = default;
  ~Reclaimers();
  Reclaimers(const Reclaimers&) = delete;
  Reclaimers& operator=(const Reclaimers&) = delete;

  /// Behind those of the same stage that are there already.
  Registration add(ReclaimStage stage, Reclaim reclaim);

  /// Asks one after the other. `still_wanted` is called before each with the bytes released so far and says
  /// how many more are wanted; 0 ends the run. The heap is asked only where an earlier stage released
  /// something: else it holds nothing new. Called from within a reclaimer, does nothing.
  Reclaimed run(FunctionRef<uint64_t(uint64_t released)> still_wanted) noexcept;

 private:
  using ThreadId = decltype(std::this_thread::get_id());
  struct Entry {
    ReclaimStage stage;
    uint64_t id;
    Reclaim reclaim;
  };
  void remove(uint64_t id);
  bool running_here() const { return runner_ == std::this_thread::get_id(); }

  std::mutex mutex_;                // held while reclaimers run
  std::atomic<ThreadId> runner_{};  // the thread that runs them
  std::vector<Entry> entries_;      // in the order they are asked
  uint64_t next_id_ = 1;
};

}  // namespace qvl
