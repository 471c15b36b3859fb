#include "threads/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

namespace qvl {
namespace {

TEST(ThreadPool, covers_every_index_exactly_once) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (size_t count : {0u, 1u, 7u, 64u, 1001u}) {
      for (size_t grain : {1u, 3u, 64u, 5000u}) {
        std::vector<std::atomic<int>> hits(count);
        pool.parallel_for(count, grain, [&](size_t begin, size_t end, int worker) {
          EXPECT_GE(worker, 0);
          EXPECT_LT(worker, pool.size());
          EXPECT_LE(end - begin, grain);
          for (size_t i = begin; i < end; ++i) ++hits[i];
        });
        for (auto& hit : hits) ASSERT_EQ(hit.load(), 1);
      }
    }
  }
}

TEST(ThreadPool, runs_many_short_loops) {
  ThreadPool pool(4);
  std::atomic<int64_t> sum{0};
  for (int i = 0; i < 2000; ++i) {
    pool.parallel_for(8, 1, [&](size_t begin, size_t end, int) { sum += static_cast<int64_t>(end - begin); });
  }
  EXPECT_EQ(sum.load(), 16'000);
}

}  // namespace
}  // namespace qvl
