#include "threads/thread_pool.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/error.h"

namespace qvl {
namespace {

// The gate of a loop: open while blocks may be left; below this bit, how many workers are inside.
constexpr uint32_t kOpen = 1U << 31;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
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

// Waits until `value` is no longer `old`: awake for a while, then asleep.
template <typename Value>
Value ThreadPool::wait_for_change(const std::atomic<Value>& value, Value old) const {
  for (int turn = awake_turns(); turn > 0; --turn) {
    if (const Value now = value.load(std::memory_order_acquire); now != old) return now;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

ThreadPool::ThreadPool(StartThread start) : group_("compute", std::move(start)) {}

// A pool already when its threads start: where one of them throws, the destructor ends those that run.
ThreadPool::ThreadPool(int threads, StartThread start) : ThreadPool(std::move(start)) { resize(threads); }

ThreadPool::~ThreadPool() { resize(1); }

int ThreadPool::resize(int threads) {
  QVL_CHECK(threads >= 1);
  const bool shrinks = threads < size();
  workers_.store(threads, std::memory_order_relaxed);
  if (shrinks) {
    announce();
    group_.join_from(threads - 1);
  }
  while (size() < threads) {
    auto body = [this, worker = size(), seen = generation_.load(std::memory_order_relaxed)] {
      work(worker, seen);
    };
    if (!group_.start(std::move(body))) break;  // fewer threads compute the same result
  }
  return size();
}

void ThreadPool::set_awake_turns(int turns) {
  QVL_CHECK(turns >= 0);
  awake_turns_.store(turns, std::memory_order_relaxed);
}

int ThreadPool::place(std::span<const CpuSet> places) {
  if (places.empty()) return group_.place({});
  return group_.place(std::vector<CpuSet>(places.begin() + 1, places.end()));
}

void ThreadPool::parallel_for(size_t count, size_t grain, Body body) {
  if (count == 0) return;
  if (duty_.never_rests()) return run(count, grain, body);
  const auto begin = std::chrono::steady_clock::now();
  run(count, grain, body);
  const auto rest = duty_.rest_after(std::chrono::steady_clock::now() - begin);
  if (rest.count() == 0) return;
  std::this_thread::sleep_for(rest);
  rested_ += rest;
}

void ThreadPool::run(size_t count, size_t grain, Body body) {
  Loop loop{count, std::max<size_t>(grain, 1), static_cast<size_t>(size()), body};
  if (size() == 1 || count <= loop.grain) {
    loop.run(0);
    return;
  }
  loop_ = &loop;
  gate_.store(kOpen, std::memory_order_release);
  announce();
  loop.run(0);
  // Every block is claimed. Workers that did not come (another program has their core) are not waited for.
  uint32_t inside = gate_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
  while (inside != 0) inside = wait_for_change(gate_, inside);
}

void ThreadPool::announce() {
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
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

void ThreadPool::work(int worker, uint32_t seen) {
  for (;;) {
    // A worker that starts late finds the generation moved on already, perhaps the gate closed again.
    seen = wait_for_change(generation_, seen);
    if (worker >= workers_.load(std::memory_order_relaxed)) return;
    if (!enter()) continue;
    loop_->run(worker);
    leave();
  }
}

}  // namespace qvl
