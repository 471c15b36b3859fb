// A pool for tasks that wait or take long: reading and writing files, decoding pictures, tokenising.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "threads/task.h"
#include "threads/thread_group.h"

namespace qvl {

/// A waiting task of a higher class goes first; within a class, the one that came first.
enum class TaskPriority { high, normal, low };

enum class Shutdown {
  drain,   ///< what waits is still done
  cancel,  ///< what waits is given up: its futures hold an Error
};

struct TaskPoolOptions {
  std::string name;                        ///< for messages and process monitors: "io"
  int threads = 1;                         ///< >= 1
  std::optional<size_t> queue_limit = {};  ///< most tasks that wait, >= 1; without it as many as memory holds
  StartThread start = start_thread;
};

/// At every moment submitted = completed + failed + cancelled + waiting + running.
struct TaskPoolStatus {
  int threads = 0;
  size_t waiting = 0, running = 0;
  uint64_t submitted = 0;
  uint64_t completed = 0;  ///< returned a value
  uint64_t failed = 0;     ///< threw
  uint64_t cancelled = 0;  ///< never ran
  uint64_t refused = 0;    ///< not submitted, because the queue was full
};

/// Threads that take tasks from one queue and sleep while there are none. Thread-safe. A task may submit
/// further tasks, but where the queue is bounded with try_submit only: threads that all wait for room wait
/// for ever.
class TaskPool {
 public:
  /// Throws Error{environment} where not even one thread starts; with fewer than asked it works: problem().
  explicit TaskPool(TaskPoolOptions options);
  ~TaskPool();  ///< shutdown(Shutdown::cancel)
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;

  /// The future has what the callable returns or throws. What the callable holds is released before the
  /// future is ready. Waits while the queue is full. After shutdown the task is cancelled.
  template <typename Callable>
  auto submit(Callable&& callable, TaskPriority priority = TaskPriority::normal) {
    auto task = std::make_unique<PromisedTask<std::decay_t<Callable>>>(std::forward<Callable>(callable));
    auto future = task->future();
    enqueue(std::move(task), priority);
    return future;
  }

  /// Nothing, and the callable is gone, where the queue is full.
  template <typename Callable>
  auto try_submit(Callable&& callable, TaskPriority priority = TaskPriority::normal) {
    auto task = std::make_unique<PromisedTask<std::decay_t<Callable>>>(std::forward<Callable>(callable));
    std::optional future(task->future());
    if (!try_enqueue(std::move(task), priority)) future.reset();
    return future;
  }

  /// Takes no further task and waits for none; what waits is done or cancelled, what runs is finished. May be
  /// called again, cancel during a drain too; from a task of this pool as well.
  void close(Shutdown how);
  /// Whether no task waits or runs, and what they held is released; waits for that at most so long.
  bool wait_idle(std::chrono::milliseconds most) const;
  /// close(), then returns when all tasks are done or cancelled and all threads have ended. May be called
  /// again, cancel during a drain too; never from a task of this pool.
  void shutdown(Shutdown how);

  /// Goes to `threads` >= 1 threads and returns how many it has: fewer where the system refuses one. Threads
  /// too many end after their task, which is not waited for. Nothing happens after shutdown.
  int resize(int threads);
  std::string problem() const;  ///< as ThreadPool::problem
  TaskPoolStatus status() const;

  /// As ThreadGroup has them.
  int place(std::vector<CpuSet> places);
  int prioritise(const OsPriority& priority);
  std::optional<CpuSet> moved_to() const;

 private:
  using TaskPtr = std::unique_ptr<Task>;
  static constexpr size_t kClasses = 3;

  TaskPool(std::string name, std::optional<size_t> queue_limit, StartThread start);
  void enqueue(TaskPtr task, TaskPriority priority);
  bool try_enqueue(TaskPtr task, TaskPriority priority);
  // These two with the lock held.
  bool has_room() const { return !limit_ || counts_.waiting < *limit_; }
  TaskPtr take();
  void add(TaskPtr task, TaskPriority priority);
  std::exception_ptr cancelled() const noexcept;
  void cancel(TaskPtr task) const;
  void work();

  const std::string name_;
  const std::optional<size_t> limit_;

  mutable std::mutex mutex_;  // for all up to group_mutex_
  std::condition_variable work_, room_;
  mutable std::condition_variable idle_;
  std::array<std::list<TaskPtr>, kClasses> queues_;  // lists: giving all of them up allocates nothing
  TaskPoolStatus counts_;                            // counts_.threads: those that have not decided to end
  int wanted_ = 0;
  bool closed_ = false;

  mutable std::mutex group_mutex_;  // for group_; taken before mutex_
  ThreadGroup group_;
};

}  // namespace qvl
