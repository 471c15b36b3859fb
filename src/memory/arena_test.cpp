#include "memory/arena.h"

#include <gtest/gtest.h>
#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <vector>

#include "memory/memory_testing.h"

namespace qvl {
namespace {

class ArenaTest : public testing::Test {
 protected:
  Reservation nothing() { return *ledger_.reserve(MemoryPart::vision, 0); }
  Ledger ledger_{uint64_t{1} << 20};
  CountedMemory system_;
  TensorPool pool_{ledger_, system_, uint64_t{1} << 20};
};

TEST_F(ArenaTest, gives_pieces_that_are_aligned_and_apart) {
  Arena arena(pool_, nothing(), 65'536);
  std::vector<std::span<std::byte>> pieces;
  for (const uint64_t alignment : {1u, 64u, 2u, 4096u, 8u, 64u, 256u}) {
    auto piece = arena.allocate(100, alignment);
    ASSERT_TRUE(piece);
    EXPECT_EQ(piece->size(), 100u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(piece->data()) % alignment, 0u);
    for (const auto other : pieces) {
      EXPECT_TRUE(piece->data() >= other.data() + other.size() || piece->data() + 100 <= other.data());
    }
    pieces.push_back(*piece);
  }
  EXPECT_EQ(pool_.stats().misses, 1u);
  EXPECT_TRUE(arena.allocate(0)->empty());
}

TEST_F(ArenaTest, gives_arrays_of_values) {
  Arena arena(pool_, nothing(), 1024);
  auto numbers = arena.allocate_array<float>(10);
  ASSERT_TRUE(numbers);
  std::fill(numbers->begin(), numbers->end(), 2.5F);
  EXPECT_EQ(std::count(numbers->begin(), numbers->end(), 2.5F), 10);
  EXPECT_FALSE(arena.allocate_array<double>(UINT64_MAX / 4));
}

TEST_F(ArenaTest, counts_what_a_step_takes_and_the_most_of_all_steps) {
  Arena arena(pool_, nothing(), 4096);
  ASSERT_TRUE(arena.allocate(100));
  ASSERT_TRUE(arena.allocate(100));  // begins at 128
  EXPECT_EQ(arena.used_bytes(), 228u);
  arena.reset();
  EXPECT_EQ(arena.used_bytes(), 0u);
  ASSERT_TRUE(arena.allocate(50));
  EXPECT_EQ(arena.used_bytes(), 50u);
  EXPECT_EQ(arena.high_water_bytes(), 228u);
}

TEST_F(ArenaTest, asks_for_nothing_once_it_knows_the_step) {
  Arena arena(pool_, nothing(), 1000);
  const auto step = [&] {
    for (const uint64_t bytes : {700u, 400u, 3000u, 1u, 900u, 64u}) {
      ASSERT_TRUE(arena.allocate(bytes));
      ASSERT_TRUE(arena.allocate(10, 4096));
    }
    arena.reset();
  };
  step();
  step();
  const uint64_t calls = system_.calls(), asked = pool_.stats().hits + pool_.stats().misses;
  for (int i = 0; i < 50; ++i) step();
  EXPECT_EQ(system_.calls(), calls);
  EXPECT_EQ(pool_.stats().hits + pool_.stats().misses, asked);
  EXPECT_EQ(pool_.stats().in_use_blocks, 1u);
}

TEST_F(ArenaTest, is_in_the_ledger_while_it_holds_chunks) {
  {
    Arena arena(pool_, nothing(), 1024);
    EXPECT_EQ(ledger_.report().held_bytes, 0u);
    ASSERT_TRUE(arena.allocate(1));
    EXPECT_EQ(ledger_.report().of(MemoryPart::vision).held_bytes, 1024u);
    arena.reset();
    EXPECT_EQ(ledger_.report().of(MemoryPart::vision).held_bytes, 1024u);
  }
  EXPECT_EQ(ledger_.report().of(MemoryPart::vision).held_bytes, 0u);
  EXPECT_EQ(ledger_.report().of(MemoryPart::pool).held_bytes, 1024u);
}

TEST_F(ArenaTest, takes_its_chunks_out_of_the_budget) {
  Arena arena(pool_, *ledger_.reserve(MemoryPart::vision, 2048), 1024);
  ASSERT_TRUE(arena.allocate(1024));
  EXPECT_EQ(ledger_.report().held_bytes, 2048u);
  ASSERT_TRUE(arena.allocate(1024));
  EXPECT_EQ(ledger_.report().held_bytes, 2048u);
  ASSERT_TRUE(arena.allocate(1024));
  EXPECT_EQ(ledger_.report().held_bytes, 3072u);
}

TEST_F(ArenaTest, refuses_and_keeps_what_it_gave) {
  Arena arena(pool_, nothing(), 1024);
  auto piece = arena.allocate(100);
  ASSERT_TRUE(piece);
  std::fill(piece->begin(), piece->end(), std::byte{7});
  const auto refused = arena.allocate(uint64_t{2} << 20);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.refusal().cause, MemoryRefusal::Cause::limit);
  EXPECT_FALSE(arena.allocate(UINT64_MAX, 4096));
  EXPECT_EQ(std::count(piece->begin(), piece->end(), std::byte{7}), 100);
  EXPECT_EQ(arena.used_bytes(), 100u);
  EXPECT_TRUE(arena.allocate(100));
  EXPECT_EQ(pool_.stats().misses, 1u);
}

#if defined(__SANITIZE_ADDRESS__)
TEST_F(ArenaTest, poisons_what_was_not_given_or_is_gone) {
  Arena arena(pool_, nothing(), 4096);
  std::byte* const data = arena.allocate(100)->data();
  EXPECT_FALSE(__asan_address_is_poisoned(data + 99));
  EXPECT_TRUE(__asan_address_is_poisoned(data + 100));
  arena.reset();
  EXPECT_TRUE(__asan_address_is_poisoned(data));
}
#endif

}  // namespace
}  // namespace qvl
