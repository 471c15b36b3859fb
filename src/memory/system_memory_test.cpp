#include "memory/system_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>

#include "memory/memory_testing.h"
#include "memory/page_size.h"

namespace qvl {
namespace {

TEST(SystemMemory, gives_aligned_memory_that_can_be_written_to_the_last_byte) {
  for (const HugePages huge_pages : {HugePages::off, HugePages::advised}) {
    HeapAndPages memory(huge_pages);
    for (const uint64_t bytes :
         {uint64_t{1}, uint64_t{64}, uint64_t{4097}, HeapAndPages::kOwnPagesFrom - 1,
          HeapAndPages::kOwnPagesFrom, HeapAndPages::kHugePage, uint64_t{5 << 20} + 3}) {
      std::byte* data = memory.allocate(bytes);
      ASSERT_NE(data, nullptr);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % SystemMemory::kAlignment, 0u);
      std::memset(data, 1, bytes);
      memory.release(data, bytes);
    }
  }
}

TEST(SystemMemory, begins_large_blocks_where_a_huge_page_may_begin) {
  HeapAndPages memory(HugePages::advised);
  constexpr uint64_t bytes = 3 * HeapAndPages::kHugePage + 4096;
  for (int i = 0; i < 4; ++i) {
    std::byte* const data = memory.allocate(bytes);
    ASSERT_NE(data, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % HeapAndPages::kHugePage, 0u);
    memory.release(data, bytes);
    // Nothing is left behind at the end, where more was taken for the alignment.
    unsigned char resident = 0;
    EXPECT_NE(::mincore(data + whole_pages(bytes) - page_size(), page_size(), &resident), 0);
  }
}

TEST(SystemMemory, advises_huge_pages_for_blocks_from_then_on) {
  HeapAndPages memory(HugePages::off);
  constexpr uint64_t bytes = 2 * HeapAndPages::kHugePage;
  std::byte* const small = memory.allocate(bytes);
  if (!advised_huge(small)) GTEST_SKIP() << "the kernel does not tell";
  memory.set_huge_pages(HugePages::advised);
  std::byte* const huge = memory.allocate(bytes);
  EXPECT_EQ(advised_huge(small), false);
  EXPECT_EQ(advised_huge(huge), true);
  memory.release(small, bytes);
  memory.release(huge, bytes);
}

TEST(SystemMemory, has_no_block_larger_than_the_addresses) {
  HeapAndPages off(HugePages::off), advised(HugePages::advised);
  for (const uint64_t bytes : {uint64_t{1} << 62, UINT64_MAX - 4096, UINT64_MAX}) {
    EXPECT_EQ(off.allocate(bytes), nullptr);
    EXPECT_EQ(advised.allocate(bytes), nullptr);
  }
}

}  // namespace
}  // namespace qvl
