// The three pools of tasks: their sizes, places and priorities, and what they refuse.
#include "threads/task_threads.h"

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

int threads_of(const TaskThreads& threads, TaskKind kind) { return threads.pool(kind).status().threads; }

std::string refused(ErrorCode code, const ThreadManagerOptions& options, const StartThread& start) {
  try {
    TaskThreads(options, SystemFiles(), start);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    return error.what();
  }
  return "no error";
}

TEST(TaskThreads, has_as_many_threads_as_the_budget_and_the_options_allow) {
  const int budget = cpu_budget().threads;
  TaskThreads threads({.num_compute_threads = 3, .num_io_threads = 5, .num_preprocess_threads = 2});
  EXPECT_EQ(threads_of(threads, TaskKind::compute), std::min(3, budget));
  EXPECT_EQ(threads_of(threads, TaskKind::io), 5);
  EXPECT_EQ(threads_of(threads, TaskKind::preprocess), std::min(2, budget));
  EXPECT_EQ(threads.budget(), cpu_budget());
}

TEST(TaskThreads, runs_tasks_of_each_kind_at_the_same_time) {
  TaskThreads threads({.num_compute_threads = 1, .num_io_threads = 1, .num_preprocess_threads = 1});
  std::latch all_here(kTaskKinds.size());
  std::vector<std::future<std::string>> names;
  for (TaskKind kind : kTaskKinds) {
    names.push_back(threads.pool(kind).submit([&all_here, kind] {
      all_here.arrive_and_wait();
      return std::string(task_kind_name(kind));
    }));
  }
  EXPECT_EQ(names[0].get(), "compute");
  EXPECT_EQ(names[1].get(), "io");
  EXPECT_EQ(names[2].get(), "preprocess");
}

TEST(TaskThreads, pins_none_so_that_threads_of_a_task_may_go_anywhere_in_the_budget) {
  TaskThreads threads({.num_compute_threads = 1});
  CpuSet budget;
  for (int cpu : threads.budget().cpus) budget.add(cpu);
  for (TaskKind kind : kTaskKinds) {
    EXPECT_EQ(threads.pool(kind).submit([] { return this_thread_affinity(); }).get(), budget);
  }
}

TEST(TaskThreads, puts_compute_before_the_other_pools) {
  without_right_to_raise([] {
    const int own = thread_priority(this_thread_id()).nice;
    TaskThreads threads({.num_compute_threads = 1, .thread_priority = 2});
    std::vector<int> nice;
    for (TaskKind kind : kTaskKinds) {
      nice.push_back(threads.pool(kind).submit([] { return thread_priority(this_thread_id()).nice; }).get());
    }
    EXPECT_THAT(nice, ElementsAre(own, own + 10, own + 10));
    EXPECT_THAT(threads.problems(), IsEmpty());
  });
}

TEST(TaskThreads, works_with_the_threads_it_gets) {
  auto started = std::make_shared<std::atomic<int>>(0);
  const StartThread refuse_third = [started](std::function<void()> body) {
    if (++*started == 3)
      throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
    return start_thread(std::move(body));
  };
  TaskThreads threads({.num_compute_threads = 1, .num_io_threads = 2, .num_preprocess_threads = 1},
                      SystemFiles(), refuse_third);
  EXPECT_EQ(threads_of(threads, TaskKind::io), 1);
  EXPECT_THAT(threads.problems(),
              ElementsAre(fmt::format("io pool: 1 of 2 threads, the system refused another: {}", kRefusal)));
  EXPECT_EQ(threads.pool(TaskKind::io).submit([] { return 7; }).get(), 7);
}

TEST(TaskThreads, refuses_bad_options_by_name) {
  EXPECT_EQ(refused(ErrorCode::usage, {.num_io_threads = 0}, start_thread),
            "num_io_threads: found 0, expected 1 to 1024");
  EXPECT_EQ(refused(ErrorCode::environment, {}, refuse_after(0)),
            fmt::format("compute pool: no thread could be started: {}", kRefusal));
  EXPECT_EQ(refused(ErrorCode::environment, {.num_compute_threads = 1, .num_io_threads = 3}, refuse_after(2)),
            fmt::format("preprocess pool: no thread could be started: {}", kRefusal));
}

TEST(TaskThreads, drains_and_cancels_all_pools) {
  TaskThreads threads({.num_compute_threads = 1, .num_io_threads = 1, .num_preprocess_threads = 1});
  std::vector<std::future<int>> all;
  for (TaskKind kind : kTaskKinds) {
    for (int i = 0; i < 20; ++i) all.push_back(threads.pool(kind).submit([i] { return i; }));
  }
  threads.shutdown(Shutdown::drain);
  int sum = 0;
  for (auto& each : all) sum += each.get();
  EXPECT_EQ(sum, 3 * 190);
  EXPECT_TRUE(threads.wait_idle(std::chrono::milliseconds(0)));
  for (TaskKind kind : kTaskKinds) {
    EXPECT_THROW(threads.pool(kind).submit([] { return 1; }).get(), Error);
  }
}

}  // namespace
}  // namespace qvl
