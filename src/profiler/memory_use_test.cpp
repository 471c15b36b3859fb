#include "profiler/memory_use.h"

#include <gtest/gtest.h>

#include "base/fake_system.h"

namespace qvl {
namespace {

TEST(MemoryUse, is_that_of_the_process_and_of_the_machine) {
  FakeSystem system;
  system.write("/proc/meminfo",
               "MemTotal:       10061236 kB\nMemFree:         301236 kB\nMemAvailable:    6061236 kB\n"
               "SwapCached:            1 kB\nSwapTotal:       2097148 kB\nSwapFree:        2000000 kB\n");
  system.write("/proc/self/status",
               "Name:\tqvl\nVmHWM:\t    9999 kB\nVmRSS:\t    4242 kB\nVmSwap:\t      17 kB\n");
  const MemoryUse use = read_memory_use(system.files());
  EXPECT_EQ(use.total_bytes, 10'061'236ULL * 1024);
  EXPECT_EQ(use.available_bytes, 6'061'236ULL * 1024);
  EXPECT_EQ(use.swap_total_bytes, 2'097'148ULL * 1024);
  EXPECT_EQ(use.swap_free_bytes, 2'000'000ULL * 1024);
  EXPECT_EQ(use.rss_bytes, 4242ULL * 1024);
  EXPECT_EQ(use.swapped_bytes, 17ULL * 1024);
  EXPECT_EQ(use.pss_bytes, std::nullopt);
}

TEST(MemoryUse, lacks_what_the_kernel_does_not_tell) {
  FakeSystem system;
  system.write("/proc/meminfo", "MemTotal: lots\nMemFree: 5 kB\n");
  const MemoryUse use = read_memory_use(system.files());
  EXPECT_EQ(use.total_bytes, std::nullopt);
  EXPECT_EQ(use.available_bytes, std::nullopt);
  EXPECT_EQ(use.rss_bytes, std::nullopt);
}

TEST(ProportionalSetSize, is_read_from_the_summary_of_all_mappings) {
  FakeSystem system;
  EXPECT_EQ(read_pss_bytes(system.files()), std::nullopt);
  system.write("/proc/self/smaps_rollup",
               "561545ada000-7ffcf7128000 ---p 00000000 00:00 0    [rollup]\nRss:  1692 kB\nPss:   351 kB\n"
               "Pss_Dirty:           112 kB\n");
  EXPECT_EQ(read_pss_bytes(system.files()), 351 * 1024);
}

}  // namespace
}  // namespace qvl
