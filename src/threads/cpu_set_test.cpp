#include "threads/cpu_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace qvl {
namespace {

using testing::ElementsAre;

TEST(CpuSet, keeps_each_cpu_once_in_order) {
  EXPECT_THAT(CpuSet({5, 0, 5, 63, 2}), ElementsAre(0, 2, 5, 63));
  EXPECT_TRUE(CpuSet({5}).contains(5));
  EXPECT_FALSE(CpuSet({5}).contains(4));
}

TEST(CpuSet, is_read_from_masks_wider_than_a_word) {
  const std::array<uint64_t, 2> words{0x8000'0000'0000'0005, 0x2};
  EXPECT_THAT(CpuSet::from_mask(words), ElementsAre(0, 2, 63, 65));
  const std::vector<uint64_t> endless(200, ~uint64_t{0});
  EXPECT_EQ(CpuSet::from_mask(endless).size(), CpuSet::kMostCpus);
}

TEST(CpuSet, is_written_as_list_and_as_mask) {
  const CpuSet set{0, 1, 2, 3, 8, 10, 11, 64};
  EXPECT_EQ(set.list(), "0-3,8,10-11,64");
  EXPECT_EQ(set.mask(), "0x10000000000000d0f");
  EXPECT_EQ(CpuSet().list(), "none");
  EXPECT_EQ(CpuSet().mask(), "0x0");
}

TEST(CpuSet, reads_back_the_list_it_writes) {
  const CpuSet set{0, 1, 2, 3, 8, 10, 11, 8191};
  EXPECT_EQ(parse_cpu_list(set.list() + "\n"), set);
  EXPECT_EQ(parse_cpu_list(""), CpuSet());  // how the kernel writes an empty list
}

TEST(CpuSet, takes_no_text_that_is_no_list) {
  for (const char* text : {"0-", "-3", "3-1", "0,,2", ",", "1,", "a", "0x3", "0-8192", "99999999999", "1 2",
                           "0-3-5", "+1", "0 - 3"}) {
    EXPECT_EQ(parse_cpu_list(text), std::nullopt) << text;
  }
}

TEST(CpuSet, is_cut_with_another) {
  EXPECT_EQ((CpuSet{0, 1, 2} & CpuSet{1, 2, 3}), (CpuSet{1, 2}));
  EXPECT_EQ((CpuSet{0} & CpuSet{1}), CpuSet());
}

}  // namespace
}  // namespace qvl
