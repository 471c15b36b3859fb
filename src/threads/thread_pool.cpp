#include "threads/thread_pool.h"

#include <algorithm>
#include <system_error>

#include "base/error.h"

namespace qvl {
namespace {

// About 20 microseconds: as long as the steps between two products of one token take.
constexpr int kAwakeTurns = 1500;

// The gate of a loop: open while blocks may be left; below this bit, how many workers are inside.
constexpr uint32_t kOpen = 1U << 31;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Waits until `value` is no longer `old`: awake for a while, then asleep.
template <typename Value>
Value wait_for_change(const std::atomic<Value>& value, Value old) {
  for (int turn = 0; turn < kAwakeTurns; ++turn) {
    if (const Value now = value.load(std::memory_order_acquire); now != old) return now;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

}  // namespace

struct ThreadPool::Loop {
  size_t count;
  size_t grain;
  size_t threads;
  Body body;
  std::atomic<size_t> next{0};

  // Blocks become smaller towards the end, so that the threads are done at about the same time.
  size_t claim(size_t begin) const { return std::clamp<size_t>((count - begin) / (2 * threads), 1, grain); }

  void run(int worker) {
    size_t begin = next.load(std::memory_order_relaxed);
    while (begin < count) {
      const size_t end = begin + claim(begin);
      if (!next.compare_exchange_weak(begin, end, std::memory_order_relaxed)) continue;
      body(begin, end, worker);
      begin = next.load(std::memory_order_relaxed);
    }
  }
};

ThreadPool::ThreadPool(int threads) {
  QVL_CHECK(threads >= 1);
  workers_.reserve(static_cast<size_t>(threads) - 1);
  for (int worker = 1; worker < threads; ++worker) {
    try {
      workers_.emplace_back([this, worker] { work(worker); });
    } catch (const std::system_error&) {
      break;  // fewer threads compute the same result
    }
  }
}

ThreadPool::~ThreadPool() {
  generation_.fetch_or(1, std::memory_order_release);
  generation_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void ThreadPool::parallel_for(size_t count, size_t grain, Body body) {
  if (count == 0) return;
  Loop loop{count, std::max<size_t>(grain, 1), static_cast<size_t>(size()), body};
  if (workers_.empty() || count <= loop.grain) {
    loop.run(0);
    return;
  }
  loop_ = &loop;
  gate_.store(kOpen, std::memory_order_release);
  generation_.fetch_add(2, std::memory_order_release);
  generation_.notify_all();
  loop.run(0);
  // Every block is claimed. Workers that did not come (another program has their core) are not waited for.
  uint32_t inside = gate_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
  while (inside != 0) inside = wait_for_change(gate_, inside);
}

bool ThreadPool::enter() {
  uint32_t gate = gate_.load(std::memory_order_relaxed);
  while ((gate & kOpen) != 0) {
    if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acquire, std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void ThreadPool::leave() {
  if (gate_.fetch_sub(1, std::memory_order_acq_rel) == 1) gate_.notify_one();
}

void ThreadPool::work(int worker) {
  uint32_t seen = 0;
  for (;;) {
    // A worker that starts late finds the generation moved on already, perhaps the gate closed again.
    seen = wait_for_change(generation_, seen);
    if ((seen & 1) != 0) return;
    if (!enter()) continue;
    loop_->run(worker);
    leave();
  }
}

}  // namespace qvl
