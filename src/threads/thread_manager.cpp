#include "threads/thread_manager.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace qvl {
namespace {

ThreadManagerOptions checked(ThreadManagerOptions options) {
  check_options(options);
  return options;
}

TaskPoolOptions task_pool(std::string name, const StartThread& start) {
  return {.name = std::move(name), .threads = 1, .queue_limit = ThreadManager::kMostWaiting, .start = start};
}

// Notes where the pool gets fewer threads than were granted.
template <typename Pool>
void resize(Pool& pool, std::string_view name, int granted, std::vector<std::string>& problems) {
  const int found = pool.resize(granted);
  if (found >= granted) return;
  problems.push_back(fmt::format("{} pool: {} of {} threads, the system refused another: {}", name, found,
                                 granted, pool.problem()));
}

PriorityPlan priorities_for(const ThreadManagerOptions& options, const OsPriority& own) {
  return plan_priorities(options, own.nice, may_raise_priority() ? RaiseRight::granted : RaiseRight::missing);
}

void note_refused(std::vector<std::string>& problems, int threads, std::string_view what) {
  if (threads == 0) return;
  problems.push_back(
      fmt::format("the kernel did not {} {} {}", what, threads, threads == 1 ? "thread" : "threads"));
}

// A turn comes with each request: its problems must not pile up.
void note_once(std::vector<std::string>& problems, std::string problem) {
  if (std::find(problems.begin(), problems.end(), problem) == problems.end()) {
    problems.push_back(std::move(problem));
  }
}

}  // namespace

ThreadManager::ThreadManager(ThreadManagerOptions options, ThreadSystem system)
    : options_(checked(std::move(options))),
      system_(std::move(system)),
      own_affinity_(this_thread_affinity()),
      seen_affinity_(own_affinity_),
      own_priority_(thread_priority(this_thread_id())),
      priority_(priorities_for(options_, own_priority_)),
      topology_(read_topology(system_.files, own_affinity_)),
      compute_(1, system_.start),
      io_(task_pool("io", system_.start)),
      preprocess_(task_pool("preprocess", system_.start)) {
  const CpuSet permitted = affinity();
  masked_affinity(permitted, options_.cpu_affinity_mask);
  budget_ = read_budget(permitted);
  apply();
}

std::optional<CpuSet> ThreadManager::moved_to() const {
  if (caller_) {
    if (auto moved = caller_->moved_to()) return moved;
  }
  if (auto moved = compute_.moved_to()) return moved;
  if (auto moved = io_.moved_to()) return moved;
  return preprocess_.moved_to();
}

CpuSet ThreadManager::affinity() {
  if (!caller_) {
    CpuSet now = this_thread_affinity();
    if (now != seen_affinity_) own_affinity_ = seen_affinity_ = std::move(now);
  }
  const auto cpuset = read_cpuset(system_.files);
  const auto within = [&cpuset](const CpuSet& cpus) { return cpuset ? cpus & *cpuset : cpus; };
  // A cpuset that shrinks moves our threads too, and that does not take back what the process may use once it
  // grows.
  if (auto moved = moved_to(); moved && *moved != within(own_affinity_)) own_affinity_ = std::move(*moved);
  if (caller_) caller_->return_to(own_affinity_);
  const CpuSet out = within(own_affinity_);
  return out.empty() ? own_affinity_ : out;
}

void ThreadManager::read_topology_again(const CpuSet& affinity) {
  // A hundred files; only processors that come or go change what is in them.
  const auto online = read_online_cpus(system_.files);
  if (online && *online != topology_.online()) topology_ = read_topology(system_.files, affinity);
}

CpuBudget ThreadManager::read_budget(const CpuSet& affinity) const {
  const auto& mask = options_.cpu_affinity_mask;
  const CpuSet permitted = mask ? affinity & *mask : affinity;
  auto quota = read_cpu_quota(system_.files);
  if (!permitted.empty()) return make_cpu_budget(topology_, permitted, std::move(quota));
  CpuBudget out = make_cpu_budget(topology_, affinity, std::move(quota));
  out.cause += fmt::format(", none of the mask {} is left", mask->mask());
  return out;
}

std::optional<std::string> ThreadManager::refresh_budget() {
  const bool moved = moved_to().has_value();
  const CpuSet permitted = affinity();
  read_topology_again(permitted);
  CpuBudget now = read_budget(permitted);
  std::optional<std::string> change;
  if (now != budget_) change = fmt::format("CPU budget: {} -> {}", budget_.cause, now.cause);
  const bool has_all = compute_.size() == plan_.compute_threads;  // a refusal may have been for a moment
  if (!change && !moved && has_all && applied_) return std::nullopt;
  budget_ = std::move(now);
  apply();
  return change;
}

void ThreadManager::check(const ThreadManagerOptions& options) {
  check_options(options);
  masked_affinity(affinity(), options.cpu_affinity_mask);
}

void ThreadManager::configure(ThreadManagerOptions options) {
  check(options);
  options_ = std::move(options);
  priority_ = priorities_for(options_, own_priority_);
  budget_ = read_budget(affinity());
  target_ = {};
  apply();
}

void ThreadManager::adjust(const ThreadTarget& target) {
  if (target == target_) return;
  target_ = target;
  apply();
}

void ThreadManager::apply() {
  applied_ = false;
  plan_ = plan_threads(options_, budget_, target_);
  problems_.clear();
  resize(compute_, "compute", plan_.compute_threads, problems_);
  resize(io_, "io", plan_.io_threads, problems_);
  resize(preprocess_, "preprocess", plan_.preprocess_threads, problems_);
  place();
  prioritise();
  compute_.set_awake_turns(plan_.awake_turns);
  compute_.set_duty(plan_.duty);
  applied_ = true;
}

void ThreadManager::place() {
  int refused = compute_.place(plan_.compute_places);
  refused += io_.place({plan_.task_place}) + preprocess_.place({plan_.task_place});
  if (caller_ && !caller_->place(plan_.compute_places.front())) ++refused;
  note_refused(problems_, refused, "place");
  placed_ = refused == 0;
}

OsPriority ThreadManager::compute_priority() const {
  const bool background = work_ == Work::background;
  return {.nice = priority_.compute_nice,
          .os_class = background ? OsPriority::Class::batch : own_priority_.os_class};
}

void ThreadManager::prioritise() {
  const OsPriority compute = compute_priority();
  const OsPriority task{.nice = priority_.task_nice, .os_class = own_priority_.os_class};
  const int refused = compute_.prioritise(compute) + io_.prioritise(task) + preprocess_.prioritise(task);
  note_refused(problems_, refused, "prioritise");
  if (caller_) prioritise_caller();
}

void ThreadManager::work_is(Work work) {
  if (work == work_) return;
  work_ = work;
  if (compute_.prioritise(compute_priority()) > 0) {
    note_once(problems_, "the kernel did not prioritise the compute threads");
  }
  if (caller_) prioritise_caller();
}

// Nothing but the caller: placing the others again would undo, unseen, what somebody else did to them
// meanwhile.
void ThreadManager::take_caller() {
  if (!applied_) return apply();
  if (!caller_->place(plan_.compute_places.front())) {
    note_once(problems_, "the kernel did not place the calling thread");
    placed_ = false;
  }
  prioritise_caller();
}

void ThreadManager::prioritise_caller() {
  const OsPriority compute = compute_priority();
  if (caller_->prioritise(compute)) return;
  note_once(problems_, fmt::format("the calling thread was not set to nice level {}", compute.nice));
}

ThreadStatus ThreadManager::status() const {
  return {.policy = options_.policy,
          .budget = budget_,
          .compute_threads = compute_.size(),
          .io_threads = io_.status().threads,
          .preprocess_threads = preprocess_.status().threads,
          .compute_places = plan_.compute_places,
          .placing = !placed_       ? ThreadStatus::Placing::refused
                     : plan_.pinned ? ThreadStatus::Placing::pinned
                                    : ThreadStatus::Placing::confined,
          .priority = priority_,
          .awake_turns = compute_.awake_turns(),
          .duty = compute_.duty(),
          .problems = problems_};
}

void ThreadManager::shutdown(Shutdown how) {
  io_.shutdown(how);
  preprocess_.shutdown(how);
}

ThreadManager::CallerGuard::CallerGuard(ThreadManager& manager) : manager_(manager) {
  QVL_CHECK(manager.caller_ == nullptr);
  manager.caller_ = std::make_unique<CallerPlacement>();
  try {
    manager.take_caller();
  } catch (...) {
    manager.caller_.reset();
    throw;
  }
}

ThreadManager::CallerGuard::~CallerGuard() { manager_.caller_.reset(); }

}  // namespace qvl
