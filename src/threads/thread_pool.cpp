#include "threads/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <system_error>

#include "base/error.h"

namespace qvl {

struct ThreadPool::Loop {
  size_t count;
  size_t grain;
  const std::function<void(size_t, size_t, int)>& body;
  std::atomic<size_t> next{0};

  void run(int worker) {
    for (;;) {
      size_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= count) return;
      body(begin, std::min(begin + grain, count), worker);
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
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  start_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void ThreadPool::parallel_for(size_t count, size_t grain,
                              const std::function<void(size_t, size_t, int)>& body) {
  if (count == 0) return;
  Loop loop{count, std::max<size_t>(grain, 1), body};
  if (workers_.empty() || count <= loop.grain) {
    loop.run(0);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    loop_ = &loop;
    busy_ = static_cast<int>(workers_.size());
    ++generation_;
  }
  start_.notify_all();
  loop.run(0);
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return busy_ == 0; });
  loop_ = nullptr;
}

void ThreadPool::work(int worker) {
  uint64_t seen = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    start_.wait(lock, [&] { return stopping_ || generation_ != seen; });
    if (stopping_) return;
    seen = generation_;
    Loop* loop = loop_;
    lock.unlock();
    loop->run(worker);
    lock.lock();
    if (--busy_ == 0) done_.notify_one();
  }
}

}  // namespace qvl
