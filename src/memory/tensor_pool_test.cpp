#include "memory/tensor_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sanitizer/asan_interface.h>

#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "memory/memory_testing.h"

namespace qvl {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

class TensorPoolTest : public testing::Test {
 protected:
  uint64_t held(MemoryPart part) const { return ledger_.report().of(part).held_bytes; }
  // Every byte the system gave is in the ledger, and nothing else is.
  void expect_exact(const TensorPool& pool) const {
    const TensorPoolStats stats = pool.stats();
    EXPECT_EQ(system_.bytes(), stats.kept_bytes + stats.in_use_bytes);
    EXPECT_EQ(held(MemoryPart::pool), stats.kept_bytes);
    EXPECT_EQ(ledger_.report().held_bytes, system_.bytes());
  }

  Ledger ledger_{64 * kMiB};
  CountedMemory system_;
};

TEST(SizeClass, wastes_less_than_an_eighth_or_64_bytes) {
  size_t last = 0;
  for (uint64_t bytes = 1; bytes < 70'000; ++bytes) {
    const size_t found = size_class_of(bytes);
    const uint64_t block = bytes_of_class(found);
    ASSERT_GE(block, bytes);
    ASSERT_TRUE(block - bytes < 64 || 8 * (block - bytes) < bytes) << bytes;
    ASSERT_TRUE(found == last || found == last + 1) << bytes;
    last = found;
  }
  for (size_t size_class = 0; size_class < kSizeClasses; ++size_class) {
    const uint64_t block = bytes_of_class(size_class);
    ASSERT_EQ(block % 64, 0u);
    ASSERT_EQ(size_class_of(block), size_class);
    ASSERT_EQ(size_class_of(block - 63), size_class);
    if (size_class + 1 < kSizeClasses) {
      ASSERT_EQ(size_class_of(block + 1), size_class + 1);
    }
  }
}

TEST_F(TensorPoolTest, gives_the_bytes_that_were_asked_for_aligned_and_in_the_ledger) {
  TensorPool pool(ledger_, system_, kMiB);
  auto block = pool.allocate(1000, MemoryPart::vision);
  ASSERT_TRUE(block);
  EXPECT_EQ(block->bytes().size(), 1000u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(block->bytes().data()) % 64, 0u);
  EXPECT_EQ(block->reserved_bytes(), 1024u);
  EXPECT_EQ(held(MemoryPart::vision), 1024u);
  expect_exact(pool);
}

TEST_F(TensorPoolTest, uses_a_block_again_and_shows_no_size_of_its_past) {
  TensorPool pool(ledger_, system_, kMiB);
  std::byte* first = nullptr;
  {
    PooledBlock block = *pool.allocate(1024, MemoryPart::vision);
    first = block.bytes().data();
  }
  EXPECT_EQ(held(MemoryPart::pool), 1024u);
  PooledBlock block = *pool.allocate(970, MemoryPart::pixels);
  EXPECT_EQ(block.bytes().data(), first);
  EXPECT_EQ(block.bytes().size(), 970u);
  EXPECT_EQ(held(MemoryPart::pixels), 1024u);
  EXPECT_EQ(held(MemoryPart::pool), 0u);
  const TensorPoolStats stats = pool.stats();
  EXPECT_EQ(stats.hits, 1u);
  EXPECT_EQ(stats.misses, 1u);
  EXPECT_EQ(stats.system_allocations, 1u);
  EXPECT_EQ(stats.hit_rate(), 0.5);
  EXPECT_EQ(system_.calls(), 1u);
  expect_exact(pool);
}

TEST_F(TensorPoolTest, gives_nothing_for_nothing) {
  TensorPool pool(ledger_, system_, kMiB);
  auto block = pool.allocate(0, MemoryPart::vision);
  ASSERT_TRUE(block);
  EXPECT_TRUE(block->bytes().empty());
  EXPECT_EQ(system_.calls(), 0u);
  EXPECT_EQ(pool.stats().hit_rate(), 0.0);
}

TEST_F(TensorPoolTest, keeps_no_more_than_its_bound_and_lets_the_oldest_go) {
  TensorPool pool(ledger_, system_, 2048);
  std::byte* newest = nullptr;
  {
    PooledBlock first = *pool.allocate(1024, MemoryPart::vision);
    PooledBlock second = *pool.allocate(512, MemoryPart::vision);
    PooledBlock third = *pool.allocate(896, MemoryPart::vision);
    newest = third.bytes().data();
    first = PooledBlock();
    second = PooledBlock();
  }
  const TensorPoolStats stats = pool.stats();
  EXPECT_EQ(stats.kept_bytes, 512u + 896u);
  EXPECT_EQ(stats.kept_blocks, 2u);
  EXPECT_EQ(stats.system_releases, 1u);
  expect_exact(pool);
  EXPECT_EQ(pool.allocate(896, MemoryPart::vision)->bytes().data(), newest);
}

TEST_F(TensorPoolTest, returns_a_block_above_its_bound_and_keeps_the_others) {
  TensorPool pool(ledger_, system_, 2048);
  (void)*pool.allocate(1024, MemoryPart::vision);
  { PooledBlock large = *pool.allocate(4096, MemoryPart::vision); }
  { PooledBlock small = *pool.allocate(1024, MemoryPart::vision); }
  EXPECT_EQ(pool.stats().kept_bytes, 1024u);
  EXPECT_EQ(pool.stats().system_releases, 1u);
  expect_exact(pool);
  TensorPool keeps_nothing(ledger_, system_, 0);
  { PooledBlock block = *keeps_nothing.allocate(64, MemoryPart::vision); }
  EXPECT_EQ(keeps_nothing.stats().kept_bytes, 0u);
  EXPECT_EQ(keeps_nothing.stats().system_releases, 1u);
}

TEST_F(TensorPoolTest, keeps_less_from_then_on_where_its_bound_is_lowered) {
  TensorPool pool(ledger_, system_, 8 * kMiB);
  for (const uint64_t bytes : {1 * kMiB, 2 * kMiB, 4 * kMiB}) {
    (void)pool.allocate(bytes, MemoryPart::scratch);
  }
  EXPECT_EQ(pool.stats().kept_bytes, 7 * kMiB);
  pool.set_kept_limit(4 * kMiB);
  EXPECT_EQ(pool.stats().kept_bytes, 4 * kMiB);  // the oldest went
  expect_exact(pool);
  pool.set_kept_limit(1 * kMiB);
  EXPECT_EQ(pool.stats().kept_bytes, 0u);
  (void)pool.allocate(2 * kMiB, MemoryPart::scratch);
  EXPECT_EQ(pool.stats().kept_bytes, 0u);
  pool.set_kept_limit(2 * kMiB);
  (void)pool.allocate(2 * kMiB, MemoryPart::scratch);
  EXPECT_EQ(pool.stats().kept_bytes, 2 * kMiB);
  expect_exact(pool);
}

TEST_F(TensorPoolTest, refuses_what_the_ledger_refuses) {
  TensorPool pool(ledger_, system_, kMiB);
  const auto block = pool.allocate(65 * kMiB, MemoryPart::vision);
  ASSERT_FALSE(block);
  EXPECT_EQ(block.refusal().cause, MemoryRefusal::Cause::limit);
  EXPECT_EQ(
      block.refusal().message,
      "not enough memory for vision 72.0 MiB: 64.0 MiB of 64.0 MiB free, 8.0 MiB missing (held: nothing)");
  EXPECT_EQ(pool.stats().refusals, 1u);
  EXPECT_EQ(system_.calls(), 0u);
  const auto endless = pool.allocate(UINT64_MAX, MemoryPart::vision);
  ASSERT_FALSE(endless);
  EXPECT_EQ(endless.refusal().message,
            "not enough memory for vision 16777216.0 TiB: the largest block has 64.0 TiB");
  EXPECT_EQ(endless.refusal().missing_bytes, UINT64_MAX - 64 * kMiB);
  expect_exact(pool);
}

TEST_F(TensorPoolTest, refuses_what_the_system_refuses_and_takes_the_reservation_back) {
  TensorPool pool(ledger_, system_, kMiB);
  system_.fail_at(1, CountedMemory::Failing::from_then_on);
  const auto block = pool.allocate(2000, MemoryPart::pixels);
  ASSERT_FALSE(block);
  EXPECT_EQ(block.refusal().cause, MemoryRefusal::Cause::system);
  EXPECT_EQ(block.refusal().part, MemoryPart::pixels);
  EXPECT_EQ(block.refusal().asked_bytes, 2000u);
  EXPECT_EQ(block.refusal().missing_bytes, 2000u);
  EXPECT_EQ(block.refusal().message, "not enough memory for pixels 2.0 KiB: the system has none");
  EXPECT_EQ(pool.stats().misses, 0u);
  expect_exact(pool);
}

TEST_F(TensorPoolTest, asks_the_system_again_when_others_gave_back) {
  TensorPool pool(ledger_, system_, kMiB);
  { PooledBlock kept = *pool.allocate(1024, MemoryPart::vision); }
  system_.fail_at(1, CountedMemory::Failing::once);
  EXPECT_TRUE(pool.allocate(2048, MemoryPart::vision));
  EXPECT_EQ(pool.stats().kept_bytes, 2048u);  // the block of 1024 went
  EXPECT_EQ(pool.stats().system_releases, 1u);
  expect_exact(pool);
}

TEST_F(TensorPoolTest, gives_kept_blocks_back_before_the_ledger_refuses_others) {
  TensorPool pool(ledger_, system_, 64 * kMiB);
  { PooledBlock kept = *pool.allocate(40 * kMiB, MemoryPart::vision); }
  EXPECT_EQ(pool.stats().kept_bytes, 40 * kMiB);
  EXPECT_TRUE(ledger_.reserve(MemoryPart::kv, 30 * kMiB));
  EXPECT_EQ(pool.stats().kept_bytes, 0u);
  { PooledBlock kept = *pool.allocate(40 * kMiB, MemoryPart::vision); }
  EXPECT_TRUE(pool.allocate(48 * kMiB, MemoryPart::vision));  // of another class: its own kept block goes
  expect_exact(pool);
}

TEST_F(TensorPoolTest, trims_the_oldest_blocks_first) {
  TensorPool pool(ledger_, system_, kMiB);
  {
    PooledBlock first = *pool.allocate(1024, MemoryPart::vision);
    PooledBlock second = *pool.allocate(2048, MemoryPart::vision);
    PooledBlock third = *pool.allocate(4096, MemoryPart::vision);
    first = PooledBlock();
    second = PooledBlock();
  }
  EXPECT_EQ(pool.trim(1025), 3072u);
  EXPECT_EQ(pool.stats().kept_bytes, 4096u);
  EXPECT_EQ(pool.trim(0), 0u);
  EXPECT_EQ(pool.trim(UINT64_MAX), 4096u);
  EXPECT_EQ(pool.trim(1), 0u);
  expect_exact(pool);
}

TEST_F(TensorPoolTest, trims_blocks_that_were_idle_between_two_calls) {
  TensorPool pool(ledger_, system_, kMiB);
  {
    PooledBlock idle = *pool.allocate(1024, MemoryPart::vision);
    PooledBlock busy = *pool.allocate(2048, MemoryPart::vision);
  }
  EXPECT_EQ(pool.trim_idle(), 0u);
  { PooledBlock busy = *pool.allocate(2048, MemoryPart::vision); }
  EXPECT_EQ(pool.trim_idle(), 1024u);
  EXPECT_EQ(pool.stats().kept_bytes, 2048u);
  EXPECT_EQ(pool.trim_idle(), 2048u);
  expect_exact(pool);
}

TEST_F(TensorPoolTest, takes_memory_of_a_budget_instead_of_counting_it_twice) {
  TensorPool pool(ledger_, system_, kMiB);
  Reservation budget = *ledger_.reserve(MemoryPart::vision, 3000);
  {
    PooledBlock first = *pool.allocate(2048, budget);
    EXPECT_EQ(budget.bytes(), 952u);
    EXPECT_EQ(ledger_.report().held_bytes, 3000u);
    PooledBlock second = *pool.allocate(1024, budget);  // 72 bytes are not in the budget
    EXPECT_EQ(budget.bytes(), 0u);
    EXPECT_EQ(ledger_.report().held_bytes, 3072u);
  }
  expect_exact(pool);
  budget = *ledger_.reserve(MemoryPart::vision, 3000);
  EXPECT_EQ(ledger_.report().held_bytes, 6072u);
  PooledBlock again = *pool.allocate(2048, budget);  // kept and reserved are one now
  EXPECT_EQ(budget.bytes(), 952u);
  EXPECT_EQ(ledger_.report().held_bytes, 952u + 2048 + 1024);
  EXPECT_EQ(held(MemoryPart::pool), 1024u);
}

TEST_F(TensorPoolTest, leaves_the_budget_as_it_was_where_it_refuses) {
  TensorPool pool(ledger_, system_, kMiB);
  Reservation budget = *ledger_.reserve(MemoryPart::vision, 3000);
  system_.fail_at(1, CountedMemory::Failing::from_then_on);
  EXPECT_FALSE(pool.allocate(2048, budget));
  EXPECT_FALSE(pool.allocate(4096, budget));
  EXPECT_FALSE(pool.allocate(65 * kMiB, budget));
  EXPECT_EQ(budget.bytes(), 3000u);
  EXPECT_EQ(ledger_.report().held_bytes, 3000u);
}

TEST_F(TensorPoolTest, moves_blocks_without_copying_or_releasing_twice) {
  TensorPool pool(ledger_, system_, kMiB);
  PooledBlock first = *pool.allocate(1024, MemoryPart::vision);
  std::byte* const data = first.bytes().data();
  PooledBlock second = std::move(first);
  EXPECT_EQ(second.bytes().data(), data);
  EXPECT_TRUE(first.bytes().empty());  // NOLINT: the moved-from state is part of the contract
  PooledBlock third = *pool.allocate(2048, MemoryPart::vision);
  third = std::move(second);
  EXPECT_EQ(third.bytes().data(), data);
  EXPECT_EQ(pool.stats().in_use_blocks, 1u);
  PooledBlock& same = third;
  third = std::move(same);
  EXPECT_EQ(third.bytes().size(), 1024u);
  expect_exact(pool);
}

#if defined(__SANITIZE_ADDRESS__)
TEST_F(TensorPoolTest, poisons_what_nobody_may_touch) {
  TensorPool pool(ledger_, system_, kMiB);
  std::byte* data = nullptr;
  {
    PooledBlock block = *pool.allocate(1000, MemoryPart::vision);
    data = block.bytes().data();
    EXPECT_FALSE(__asan_address_is_poisoned(data + 999));
    EXPECT_TRUE(__asan_address_is_poisoned(data + 1000));
  }
  EXPECT_TRUE(__asan_address_is_poisoned(data + 64));
  PooledBlock block = *pool.allocate(1024, MemoryPart::vision);
  EXPECT_FALSE(__asan_address_is_poisoned(data + 1023));
}
#endif

// Threads allocate, use and release blocks of few sizes under a cap that does not hold all they want, while
// another trims. A block must be its user's alone.
TEST_F(TensorPoolTest, is_exact_while_many_threads_use_it) {
  constexpr int kThreads = 4, kRounds = 1500;
  Ledger ledger(40'000);
  TensorPool pool(ledger, system_, 10'000);
  const auto work = [&](unsigned seed) {
    std::mt19937 random(seed);
    std::vector<PooledBlock> mine;
    for (int round = 0; round < kRounds; ++round) {
      if (mine.size() < 8 && random() % 3 != 0) {
        auto block = pool.allocate(500 + 700 * (random() % 6), MemoryPart::vision);
        if (!block) continue;
        std::memset(block->bytes().data(), static_cast<int>(seed), block->bytes().size());
        mine.push_back(*std::move(block));
      } else if (!mine.empty()) {
        for (const std::byte byte : mine.back().bytes()) ASSERT_EQ(byte, std::byte(seed));
        mine.pop_back();
      }
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(work, 1 + i);
  for (int i = 0; i < 100; ++i) {
    pool.trim_idle();
    ASSERT_LE(pool.stats().kept_bytes, 10'000u);
    ASSERT_LE(system_.bytes(), 40'000u);
  }
  for (auto& thread : threads) thread.join();
  const TensorPoolStats stats = pool.stats();
  EXPECT_EQ(stats.in_use_bytes, 0u);
  EXPECT_EQ(stats.in_use_blocks, 0u);
  EXPECT_GT(stats.hits, 0u);
  EXPECT_EQ(stats.misses, stats.system_allocations);
  EXPECT_EQ(stats.system_allocations - stats.system_releases, stats.kept_blocks);
  EXPECT_EQ(ledger.report().held_bytes, stats.kept_bytes);
  EXPECT_EQ(system_.bytes(), stats.kept_bytes);
  EXPECT_LE(ledger.report().peak_bytes, 40'000u);
}

TEST_F(TensorPoolTest, stays_flat_over_thousands_of_pictures_of_different_sizes) {
  TensorPool pool(ledger_, system_, 4 * kMiB);
  std::mt19937 random(7);
  uint64_t most = 0;
  for (int picture = 0; picture < 5000; ++picture) {
    PooledBlock pixels = *pool.allocate(1 + random() % (3 * kMiB), MemoryPart::pixels);
    PooledBlock patches = *pool.allocate(1 + random() % kMiB, MemoryPart::vision);
    most = std::max(most, system_.bytes());
    if (picture % 10 == 9) pool.trim_idle();
  }
  EXPECT_LE(most, 4 * kMiB + (3 * kMiB + kMiB) * 9 / 8);
  EXPECT_LE(pool.stats().kept_bytes, 4 * kMiB);
  expect_exact(pool);
}

}  // namespace
}  // namespace qvl
