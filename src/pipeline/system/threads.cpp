// Pools of threads for programs of their own: threads/task_threads.h under the configuration's names.
#include <atomic>

#include "base/json.h"
#include "pipeline/system/options.h"
#include "qvl/system.h"
#include "threads/task_threads.h"

namespace qvl::system {
namespace {

qvl::Shutdown how_to(Shutdown how) {
  return how == Shutdown::drain ? qvl::Shutdown::drain : qvl::Shutdown::cancel;
}

TaskKind kind_of(Pool pool) {
  switch (pool) {
    case Pool::io:
      return TaskKind::io;
    case Pool::preprocess:
      return TaskKind::preprocess;
    case Pool::compute:
      break;
  }
  return TaskKind::compute;
}

OrderedJson to_json(const TaskPoolStatus& status) {
  return {{"threads", status.threads},     {"waiting", status.waiting},     {"running", status.running},
          {"submitted", status.submitted}, {"completed", status.completed}, {"failed", status.failed},
          {"cancelled", status.cancelled}, {"refused", status.refused}};
}

// The work itself keeps its outcome: nobody looks at the pool's future.
auto run_once(std::unique_ptr<Work> work) {
  return [held = std::move(work)] { held->run(); };
}

}  // namespace

struct ThreadManager::State {
  explicit State(const SystemOptimizationConfig& config) : threads(thread_options(config)) {}
  TaskThreads threads;
  std::atomic<bool> closed{false};
};

static_assert(ThreadManager::kMostWaiting == TaskThreads::kMostWaiting);

ThreadManager::ThreadManager(const SystemOptimizationConfig& config)
    : state_(std::make_unique<State>(config)) {}
ThreadManager::~ThreadManager() = default;
ThreadManager::ThreadManager(ThreadManager&&) noexcept = default;

void ThreadManager::submit(Pool pool, std::unique_ptr<Work> work) {
  (void)state_->threads.pool(kind_of(pool)).submit(run_once(std::move(work)));
}

bool ThreadManager::try_submit(Pool pool, std::unique_ptr<Work> work) {
  return state_->threads.pool(kind_of(pool)).try_submit(run_once(std::move(work))).has_value();
}

void ThreadManager::close(Shutdown how) {
  state_->closed = true;
  state_->threads.close(how_to(how));
}

bool ThreadManager::wait_idle(std::chrono::milliseconds most) const {
  return state_->threads.wait_idle(most);
}

void ThreadManager::shutdown(Shutdown how) {
  state_->closed = true;
  state_->threads.shutdown(how_to(how));
}

std::string ThreadManager::status() const {
  OrderedJson out = {{"closed", state_->closed.load()},
                     {"cpu_budget_threads", state_->threads.budget().threads},
                     {"cpu_budget_cause", state_->threads.budget().cause}};
  for (TaskKind kind : kTaskKinds) {
    out[std::string(task_kind_name(kind))] = to_json(state_->threads.pool(kind).status());
  }
  out["problems"] = state_->threads.problems();
  return out.dump();
}

}  // namespace qvl::system
