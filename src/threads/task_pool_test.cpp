#include "threads/task_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <latch>
#include <memory>
#include <numeric>
#include <thread>

#include "base/error.h"
#include "threads/thread_faults.h"

namespace qvl {
namespace {

using testing::ElementsAre;

constexpr const char* kCancelled = "io pool: the task was cancelled, the pool is shut down";

TaskPoolOptions options(int threads) { return {.name = "io", .threads = threads}; }
TaskPoolOptions bounded(int threads, size_t limit) {
  return {.name = "io", .threads = threads, .queue_limit = limit};
}

// Keeps one thread of a pool busy until it is told to go on.
class Blocker {
 public:
  explicit Blocker(TaskPool& pool) {
    done_ = pool.submit([this] {
      running_.count_down();
      may_end_.wait();
    });
    running_.wait();
  }
  ~Blocker() { release(); }
  void release() {
    if (!done_.valid()) return;
    may_end_.count_down();
    done_.get();
  }

 private:
  std::latch running_{1}, may_end_{1};
  std::future<void> done_;
};

void wait_until(const auto& condition) {
  while (!condition()) std::this_thread::yield();
}

void expect_cancelled(std::future<int>& future) {
  try {
    future.get();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::environment);
    EXPECT_STREQ(error.what(), kCancelled);
  }
}

void expect_balanced(const TaskPoolStatus& status) {
  EXPECT_EQ(status.submitted,
            status.completed + status.failed + status.cancelled + status.waiting + status.running);
}

TEST(TaskPool, hands_back_values_of_any_type) {
  TaskPool pool(options(2));
  auto number = pool.submit([] { return 42; });
  auto owned = pool.submit([] { return std::make_unique<int>(7); });
  auto argument = std::make_unique<int>(5);
  auto moved = pool.submit([argument = std::move(argument)] { return *argument + 1; });
  bool ran = false;
  auto nothing = pool.submit([&ran] { ran = true; });
  EXPECT_EQ(number.get(), 42);
  EXPECT_EQ(*owned.get(), 7);
  EXPECT_EQ(moved.get(), 6);
  nothing.get();
  EXPECT_TRUE(ran);
  EXPECT_EQ(pool.status().completed, 4u);
}

TEST(TaskPool, hands_back_exceptions_and_keeps_its_threads) {
  TaskPool pool(options(1));
  auto bad = pool.submit([]() -> int { fail(ErrorCode::media, "a.png: damaged"); });
  auto good = pool.submit([] { return 1; });
  EXPECT_EQ(good.get(), 1);
  try {
    bad.get();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::media);
    EXPECT_STREQ(error.what(), "a.png: damaged");
  }
  const TaskPoolStatus status = pool.status();
  EXPECT_EQ(status.threads, 1);
  EXPECT_EQ(status.submitted, 2u);
  EXPECT_EQ(status.completed, 1u);
  EXPECT_EQ(status.failed, 1u);
}

TEST(TaskPool, releases_what_a_task_holds_before_its_future_is_ready) {
  TaskPool pool(options(1));
  for (int i = 0; i < 200; ++i) {
    auto held = std::make_shared<int>(i);
    const std::weak_ptr<int> watch = held;
    pool.submit([held = std::move(held)] { return *held; }).get();
    ASSERT_TRUE(watch.expired());
  }
}

TEST(TaskPool, takes_higher_classes_first_and_each_in_order) {
  TaskPool pool(options(1));
  std::vector<int> order;
  std::vector<std::future<void>> all;
  Blocker blocker(pool);
  int next = 0;
  for (TaskPriority priority : {TaskPriority::low, TaskPriority::normal, TaskPriority::high}) {
    for (int i = 0; i < 3; ++i) {
      all.push_back(pool.submit([&order, id = next++] { order.push_back(id); }, priority));
    }
  }
  EXPECT_EQ(pool.status().waiting, 9u);
  blocker.release();
  for (auto& each : all) each.get();
  EXPECT_THAT(order, ElementsAre(6, 7, 8, 3, 4, 5, 0, 1, 2));
}

TEST(TaskPool, refuses_what_its_queue_does_not_hold) {
  TaskPool pool(bounded(1, 2));
  Blocker blocker(pool);
  auto first = pool.try_submit([] { return 1; }), second = pool.try_submit([] { return 2; });
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(pool.try_submit([] { return 3; }));
  EXPECT_EQ(pool.status().refused, 1u);
  blocker.release();
  EXPECT_EQ(first->get() + second->get(), 3);
  EXPECT_TRUE(pool.try_submit([] { return 4; }));
}

TEST(TaskPool, lets_submitters_wait_for_room) {
  TaskPool pool(bounded(1, 1));
  std::atomic<int> sum{0};
  {
    Blocker blocker(pool);
    auto waiting = pool.submit([&] { ++sum; });
    std::latch begun(1);
    std::thread submitter([&] {
      begun.count_down();
      for (int i = 0; i < 50; ++i) pool.submit([&] { ++sum; });
    });
    begun.wait();
    EXPECT_EQ(pool.status().waiting, 1u);
    EXPECT_EQ(pool.status().submitted, 2u);
    blocker.release();
    submitter.join();
  }
  pool.shutdown(Shutdown::drain);
  EXPECT_EQ(sum.load(), 51);
}

TEST(TaskPool, drains) {
  TaskPool pool(options(2));
  std::vector<std::future<int>> all;
  for (int i = 0; i < 100; ++i) all.push_back(pool.submit([i] { return i; }));
  pool.shutdown(Shutdown::drain);
  int sum = 0;
  for (auto& each : all) sum += each.get();
  EXPECT_EQ(sum, 4950);
  EXPECT_EQ(pool.status().threads, 0);
  EXPECT_EQ(pool.status().completed, 100u);
}

TEST(TaskPool, cancels_what_waits_and_finishes_what_runs) {
  std::future<int> ran;
  std::vector<std::future<int>> given_up;
  std::latch running(1), may_end(1);
  TaskPool pool(options(1));
  ran = pool.submit([&] {
    running.count_down();
    may_end.wait();
    return 5;
  });
  running.wait();
  for (int i = 0; i < 3; ++i) given_up.push_back(pool.submit([i] { return i; }));
  std::thread stopper([&] { pool.shutdown(Shutdown::cancel); });
  for (auto& each : given_up) expect_cancelled(each);  // at once, while the first task still runs
  may_end.count_down();
  stopper.join();
  EXPECT_EQ(ran.get(), 5);
  EXPECT_EQ(pool.status().completed, 1u);
  EXPECT_EQ(pool.status().cancelled, 3u);
  expect_balanced(pool.status());
}

TEST(TaskPool, cancels_during_a_drain) {
  TaskPool pool(options(1));
  auto blocker = std::make_unique<Blocker>(pool);
  auto waiting = pool.submit([] { return 1; });
  std::thread drain([&] { pool.shutdown(Shutdown::drain); });
  std::thread cancel([&] { pool.shutdown(Shutdown::cancel); });
  expect_cancelled(waiting);
  blocker->release();
  drain.join();
  cancel.join();
}

TEST(TaskPool, closes_without_waiting_from_a_task_of_its_own_too) {
  TaskPool pool(options(1));
  EXPECT_TRUE(pool.wait_idle(std::chrono::milliseconds(0)));
  std::future<int> waiting;
  std::latch submitted(1);
  auto closing = pool.submit([&] {
    submitted.wait();
    pool.close(Shutdown::cancel);
    return 1;
  });
  waiting = pool.submit([] { return 2; });
  EXPECT_FALSE(pool.wait_idle(std::chrono::milliseconds(0)));
  submitted.count_down();
  EXPECT_EQ(closing.get(), 1);
  expect_cancelled(waiting);
  wait_until([&] { return pool.wait_idle(std::chrono::milliseconds(1000)); });
  auto late = pool.submit([] { return 3; });
  expect_cancelled(late);
}

TEST(TaskPool, is_idle_when_what_its_last_task_held_is_released) {
  TaskPool pool(options(2));
  auto held = std::make_shared<int>(1);
  for (int i = 0; i < 50; ++i) {
    (void)pool.submit([copy = held] { return *copy; });
  }
  wait_until([&] { return pool.wait_idle(std::chrono::milliseconds(1000)); });
  EXPECT_EQ(held.use_count(), 1);
}

TEST(TaskPool, is_waited_for_as_long_as_it_takes) {
  TaskPool pool(options(1));
  std::latch may_end(1);
  auto task = pool.submit([&] { may_end.wait(); });
  EXPECT_FALSE(pool.wait_idle(std::chrono::milliseconds::min()));
  std::jthread ending([&] { may_end.count_down(); });
  EXPECT_TRUE(pool.wait_idle(std::chrono::milliseconds::max()));
}

TEST(TaskPool, takes_no_task_after_shutdown) {
  TaskPool pool(bounded(1, 1));
  pool.shutdown(Shutdown::drain);
  auto late = pool.submit([] { return 1; });
  expect_cancelled(late);
  auto tried = pool.try_submit([] { return 1; });
  ASSERT_TRUE(tried);
  expect_cancelled(*tried);
  EXPECT_EQ(pool.status().cancelled, 2u);
  EXPECT_EQ(pool.resize(4), 0);
  pool.shutdown(Shutdown::cancel);
  expect_balanced(pool.status());
}

TEST(TaskPool, frees_submitters_that_wait_when_it_is_shut_down) {
  TaskPool pool(bounded(1, 1));
  Blocker blocker(pool);
  auto queued = pool.submit([] { return 0; });
  std::future<int> late;
  std::thread submitter([&] { late = pool.submit([] { return 1; }); });
  std::thread stopper([&] { pool.shutdown(Shutdown::cancel); });
  submitter.join();  // while the thread of the pool is still busy
  expect_cancelled(late);
  expect_cancelled(queued);
  blocker.release();
  stopper.join();
}

TEST(TaskPool, cancels_when_it_is_destroyed) {
  std::future<int> waiting;
  std::latch running(1), may_end(1);
  std::thread helper;
  {
    TaskPool pool(options(1));
    pool.submit([&] {
      running.count_down();
      may_end.wait();
    });
    running.wait();
    waiting = pool.submit([] { return 1; });
    helper = std::thread([&] {
      waiting.wait();
      may_end.count_down();
    });
  }
  helper.join();
  expect_cancelled(waiting);
}

TEST(TaskPool, grows_for_tasks_that_wait) {
  TaskPool pool(options(1));
  std::latch together(4);  // passes only where four tasks run at once
  std::vector<std::future<void>> all;
  for (int i = 0; i < 4; ++i) all.push_back(pool.submit([&] { together.arrive_and_wait(); }));
  EXPECT_EQ(pool.resize(4), 4);
  for (auto& each : all) each.get();
}

TEST(TaskPool, shrinks_without_waiting_for_busy_threads) {
  TaskPool pool(options(3));
  Blocker first(pool), second(pool), third(pool);
  EXPECT_EQ(pool.resize(1), 1);
  EXPECT_EQ(pool.status().threads, 1);
  EXPECT_EQ(pool.status().running, 3u);
  auto waiting = pool.submit([] { return 1; });
  EXPECT_EQ(pool.resize(2), 2);  // one of the busy threads stays after all
  first.release();
  second.release();
  EXPECT_EQ(waiting.get(), 1);
  third.release();
  EXPECT_EQ(pool.resize(3), 3);
  Blocker again(pool), and_again(pool), three(pool);
  EXPECT_EQ(pool.status().running, 3u);
}

TEST(TaskPool, works_with_the_threads_it_gets) {
  TaskPool pool({.name = "io", .threads = 4, .start = refuse_after(2)});
  EXPECT_EQ(pool.status().threads, 2);
  EXPECT_EQ(pool.problem(), kRefusal);
  EXPECT_EQ(pool.resize(8), 2);
  EXPECT_EQ(pool.submit([] { return 3; }).get(), 3);
}

TEST(TaskPool, is_not_made_without_a_thread) {
  try {
    TaskPool pool({.name = "preprocess", .threads = 4, .start = refuse_after(0)});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::environment);
    EXPECT_STREQ(error.what(),
                 "preprocess pool: no thread could be started: Resource temporarily unavailable");
  }
}

TEST(TaskPool, places_and_prioritises_its_threads) {
  const CpuSet one{*this_thread_affinity().begin()};
  const OsPriority later{.nice = std::min(thread_priority(this_thread_id()).nice + 2, 19)};
  TaskPool pool(options(1));
  EXPECT_EQ(pool.place({one}), 0);
  EXPECT_EQ(pool.prioritise(later), 0);
  EXPECT_EQ(pool.submit([] { return this_thread_affinity(); }).get(), one);
  EXPECT_EQ(pool.submit([] { return thread_priority(this_thread_id()); }).get(), later);
  Blocker blocker(pool);
  pool.resize(2);  // the new thread too
  EXPECT_EQ(pool.submit([] { return this_thread_affinity(); }).get(), one);
  EXPECT_EQ(pool.submit([] { return thread_priority(this_thread_id()); }).get(), later);
}

TEST(TaskPool, loses_nothing_while_many_submit_and_it_is_resized) {
  TaskPool pool(bounded(2, 8));
  std::atomic<int> ran{0}, taken{0}, thrown{0};
  std::vector<std::thread> submitters;
  for (int s = 0; s < 3; ++s) {
    submitters.emplace_back([&, s] {
      for (int i = 0; i < 300; ++i) {
        const auto priority = static_cast<TaskPriority>((s + i) % 3);
        const auto task = [&ran, i] {
          ++ran;
          if (i % 10 == 0) throw i;
          return i;
        };
        auto future =
            i % 2 == 0 ? std::optional(pool.submit(task, priority)) : pool.try_submit(task, priority);
        if (!future) continue;
        ++taken;
        try {
          EXPECT_EQ(future->get(), i);
        } catch (int found) {
          EXPECT_EQ(found, i);
          ++thrown;
        }
      }
    });
  }
  for (int i = 0; i < 60; ++i) {
    pool.resize(1 + i % 4);
    expect_balanced(pool.status());
  }
  for (auto& each : submitters) each.join();
  pool.shutdown(Shutdown::drain);
  const TaskPoolStatus status = pool.status();
  EXPECT_EQ(ran.load(), taken.load());
  EXPECT_EQ(thrown.load(), 90);
  EXPECT_EQ(status.completed + status.failed, static_cast<uint64_t>(taken.load()));
  EXPECT_EQ(status.failed, 90u);
  EXPECT_EQ(status.submitted + status.refused, 900u);
  expect_balanced(status);
}

}  // namespace
}  // namespace qvl
