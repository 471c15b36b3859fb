#include "threads/task_pool.h"

#include <algorithm>
#include <new>

#include "base/error.h"
#include "base/waiting_time.h"

#if defined(__SANITIZE_THREAD__)
// A future's exception is counted inside libstdc++, which is built without the sanitizer: it does not see
// that the count orders the last use of an exception on one thread before its end on another.
extern "C" const char* __tsan_default_suppressions() {
  return "race:std::__exception_ptr::exception_ptr::_M_release";
}
#endif

namespace qvl {

TaskPool::TaskPool(std::string name, std::optional<size_t> queue_limit, StartThread start)
    : name_(std::move(name)), limit_(queue_limit), group_(name_, std::move(start)) {
  QVL_CHECK(!limit_ || *limit_ >= 1);
}

// A pool already when its threads start: where one of them throws, the destructor ends those that run.
TaskPool::TaskPool(TaskPoolOptions options)
    : TaskPool(std::move(options.name), options.queue_limit, std::move(options.start)) {
  QVL_CHECK(options.threads >= 1);
  if (resize(options.threads) == 0) {
    fail(ErrorCode::environment, "{} pool: no thread could be started: {}", name_, group_.problem());
  }
}

TaskPool::~TaskPool() { shutdown(Shutdown::cancel); }

// Also where no memory is left for the text: whoever waits for the task must hear of its end.
std::exception_ptr TaskPool::cancelled() const noexcept {
  try {
    return std::make_exception_ptr(
        Error(ErrorCode::environment,
              fmt::format("{} pool: the task was cancelled, the pool is shut down", name_)));
  } catch (const std::bad_alloc&) {
    return std::make_exception_ptr(Error::out_of_memory());
  }
}

void TaskPool::cancel(TaskPtr task) const { task->cancel(cancelled()); }

void TaskPool::enqueue(TaskPtr task, TaskPriority priority) {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [this] { return closed_ || has_room(); });
  if (!closed_) return add(std::move(task), priority);
  ++counts_.submitted;
  ++counts_.cancelled;
  lock.unlock();
  cancel(std::move(task));
}

bool TaskPool::try_enqueue(TaskPtr task, TaskPriority priority) {
  std::unique_lock lock(mutex_);
  if (!closed_ && !has_room()) {
    ++counts_.refused;
    task->cancel(std::make_exception_ptr(Error::out_of_memory()));  // nobody hears of it: try_submit
    return false;
  }
  if (!closed_) {
    add(std::move(task), priority);
    return true;
  }
  ++counts_.submitted;
  ++counts_.cancelled;
  lock.unlock();
  cancel(std::move(task));
  return true;
}

void TaskPool::add(TaskPtr task, TaskPriority priority) {
  try {
    queues_[static_cast<size_t>(priority)].push_back(std::move(task));
  } catch (const std::bad_alloc&) {
    // The library breaks a promise that was not kept with an error that it allocates.
    task->cancel(std::make_exception_ptr(Error::out_of_memory()));
    throw;
  }
  ++counts_.submitted;
  ++counts_.waiting;
  work_.notify_one();
}

TaskPool::TaskPtr TaskPool::take() {
  const auto queue =
      std::find_if(queues_.begin(), queues_.end(), [](const auto& each) { return !each.empty(); });
  TaskPtr task = std::move(queue->front());
  queue->pop_front();
  --counts_.waiting;
  ++counts_.running;
  room_.notify_one();
  return task;
}

void TaskPool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [this] { return counts_.waiting > 0 || closed_ || counts_.threads > wanted_; });
    if (counts_.threads > wanted_ || counts_.waiting == 0) break;
    TaskPtr task = take();
    lock.unlock();
    task->run([this](TaskOutcome outcome) {
      const std::lock_guard guard(mutex_);
      --counts_.running;
      ++(outcome == TaskOutcome::completed ? counts_.completed : counts_.failed);
      if (counts_.running + counts_.waiting == 0) idle_.notify_all();
    });
    task.reset();
    lock.lock();
  }
  --counts_.threads;
  if (counts_.waiting > 0) work_.notify_one();  // this thread may have been woken for a task
}

int TaskPool::resize(int threads) {
  QVL_CHECK(threads >= 1);
  const std::lock_guard group_guard(group_mutex_);
  std::unique_lock lock(mutex_);
  if (closed_) return counts_.threads;
  wanted_ = threads;
  work_.notify_all();
  while (!closed_ && counts_.threads < wanted_) {
    ++counts_.threads;
    lock.unlock();
    bool started = false;
    try {
      started = group_.start([this] { work(); });
    } catch (...) {
      lock.lock();
      wanted_ = --counts_.threads;
      throw;
    }
    lock.lock();
    if (started) continue;
    wanted_ = --counts_.threads;
  }
  lock.unlock();
  group_.join_ended();
  lock.lock();
  return wanted_;
}

void TaskPool::close(Shutdown how) {
  std::array<std::list<TaskPtr>, kClasses> given_up;
  {
    const std::lock_guard guard(mutex_);
    closed_ = true;
    if (how == Shutdown::cancel) {
      given_up.swap(queues_);
      counts_.cancelled += std::exchange(counts_.waiting, 0);
      if (counts_.running == 0) idle_.notify_all();
    }
  }
  work_.notify_all();
  room_.notify_all();
  for (auto& queue : given_up) {
    for (TaskPtr& task : queue) cancel(std::move(task));
  }
}

bool TaskPool::wait_idle(std::chrono::milliseconds most) const {
  std::unique_lock lock(mutex_);
  return idle_.wait_for(lock, waiting_time(most), [this] { return counts_.running + counts_.waiting == 0; });
}

void TaskPool::shutdown(Shutdown how) {
  close(how);
  const std::lock_guard group_guard(group_mutex_);
  QVL_CHECK(!group_.contains_this_thread());
  group_.join_from(0);
}

std::string TaskPool::problem() const {
  const std::lock_guard guard(group_mutex_);
  return group_.problem();
}

TaskPoolStatus TaskPool::status() const {
  const std::lock_guard guard(mutex_);
  TaskPoolStatus out = counts_;
  out.threads = std::min(counts_.threads, wanted_);
  return out;
}

int TaskPool::place(std::vector<CpuSet> places) {
  const std::lock_guard guard(group_mutex_);
  return group_.place(std::move(places));
}

int TaskPool::prioritise(const OsPriority& priority) {
  const std::lock_guard guard(group_mutex_);
  return group_.prioritise(priority);
}

std::optional<CpuSet> TaskPool::moved_to() const {
  const std::lock_guard guard(group_mutex_);
  return group_.moved_to();
}

}  // namespace qvl
