// The n-th allocation fails, for every n, once and from then on: nothing leaks, and the account stays exact.
#include <gtest/gtest.h>

#include <vector>

#include "memory/memory_testing.h"
#include "memory/tensor_pool.h"

namespace qvl {
namespace {

constexpr uint64_t kKiB = 1024;

// A request as the program makes it: admitted with a budget, a picture, scratch memory of some steps, a
// growing cache, and a second picture of another size. Returns whether all of it was granted.
bool handle_request(Ledger& ledger, TensorPool& pool) {
  const std::vector<MemoryNeed> needs = {{MemoryPart::vision, 64 * kKiB}, {MemoryPart::kv, 32 * kKiB}};
  auto admitted = ledger.reserve(needs);
  if (!admitted) return false;
  for (int step = 0; step < 3; ++step) {
    auto pixels = pool.allocate(40 * kKiB + 1000 * static_cast<uint64_t>(step), MemoryPart::pixels);
    if (!pixels) return false;
    std::vector<PooledBlock> scratch;
    for (const uint64_t bytes : {10 * kKiB, 20 * kKiB, 30 * kKiB}) {
      auto block = pool.allocate(bytes, (*admitted)[0]);
      if (!block) return false;
      scratch.push_back(std::move(*block));
    }
    auto keys = pool.allocate(8 * kKiB, (*admitted)[1]);
    if (!keys || (*admitted)[1].grow(kKiB)) return false;
  }
  return true;
}

class MemoryFaultTest : public testing::TestWithParam<CountedMemory::Failing> {};

TEST_P(MemoryFaultTest, any_allocation_may_fail) {
  CountedMemory system;
  bool failed_before = true;
  uint64_t n = 1;
  for (; n < 1000; ++n) {
    Ledger ledger(4096 * kKiB);
    TensorPool pool(ledger, system, 128 * kKiB);
    system.fail_at(n, GetParam());
    const uint64_t before = system.calls();
    const bool served = handle_request(ledger, pool);
    const bool reached = system.calls() - before >= n;
    const TensorPoolStats stats = pool.stats();
    ASSERT_EQ(stats.in_use_blocks, 0u) << n;
    ASSERT_EQ(stats.in_use_bytes, 0u) << n;
    ASSERT_EQ(system.bytes(), stats.kept_bytes) << n;
    ASSERT_EQ(ledger.report().held_bytes, stats.kept_bytes) << n;
    ASSERT_EQ(ledger.report().of(MemoryPart::pool).held_bytes, stats.kept_bytes) << n;
    ASSERT_EQ(stats.refusals > 0, !served) << n;
    if (GetParam() == CountedMemory::Failing::from_then_on) {
      ASSERT_EQ(served, !reached) << n;
    }
    system.fail_never();
    ASSERT_TRUE(handle_request(ledger, pool)) << n;  // nothing else is harmed
    failed_before = reached;
    if (!failed_before) break;
  }
  EXPECT_FALSE(failed_before);
  EXPECT_GT(n, 5u);  // the scenario allocates more often than that
  EXPECT_EQ(system.bytes(), 0u);
}

INSTANTIATE_TEST_SUITE_P(each, MemoryFaultTest,
                         testing::Values(CountedMemory::Failing::once, CountedMemory::Failing::from_then_on));

// The same with the cap: from far too low to high enough, in small steps.
TEST(MemoryFault, any_cap_may_be_too_low) {
  CountedMemory system;
  bool served = false;
  for (uint64_t cap = 0; !served && cap < 1000 * kKiB; cap += 512) {
    Ledger ledger(cap);
    TensorPool pool(ledger, system, 128 * kKiB);
    served = handle_request(ledger, pool);
    const TensorPoolStats stats = pool.stats();
    ASSERT_EQ(stats.in_use_bytes, 0u) << cap;
    ASSERT_EQ(ledger.report().held_bytes, stats.kept_bytes) << cap;
    ASSERT_LE(ledger.report().peak_bytes, cap);
    ASSERT_EQ(ledger.report().refusals > 0, !served) << cap;
  }
  EXPECT_TRUE(served);
}

}  // namespace
}  // namespace qvl
