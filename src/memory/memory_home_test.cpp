#include "memory/memory_home.h"

#include <gtest/gtest.h>

#include <cstring>

#include "memory/memory_testing.h"

namespace qvl {
namespace {

constexpr uint64_t kMebibyte = 1 << 20;

class MemoryHomeTest : public testing::Test {
 protected:
  uint64_t held(MemoryPart part) const { return ledger_.report().of(part).held_bytes; }

  CountedMemory system_;
  Ledger ledger_{10 * kMebibyte};
  TensorPool pool_{ledger_, system_, 4 * kMebibyte};
  MemoryHome pixels_{.pool = &pool_, .part = MemoryPart::pixels};
};

TEST_F(MemoryHomeTest, vectors_stand_in_the_ledger_for_as_long_as_they_live) {
  {
    HomeVector<uint8_t> bytes(1000, pixels_);
    EXPECT_EQ(held(MemoryPart::pixels), 1024u);
    HomeVector<uint8_t> moved = std::move(bytes);
    EXPECT_EQ(held(MemoryPart::pixels), 1024u);
    const HomeVector<uint8_t> copy = moved;
    EXPECT_EQ(held(MemoryPart::pixels), 2048u);
    EXPECT_EQ(copy.get_allocator().home(), pixels_);
  }
  EXPECT_EQ(held(MemoryPart::pixels), 0u);
  EXPECT_EQ(held(MemoryPart::pool), 2048u);
  EXPECT_EQ(pool_.stats().in_use_blocks, 0u);
}

TEST_F(MemoryHomeTest, a_vector_takes_its_memory_along_where_it_is_assigned) {
  HomeVector<uint8_t> target(100, pixels_.with(MemoryPart::vision));
  target = HomeVector<uint8_t>(500, pixels_);
  EXPECT_EQ(held(MemoryPart::vision), 0u);
  EXPECT_EQ(held(MemoryPart::pixels), 512u);
  target = HomeVector<uint8_t>(9, uint8_t{1});  // of the heap
  EXPECT_EQ(held(MemoryPart::pixels), 0u);
  EXPECT_EQ(target, HomeVector<uint8_t>(9, uint8_t{1}));
}

TEST_F(MemoryHomeTest, without_a_pool_memory_is_aligned_all_the_same) {
  for (const MemoryHome home : {MemoryHome{}, pixels_}) {
    HomeVector<float> values(17, home);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(values.data()) % 64, 0u);
  }
}

TEST_F(MemoryHomeTest, a_refusal_is_a_bad_alloc_with_its_message) {
  try {
    HomeVector<uint8_t> bytes(11 * kMebibyte, pixels_);
    FAIL();
  } catch (const std::bad_alloc& error) {
    EXPECT_STREQ(error.what(),
                 "not enough memory for pixels 11.0 MiB: 10.0 MiB of 10.0 MiB free, 1.0 MiB missing (held: "
                 "nothing)");
  }
  system_.fail_at(1, CountedMemory::Failing::from_then_on);
  EXPECT_THROW(HomeVector<uint8_t>(10, pixels_), MemoryRefused);
  EXPECT_EQ(ledger_.report().held_bytes, 0u);
}

TEST_F(MemoryHomeTest, memory_that_others_take_is_set_down_or_refused) {
  {
    const Reservation charge = pixels_.charge(kMebibyte);
    EXPECT_EQ(held(MemoryPart::pixels), kMebibyte);
    EXPECT_THROW((void)pixels_.charge(9 * kMebibyte + 1), MemoryRefused);
    EXPECT_EQ(MemoryHome{}.charge(uint64_t{1} << 60).bytes(), 0u);
  }
  EXPECT_EQ(ledger_.report().held_bytes, 0u);
}

TEST_F(MemoryHomeTest, a_detached_block_comes_back_to_its_pool) {
  auto block = pool_.allocate(100, MemoryPart::kv);
  ASSERT_TRUE(block);
  std::byte* const data = block->detach();
  std::memset(data, 1, 100);
  EXPECT_TRUE(block->bytes().empty());
  *block = PooledBlock();
  EXPECT_EQ(held(MemoryPart::kv), 128u);
  EXPECT_EQ(pool_.adopt(data, 100, MemoryPart::kv).bytes().size(), 100u);
  EXPECT_EQ(held(MemoryPart::kv), 0u);
  EXPECT_EQ(pool_.stats().kept_bytes, 128u);
}

TEST(MemoryHome, tells_what_a_block_of_the_pool_takes) {
  EXPECT_EQ(MemoryHome::taken_bytes(0), 0u);
  EXPECT_EQ(MemoryHome::taken_bytes(1), 64u);
  EXPECT_EQ(MemoryHome::taken_bytes(kMebibyte), kMebibyte);
  EXPECT_EQ(MemoryHome::taken_bytes(kMebibyte + 1), kMebibyte * 9 / 8);
}

}  // namespace
}  // namespace qvl
