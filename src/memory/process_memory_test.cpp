#include "memory/process_memory.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/fake_system.h"
#include "memory/page_size.h"

namespace qvl {
namespace {

constexpr const char* kStatus =
    "Name:\tqvl\nUmask:\t0022\nVmPeak:\t 4000000 kB\nVmSize:\t 3900000 kB\nVmHWM:\t  900000 kB\n"
    "VmRSS:\t  800000 kB\nRssAnon:\t  300000 kB\nRssFile:\t  499000 kB\nRssShmem:\t    1000 "
    "kB\nThreads:\t4\n";

TEST(ProcessMemory, is_read_from_statm_in_pages) {
  FakeSystem system;
  system.write("/proc/self/statm", "975000 200000 125000 400 0 80000 0\n");
  const auto found = resident_memory(system.files());
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->rss, 200'000 * page_size());
  EXPECT_EQ(found->vms, 975'000 * page_size());
}

TEST(ProcessMemory, is_read_from_status_by_kind) {
  FakeSystem system;
  system.write("/proc/self/status", kStatus);
  const auto found = process_memory(system.files());
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->rss, 800'000u * 1024);
  EXPECT_EQ(found->vms, 3'900'000ull * 1024);
  EXPECT_EQ(found->peak_rss, 900'000u * 1024);
  EXPECT_EQ(found->rss_anon, 300'000u * 1024);
  EXPECT_EQ(found->rss_file, 499'000u * 1024);
  EXPECT_EQ(found->rss_shmem, 1'000u * 1024);
}

TEST(ProcessMemory, leaves_out_what_an_old_kernel_does_not_tell) {
  FakeSystem system;
  system.write("/proc/self/status", "VmSize: 20 kB\nVmRSS: 10 kB\n");
  const auto found = process_memory(system.files());
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->rss, 10'240u);
  EXPECT_EQ(found->peak_rss, std::nullopt);
  EXPECT_EQ(found->rss_anon, std::nullopt);
}

TEST(ProcessMemory, of_the_machine_is_read_from_meminfo) {
  FakeSystem system;
  system.write("/proc/meminfo",
               "MemTotal:       10059776 kB\nMemFree:         1000000 kB\n"
               "MemAvailable:    7000000 kB\n");
  EXPECT_EQ(machine_memory(system.files()).total, 10'059'776ull * 1024);
  EXPECT_EQ(machine_memory(system.files()).available, 7'000'000ull * 1024);
  system.write("/proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 200 kB\n");  // between two updates
  EXPECT_EQ(machine_memory(system.files()).available, 102'400u);
  system.write("/proc/meminfo", "MemTotal: 100 kB\n");
  EXPECT_EQ(machine_memory(system.files()).available, std::nullopt);
}

TEST(ProcessMemory, of_the_machine_is_counted_by_the_system_where_meminfo_is_missing_or_makes_no_sense) {
  FakeSystem system;
  const uint64_t counted = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * page_size();
  EXPECT_EQ(machine_memory(system.files()).total, counted);
  for (const char* total : {"MemTotal: 0 kB\n", "MemTotal: -5 kB\n", "MemTotal: 18446744073709551615 kB\n",
                            "MemTotal 10 kB\n", ""}) {
    system.write("/proc/meminfo", fmt::format("{}MemAvailable: 5 kB\n", total));
    EXPECT_EQ(machine_memory(system.files()).total, counted) << total;
    EXPECT_EQ(machine_memory(system.files()).available, std::nullopt) << total;
  }
}

TEST(ProcessMemory, is_nothing_where_files_are_missing_or_make_no_sense) {
  FakeSystem system;
  EXPECT_FALSE(resident_memory(system.files()).has_value());
  EXPECT_FALSE(process_memory(system.files()).has_value());
  for (const char* statm :
       {"", "12", "12 ", "a b", "-1 2", "1 -2", "99999999999999999999 1", "4611686018427387904 1"}) {
    system.write("/proc/self/statm", statm);
    EXPECT_FALSE(resident_memory(system.files()).has_value()) << statm;
  }
  for (const char* status :
       {"", "VmRSS: 10 kB\n", "VmSize: 10 kB\nVmRSS: many kB\n", "VmSize: 10 kB\nVmRSS: -1 kB\n",
        "VmSize: 10 kB\nVmRSS: 10 MB\n", "VmSize: 10 kB\nVmRSSx: 10 kB\n"}) {
    system.write("/proc/self/status", status);
    EXPECT_FALSE(process_memory(system.files()).has_value()) << status;
  }
}

TEST(ProcessMemory, of_this_process_is_less_than_its_addresses) {
  const auto quick = resident_memory(SystemFiles());
  const auto whole = process_memory(SystemFiles());
  ASSERT_TRUE(quick.has_value() && whole.has_value());
  EXPECT_GT(quick->rss, 0u);
  EXPECT_LT(quick->rss, quick->vms);
  EXPECT_LE(whole->rss, whole->peak_rss.value_or(whole->rss) + (16u << 20));
}

}  // namespace
}  // namespace qvl
