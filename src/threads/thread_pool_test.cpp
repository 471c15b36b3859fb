#include "threads/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>
#include <vector>

#include "threads/thread_faults.h"

namespace qvl {
namespace {

using std::chrono::milliseconds;

// Every worker takes exactly one block, however late it comes.
template <typename PerWorker>
void on_every_worker(ThreadPool& pool, PerWorker body) {
  std::latch all_here(pool.size());
  pool.parallel_for(static_cast<size_t>(pool.size()), 1, [&](size_t, size_t, int worker) {
    body(worker);
    all_here.arrive_and_wait();
  });
}

std::vector<CpuSet> affinities(ThreadPool& pool) {
  std::vector<CpuSet> out(static_cast<size_t>(pool.size()));
  on_every_worker(pool, [&](int worker) { out[static_cast<size_t>(worker)] = this_thread_affinity(); });
  return out;
}

void expect_covers(ThreadPool& pool, size_t count, size_t grain) {
  std::vector<std::atomic<int>> hits(count);
  pool.parallel_for(count, grain, [&](size_t begin, size_t end, int worker) {
    EXPECT_GE(worker, 0);
    EXPECT_LT(worker, pool.size());
    EXPECT_LE(end - begin, grain);
    for (size_t i = begin; i < end; ++i) ++hits[i];
  });
  for (auto& hit : hits) ASSERT_EQ(hit.load(), 1);
}

TEST(ThreadPool, covers_every_index_exactly_once) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (size_t count : {0u, 1u, 7u, 64u, 1001u}) {
      for (size_t grain : {1u, 3u, 64u, 5000u}) expect_covers(pool, count, grain);
    }
  }
}

TEST(ThreadPool, runs_many_short_loops) {
  for (int awake_turns : {0, 1, ThreadPool::kAwakeTurns}) {
    ThreadPool pool(4);
    pool.set_awake_turns(awake_turns);
    std::atomic<int64_t> sum{0};
    for (int i = 0; i < 2000; ++i) {
      pool.parallel_for(8, 1,
                        [&](size_t begin, size_t end, int) { sum += static_cast<int64_t>(end - begin); });
    }
    EXPECT_EQ(sum.load(), 16'000);
  }
}

TEST(ThreadPool, grows_and_shrinks_between_loops) {
  ThreadPool pool(2);
  for (int threads : {5, 1, 3, 3, 8, 2, 1, 4}) {
    EXPECT_EQ(pool.resize(threads), threads);
    EXPECT_EQ(pool.size(), threads);
    on_every_worker(pool, [](int) {});  // hangs where one is missing
    expect_covers(pool, 257, 4);
  }
}

TEST(ThreadPool, resizes_right_after_a_loop_that_woke_its_workers) {
  ThreadPool pool(4);
  std::atomic<int> sum{0};
  for (int i = 0; i < 300; ++i) {
    pool.parallel_for(4, 1, [&](size_t, size_t, int) { ++sum; });
    pool.resize(1 + i % 4);
  }
  EXPECT_EQ(sum.load(), 1200);
}

TEST(ThreadPool, works_with_the_threads_it_gets) {
  for (int started = 0; started <= 4; ++started) {
    ThreadPool pool(4, refuse_after(started));
    EXPECT_EQ(pool.size(), std::min(4, 1 + started));
    EXPECT_EQ(pool.problem(), started < 3 ? kRefusal : "");
    on_every_worker(pool, [](int) {});
    expect_covers(pool, 100, 1);
  }
}

TEST(ThreadPool, keeps_working_where_growing_is_refused) {
  ThreadPool pool(2, refuse_after(2));
  EXPECT_EQ(pool.resize(8), 3);
  EXPECT_EQ(pool.problem(), kRefusal);
  expect_covers(pool, 100, 1);
  EXPECT_EQ(pool.resize(2), 2);
  expect_covers(pool, 100, 1);
}

TEST(ThreadPool, does_not_wait_for_a_worker_that_gets_no_processor) {
  std::latch may_run(1);
  {
    ThreadPool pool(3, [&](std::function<void()> body) {
      return start_thread([&may_run, body = std::move(body)] {
        may_run.wait();
        body();
      });
    });
    EXPECT_EQ(pool.size(), 3);
    for (int i = 0; i < 100; ++i) expect_covers(pool, 64, 4);
    may_run.count_down();
    on_every_worker(pool, [](int) {});  // they come in the end
  }
}

TEST(ThreadPool, finishes_loops_whose_workers_share_a_processor_with_a_busy_thread) {
  const CpuSet own = this_thread_affinity();
  const CpuSet shared{*own.begin()};
  std::atomic<bool> stop{false};
  std::thread foreign([&] {
    set_thread_affinity(this_thread_id(), shared);
    while (!stop.load(std::memory_order_relaxed)) continue;
  });
  {
    ThreadPool pool(3);
    EXPECT_EQ(pool.place(std::vector<CpuSet>{own, shared, shared}), 0);
    pool.prioritise({.nice = 19, .os_class = OsPriority::Class::batch});
    for (int i = 0; i < 200; ++i) expect_covers(pool, 256, 4);
  }
  stop = true;
  foreign.join();
}

TEST(ThreadPool, places_its_workers_and_not_the_caller) {
  const CpuSet own = this_thread_affinity();
  const CpuSet one{*own.begin()};
  ThreadPool pool(3);
  EXPECT_EQ(pool.place(std::vector<CpuSet>{one, one, own}), 0);
  EXPECT_EQ(affinities(pool), (std::vector<CpuSet>{own, one, own}));
  pool.resize(4);  // later ones begin again with the place of worker 1
  EXPECT_EQ(affinities(pool), (std::vector<CpuSet>{own, one, own, one}));
  EXPECT_EQ(pool.place(std::vector<CpuSet>{own, own}), 0);
  EXPECT_EQ(affinities(pool), (std::vector<CpuSet>{own, own, own, own}));
}

TEST(ThreadPool, computes_where_the_kernel_places_no_worker) {
  const CpuSet own = this_thread_affinity();
  ThreadPool pool(3);
  EXPECT_EQ(pool.place(std::vector<CpuSet>{own, CpuSet{CpuSet::kMostCpus - 1}}), 2);
  EXPECT_EQ(affinities(pool), (std::vector<CpuSet>{own, own, own}));
  EXPECT_EQ(pool.moved_to(), std::nullopt);
}

TEST(ThreadPool, tells_where_somebody_else_has_put_a_worker) {
  const CpuSet own = this_thread_affinity();
  if (own.size() < 2) GTEST_SKIP() << "needs two processors";
  const CpuSet first{*own.begin()}, second{*std::next(own.begin())};
  ThreadPool pool(3);
  pool.place(std::vector<CpuSet>{own, first, first});
  EXPECT_EQ(pool.moved_to(), std::nullopt);
  on_every_worker(pool, [&](int worker) {
    if (worker == 2) set_thread_affinity(this_thread_id(), second);
  });
  EXPECT_EQ(pool.moved_to(), second);
}

TEST(ThreadPool, prioritises_its_workers_and_not_the_caller) {
  const OsPriority own = thread_priority(this_thread_id());
  const OsPriority later{.nice = std::min(own.nice + 2, 19), .os_class = OsPriority::Class::batch};
  ThreadPool pool(2);
  EXPECT_EQ(pool.prioritise(later), 0);
  pool.resize(3);
  std::vector<OsPriority> found(3);
  on_every_worker(pool, [&](int w) { found[static_cast<size_t>(w)] = thread_priority(this_thread_id()); });
  EXPECT_EQ(found, (std::vector<OsPriority>{own, later, later}));
}

TEST(ThreadPool, rests_for_its_share_of_the_time) {
  ThreadPool pool(2);
  const auto work = [&] {
    pool.parallel_for(1, 1, [&](size_t, size_t, int) {
      const auto end = std::chrono::steady_clock::now() + milliseconds(6);
      while (std::chrono::steady_clock::now() < end) continue;
    });
  };
  work();
  EXPECT_EQ(pool.rested(), milliseconds(0));
  pool.set_duty(0.75);
  for (int i = 0; i < 3; ++i) work();
  EXPECT_GE(pool.rested(), milliseconds(6));  // 18 ms of work, a third of it
  const auto before = pool.rested();
  pool.set_duty(1);
  work();
  EXPECT_EQ(pool.rested(), before);
}

}  // namespace
}  // namespace qvl
