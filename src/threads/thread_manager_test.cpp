#include "threads/thread_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>

#include "base/error.h"
#include "threads/fake_machine.h"
#include "threads/thread_faults.h"

namespace qvl {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Placing = ThreadStatus::Placing;

// A test of what happens as processors go; such a test changes its own thread and puts it back.
class ThreadManagerOnTwo : public testing::Test {
 protected:
  void SetUp() override {
    if (own_.size() < 2) GTEST_SKIP() << "needs two processors";
    first_ = *own_.begin();
    second_ = *std::next(own_.begin());
    set_thread_affinity(this_thread_id(), {first_, second_});
  }
  void TearDown() override { set_thread_affinity(this_thread_id(), own_); }

  // As `taskset --all-tasks` does it.
  static void move_all_threads(const CpuSet& cpus) {
    for (const std::string& name : SystemFiles().names("/proc/self/task")) {
      set_thread_affinity(static_cast<ThreadId>(*parse_whole(name)), cpus);
    }
  }
  std::string both() const { return CpuSet{first_, second_}.list(); }

  const CpuSet own_ = this_thread_affinity();
  int first_ = 0, second_ = 0;
};

std::vector<CpuSet> worker_affinities(ThreadPool& pool) {
  std::vector<CpuSet> out(static_cast<size_t>(pool.size()));
  std::latch all_here(pool.size());
  pool.parallel_for(out.size(), 1, [&](size_t, size_t, int worker) {
    out[static_cast<size_t>(worker)] = this_thread_affinity();
    all_here.arrive_and_wait();
  });
  return out;
}

int worker_nice(ThreadPool& pool) {
  int out = 0;
  std::latch all_here(pool.size());
  pool.parallel_for(static_cast<size_t>(pool.size()), 1, [&](size_t, size_t, int worker) {
    if (worker == 1) out = thread_priority(this_thread_id()).nice;
    all_here.arrive_and_wait();
  });
  return out;
}

int task_nice(TaskPool& pool) {
  return pool.submit([] { return thread_priority(this_thread_id()).nice; }).get();
}

void set_cpuset(const FakeSystem& system, const CpuSet& cpus) {
  system.write("/proc/self/cgroup", "0::/\n");
  system.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu\n");
  system.write("/sys/fs/cgroup/cpuset.cpus.effective", cpus.list() + "\n");
}

TEST(ThreadManager, runs_loops_and_tasks) {
  ThreadManager manager({.num_compute_threads = 4, .num_io_threads = 2, .num_preprocess_threads = 1});
  const int budget = cpu_budget().threads;
  EXPECT_EQ(manager.compute().size(), std::min(4, budget));
  EXPECT_EQ(manager.budget(), cpu_budget());
  std::atomic<int> sum{0};
  manager.compute().parallel_for(100, 1, [&](size_t begin, size_t, int) { sum += static_cast<int>(begin); });
  EXPECT_EQ(sum.load(), 4950);
  EXPECT_EQ(manager.io().submit([] { return 1; }).get() + manager.preprocess().submit([] { return 2; }).get(),
            3);
  const ThreadStatus status = manager.status();
  EXPECT_EQ(status.compute_threads, std::min(4, budget));
  EXPECT_EQ(status.io_threads, 2);
  EXPECT_EQ(status.preprocess_threads, 1);
  EXPECT_NE(status.placing, Placing::refused);
  EXPECT_THAT(status.problems, IsEmpty());
}

TEST(ThreadManager, refuses_a_mask_without_a_usable_cpu) {
  const CpuSet own = this_thread_affinity();
  const int absent = CpuSet::kMostCpus - 1;
  try {
    ThreadManager manager({.cpu_affinity_mask = CpuSet{absent}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage);
    EXPECT_EQ(std::string(error.what()),
              fmt::format("cpu_affinity_mask: found {}, expected at least one CPU of {} (CPUs {})",
                          CpuSet{absent}.mask(), own.mask(), own.list()));
  }
}

TEST_F(ThreadManagerOnTwo, pins_workers_and_confines_tasks) {
  FakeSystem system;
  ThreadManager manager({.num_compute_threads = 2}, {.files = system.files()});
  EXPECT_EQ(manager.status().placing, Placing::pinned);
  EXPECT_EQ(manager.status().compute_places, (std::vector<CpuSet>{{first_}, {second_}}));
  EXPECT_EQ(worker_affinities(manager.compute()), (std::vector<CpuSet>{{first_, second_}, {second_}}));
  EXPECT_EQ(manager.io().submit([] { return this_thread_affinity(); }).get(), (CpuSet{first_, second_}));
  EXPECT_EQ(manager.topology().source, "the affinity of the process, every CPU taken as a core");
}

TEST_F(ThreadManagerOnTwo, keeps_all_pools_within_the_mask) {
  FakeSystem system;
  ThreadManager manager(
      {.num_compute_threads = 2, .cpu_affinity_mask = CpuSet{second_, CpuSet::kMostCpus - 1}},
      {.files = system.files()});
  EXPECT_EQ(manager.compute().size(), 1);
  EXPECT_EQ(manager.io().submit([] { return this_thread_affinity(); }).get(), CpuSet{second_});
  EXPECT_EQ(manager.preprocess().submit([] { return this_thread_affinity(); }).get(), CpuSet{second_});
  EXPECT_EQ(this_thread_affinity(), (CpuSet{first_, second_}));
  const ThreadManager::CallerGuard guard(manager);
  EXPECT_EQ(this_thread_affinity(), CpuSet{second_});
}

TEST_F(ThreadManagerOnTwo, follows_an_affinity_that_shrinks_and_grows) {
  FakeSystem system;
  ThreadManager manager({.num_compute_threads = 2}, {.files = system.files()});
  EXPECT_EQ(manager.refresh_budget(), std::nullopt);
  for (int left : {first_, second_}) {
    set_thread_affinity(this_thread_id(), {left});
    EXPECT_EQ(
        manager.refresh_budget(),
        fmt::format("CPU budget: 2 threads: CPUs {} on 2 cores -> 1 thread: CPU {} on 1 core", both(), left));
    EXPECT_EQ(manager.refresh_budget(), std::nullopt);
    EXPECT_EQ(manager.compute().size(), 1);
    EXPECT_EQ(manager.io().submit([] { return this_thread_affinity(); }).get(), CpuSet{left});
    set_thread_affinity(this_thread_id(), {first_, second_});
    EXPECT_EQ(
        manager.refresh_budget(),
        fmt::format("CPU budget: 1 thread: CPU {} on 1 core -> 2 threads: CPUs {} on 2 cores", left, both()));
    EXPECT_EQ(manager.compute().size(), 2);
    EXPECT_EQ(worker_affinities(manager.compute())[1], CpuSet{second_});
  }
}

TEST_F(ThreadManagerOnTwo, follows_an_affinity_of_all_threads_while_the_caller_is_placed) {
  FakeSystem system;
  for (int left : {first_, second_}) {
    ThreadManager manager({.num_compute_threads = 2}, {.files = system.files()});
    {
      const ThreadManager::CallerGuard guard(manager);
      EXPECT_EQ(worker_affinities(manager.compute()), (std::vector<CpuSet>{{first_}, {second_}}));
      move_all_threads({left});
      ASSERT_TRUE(manager.refresh_budget());
      EXPECT_EQ(manager.compute().size(), 1);
      EXPECT_EQ(this_thread_affinity(), CpuSet{left});
      move_all_threads({first_, second_});
      ASSERT_TRUE(manager.refresh_budget());
      EXPECT_EQ(worker_affinities(manager.compute()), (std::vector<CpuSet>{{first_}, {second_}}));
      EXPECT_EQ(manager.refresh_budget(), std::nullopt);
    }
    EXPECT_EQ(this_thread_affinity(), (CpuSet{first_, second_}));
  }
}

TEST_F(ThreadManagerOnTwo, follows_a_cpuset_that_shrinks_and_grows_while_the_caller_is_placed) {
  FakeSystem system;
  set_cpuset(system, {first_, second_});
  ThreadManager manager({.num_compute_threads = 2}, {.files = system.files()});
  const ThreadManager::CallerGuard guard(manager);
  for (int left : {first_, second_}) {
    set_cpuset(system, {left});
    move_all_threads({left});  // what the kernel does
    ASSERT_TRUE(manager.refresh_budget());
    EXPECT_EQ(manager.budget().cpus, std::vector<int>{left});
    EXPECT_EQ(this_thread_affinity(), CpuSet{left});
    set_cpuset(system, {first_, second_});  // the kernel leaves placed threads where they are
    ASSERT_TRUE(manager.refresh_budget());
    EXPECT_EQ(manager.compute().size(), 2);
    EXPECT_EQ(worker_affinities(manager.compute()), (std::vector<CpuSet>{{first_}, {second_}}));
  }
}

TEST_F(ThreadManagerOnTwo, places_threads_again_that_the_kernel_has_set_free) {
  FakeSystem system;
  ThreadManager manager({.num_compute_threads = 2}, {.files = system.files()});
  move_all_threads({first_, second_});
  EXPECT_EQ(manager.refresh_budget(), std::nullopt);
  EXPECT_EQ(worker_affinities(manager.compute())[1], CpuSet{second_});
}

TEST_F(ThreadManagerOnTwo, goes_on_without_a_mask_of_which_nothing_is_left) {
  FakeSystem system;
  set_cpuset(system, {first_, second_});
  ThreadManager manager({.cpu_affinity_mask = CpuSet{second_}}, {.files = system.files()});
  set_cpuset(system, {first_});
  ASSERT_TRUE(manager.refresh_budget());
  EXPECT_EQ(manager.budget().cause, fmt::format("1 thread: CPU {} on 1 core, none of the mask {} is left",
                                                first_, CpuSet{second_}.mask()));
  EXPECT_EQ(manager.compute().size(), 1);
  set_cpuset(system, {first_, second_});
  ASSERT_TRUE(manager.refresh_budget());
  EXPECT_EQ(manager.budget().cpus, std::vector<int>{second_});
}

TEST_F(ThreadManagerOnTwo, follows_a_quota) {
  FakeSystem system;
  set_cpuset(system, {first_, second_});
  ThreadManager manager({.num_compute_threads = 2}, {.files = system.files()});
  system.write("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(
      manager.refresh_budget(),
      fmt::format("CPU budget: 2 threads: CPUs {0} on 2 cores -> 1 thread: CPUs {0} on 2 cores, quota 1.5 of "
                  "/sys/fs/cgroup",
                  both()));
  EXPECT_EQ(manager.compute().size(), 1);
  system.write("/sys/fs/cgroup/cpu.max", "max 100000\n");
  ASSERT_TRUE(manager.refresh_budget());
  EXPECT_EQ(manager.compute().size(), 2);
}

TEST_F(ThreadManagerOnTwo, reads_the_topology_again_when_processors_come_or_go) {
  FakeSystem system;
  set_online(system, fmt::format("{}", first_));
  add_cpu(system, first_, both());
  ThreadManager manager({}, {.files = system.files()});
  EXPECT_EQ(manager.budget().cores, 2);  // the other one is not known, so it is taken as a core
  add_cpu(system, second_, both());
  set_online(system, both());
  ASSERT_TRUE(manager.refresh_budget());
  EXPECT_EQ(manager.budget().cores, 1);
}

TEST_F(ThreadManagerOnTwo, adjusts_to_a_target) {
  FakeSystem system;
  ThreadManager manager({.num_compute_threads = 2}, {.files = system.files()});
  manager.adjust({.most_compute_threads = 1, .duty = 0.5});
  EXPECT_EQ(manager.status().compute_threads, 1);
  EXPECT_EQ(manager.status().duty, 0.5);
  manager.adjust({.foreign_cpus = 1});
  EXPECT_EQ(manager.status().compute_threads, 2);
  EXPECT_EQ(manager.status().duty, 1);
  EXPECT_EQ(manager.status().awake_turns, 0);
  EXPECT_EQ(manager.status().placing, Placing::confined);
  EXPECT_EQ(worker_affinities(manager.compute())[1], (CpuSet{first_, second_}));
  manager.adjust({});
  EXPECT_EQ(manager.status().awake_turns, ThreadPool::kAwakeTurns);
  EXPECT_EQ(worker_affinities(manager.compute())[1], CpuSet{second_});
}

TEST_F(ThreadManagerOnTwo, runs_under_other_options_from_then_on) {
  FakeSystem system;
  ThreadManager manager({.num_compute_threads = 2, .thread_priority = 0}, {.files = system.files()});
  const ThreadManager::CallerGuard guard(manager);
  manager.adjust({.most_compute_threads = 1});
  manager.configure({.num_compute_threads = 2,
                     .num_io_threads = 3,
                     .num_preprocess_threads = 1,
                     .thread_priority = 0,
                     .policy = SchedulerPolicy::balanced});
  const ThreadStatus status = manager.status();
  EXPECT_EQ(status.policy, SchedulerPolicy::balanced);
  EXPECT_EQ(status.compute_threads, 2);  // what was asked of the threads before is forgotten
  EXPECT_EQ(status.io_threads, 3);
  EXPECT_EQ(status.preprocess_threads, 1);
  EXPECT_EQ(status.placing, Placing::confined);
  EXPECT_EQ(status.priority.compute_nice, manager.status().priority.task_nice);
  EXPECT_EQ(worker_nice(manager.compute()), status.priority.compute_nice);
  manager.configure({.num_compute_threads = 2, .cpu_affinity_mask = CpuSet{second_}});
  EXPECT_EQ(manager.status().compute_threads, 1);
  EXPECT_EQ(this_thread_affinity(), CpuSet{second_});
}

TEST_F(ThreadManagerOnTwo, keeps_its_options_where_others_are_refused) {
  FakeSystem system;
  ThreadManager manager({.num_compute_threads = 2}, {.files = system.files()});
  const auto refusal = [&](const ThreadManagerOptions& options) -> std::string {
    try {
      manager.configure(options);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage);
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refusal({.num_compute_threads = 0}), "num_compute_threads: found 0, expected 1 to 1024");
  const CpuSet absent{CpuSet::kMostCpus - 1};
  EXPECT_EQ(refusal({.num_compute_threads = 1, .cpu_affinity_mask = absent}),
            fmt::format("cpu_affinity_mask: found {}, expected at least one CPU of {} (CPUs {})",
                        absent.mask(), (CpuSet{first_, second_}).mask(), both()));
  EXPECT_EQ(manager.status().compute_threads, 2);
  EXPECT_EQ(manager.status().placing, Placing::pinned);
}

TEST_F(ThreadManagerOnTwo, saves_power) {
  ThreadManager manager({.num_compute_threads = 2, .policy = SchedulerPolicy::power_save});
  EXPECT_EQ(manager.status().compute_threads, 1);
  EXPECT_EQ(manager.status().duty, kPowerSaveDuty);
  EXPECT_EQ(manager.status().awake_turns, 0);
}

TEST_F(ThreadManagerOnTwo, lowers_the_others_where_it_may_not_raise_compute) {
  without_right_to_raise([] {
    const int own = thread_priority(this_thread_id()).nice;
    ThreadManager manager({.num_compute_threads = 2, .thread_priority = 2});
    const ThreadManager::CallerGuard guard(manager);
    EXPECT_EQ(manager.status().priority,
              (PriorityPlan{own, std::min(own + 10, 19), PriorityOutcome::others_later}));
    EXPECT_EQ(worker_nice(manager.compute()), own);
    EXPECT_EQ(task_nice(manager.io()), std::min(own + 10, 19));
    EXPECT_EQ(task_nice(manager.preprocess()), std::min(own + 10, 19));
    EXPECT_EQ(thread_priority(this_thread_id()).nice, own);
    EXPECT_THAT(manager.status().problems, IsEmpty());
  });
}

TEST_F(ThreadManagerOnTwo, raises_compute_where_it_may_and_puts_the_caller_back) {
  if (!may_raise_priority()) GTEST_SKIP() << "this user may not raise priorities";
  const OsPriority own = thread_priority(this_thread_id());
  if (own.nice < -15) GTEST_SKIP() << "runs at the top already";
  ThreadManager manager({.num_compute_threads = 2});
  EXPECT_EQ(manager.status().priority,
            (PriorityPlan{own.nice - 5, own.nice, PriorityOutcome::compute_first}));
  EXPECT_EQ(worker_nice(manager.compute()), own.nice - 5);
  EXPECT_EQ(task_nice(manager.io()), own.nice);
  {
    const ThreadManager::CallerGuard guard(manager);
    EXPECT_EQ(thread_priority(this_thread_id()).nice, own.nice - 5);
  }
  EXPECT_EQ(thread_priority(this_thread_id()), own);
}

TEST_F(ThreadManagerOnTwo, does_not_lower_a_caller_that_it_could_not_raise_again) {
  without_right_to_raise([] {
    const int own = thread_priority(this_thread_id()).nice;
    ThreadManager manager({.num_compute_threads = 2, .policy = SchedulerPolicy::power_save});
    const ThreadManager::CallerGuard guard(manager);
    EXPECT_EQ(thread_priority(this_thread_id()).nice, own);
    EXPECT_THAT(manager.status().problems,
                ElementsAre(fmt::format("the calling thread was not set to nice level {}", own + 5)));
  });
}

TEST_F(ThreadManagerOnTwo, lets_others_go_first_for_background_work_and_comes_back) {
  without_right_to_raise([] {
    const auto own = thread_priority(this_thread_id()).os_class;
    ThreadManager manager({.num_compute_threads = 2});
    const ThreadManager::CallerGuard guard(manager);
    for (auto work : {ThreadManager::Work::background, ThreadManager::Work::foreground}) {
      manager.work_is(work);
      manager.adjust({.duty = work == ThreadManager::Work::background ? 0.5 : 1});  // another matter
      const auto expected = work == ThreadManager::Work::background ? OsPriority::Class::batch : own;
      std::latch all_here(2);
      manager.compute().parallel_for(2, 1, [&](size_t, size_t, int) {
        EXPECT_EQ(thread_priority(this_thread_id()).os_class, expected);
        all_here.arrive_and_wait();
      });
      EXPECT_THAT(manager.status().problems, IsEmpty());
    }
  });
}

TEST_F(ThreadManagerOnTwo, starts_with_what_threads_it_gets) {
  FakeSystem system;
  // Threads start in this order: one for reading, one for preprocessing, then compute and the rest.
  const std::vector<std::string> causes{
      "io pool: no thread could be started: Resource temporarily unavailable",
      "preprocess pool: no thread could be started: Resource temporarily unavailable"};
  const auto make = [&](int threads) {
    return ThreadManager({.num_compute_threads = 2, .num_io_threads = 2, .num_preprocess_threads = 2},
                         {.files = system.files(), .start = refuse_after(threads)})
        .status();
  };
  for (size_t threads = 0; threads < causes.size(); ++threads) {
    try {
      make(static_cast<int>(threads));
      FAIL() << threads;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::environment);
      EXPECT_EQ(error.what(), causes[threads]);
    }
  }
  const auto refused = [](std::string_view pool) {
    return fmt::format(
        "{} pool: 1 of 2 threads, the system refused another: Resource temporarily unavailable", pool);
  };
  EXPECT_THAT(make(2).problems, ElementsAre(refused("compute"), refused("io"), refused("preprocess")));
  EXPECT_THAT(make(3).problems, ElementsAre(refused("io"), refused("preprocess")));
  EXPECT_THAT(make(4).problems, ElementsAre(refused("preprocess")));
  EXPECT_THAT(make(5).problems, IsEmpty());
}

TEST_F(ThreadManagerOnTwo, tries_again_to_start_compute_threads) {
  FakeSystem system;
  bool refuses = false;
  const auto start = [&](std::function<void()> body) {
    return (refuses ? refuse_after(0) : StartThread(start_thread))(std::move(body));
  };
  ThreadManager manager({.num_compute_threads = 2}, {.files = system.files(), .start = start});
  manager.adjust({.most_compute_threads = 1});
  refuses = true;
  manager.adjust({});
  EXPECT_EQ(manager.compute().size(), 1);
  EXPECT_EQ(manager.refresh_budget(), std::nullopt);
  EXPECT_EQ(manager.compute().size(), 1);
  refuses = false;
  EXPECT_EQ(manager.refresh_budget(), std::nullopt);
  EXPECT_EQ(manager.compute().size(), 2);
  EXPECT_THAT(manager.status().problems, IsEmpty());
}

TEST(ThreadManager, ends_its_task_pools_as_asked) {
  ThreadManager manager({});
  std::vector<std::future<int>> all;
  for (int i = 0; i < 50; ++i) all.push_back(manager.preprocess().submit([i] { return i; }));
  manager.shutdown(Shutdown::drain);
  int sum = 0;
  for (auto& each : all) sum += each.get();
  EXPECT_EQ(sum, 1225);
  EXPECT_THROW(manager.io().submit([] { return 1; }).get(), Error);
}

}  // namespace
}  // namespace qvl
