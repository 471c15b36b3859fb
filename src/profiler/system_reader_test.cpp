#include "profiler/system_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fake_system.h"

namespace qvl {
namespace {

using testing::IsEmpty;

constexpr int64_t kSecond = 1'000'000'000;

// A machine with a bit of everything.
class SystemReaders : public testing::Test {
 protected:
  SystemReaders() {
    set_busy_ticks(100);
    system_.write("/proc/self/stat", "1 (qvl) R 1 1 1 0 -1 0 0 0 0 0 50 0 0 0 20 0 1 0 0 0\n");
    system_.write("/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 500 kB\n");
    system_.write("/proc/self/status", "VmRSS: 10 kB\n");
    system_.write("/proc/self/smaps_rollup", "Pss: 5 kB\n");
    for (const char* resource : {"cpu", "memory", "io"}) {
      system_.write("/proc/pressure/" + std::string(resource),
                    "some avg10=1.00 avg60=1.00 avg300=1.00 total=1\n");
    }
    system_.write("/sys/block/sda/device/model", "disk\n");
    set_written_sectors(1000);
    system_.write("/proc/net/dev", "eth0: 0 0 0 0 0 0 0 0 0 0\n");
    system_.write("/sys/class/powercap/intel-rapl:0/energy_uj", "5\n");
    system_.write("/sys/class/thermal/thermal_zone0/temp", "50000\n");
    system_.write("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1000000\n");
    system_.write("/sys/class/power_supply/AC/online", "1\n");
  }
  void set_busy_ticks(int busy) const {
    const std::string ticks = std::to_string(busy) + " 0 0 1000\n";
    system_.write("/proc/stat", "cpu " + ticks + "cpu0 " + ticks);
  }
  void set_written_sectors(int sectors) const {
    system_.write("/proc/diskstats", "8 0 sda 0 0 0 0 0 0 " + std::to_string(sectors) + " 0 0 0 0\n");
  }

  FakeSystem system_;
};

TEST_F(SystemReaders, read_everything_and_rates_from_the_second_sample_on) {
  SystemReader reader(system_.files(), {}, QVL_FAKE_NVML_FOLDER "/good.so");
  const Sample first = reader.read(5 * kSecond);
  EXPECT_EQ(first.time_ns, 5 * kSecond);
  EXPECT_FALSE(first.rates.interval_s);
  EXPECT_FALSE(first.rates.cpu);
  EXPECT_THAT(first.rates.disks, IsEmpty());
  EXPECT_EQ(first.memory->rss_bytes, 10 * 1024);
  EXPECT_TRUE(first.machine_pressure.cpu && first.machine_pressure.memory && first.machine_pressure.io);
  EXPECT_EQ(first.temperatures.size(), 1);
  EXPECT_EQ(first.frequencies.size(), 1);
  EXPECT_EQ(first.power.on_mains, true);
  EXPECT_EQ(first.gpus.size(), 2);

  set_busy_ticks(150);
  set_written_sectors(1400);
  const Sample second = reader.read(7 * kSecond);
  EXPECT_EQ(second.rates.interval_s, 2.0);
  EXPECT_DOUBLE_EQ(second.rates.cpu->busy_cpus, 1);
  ASSERT_EQ(second.rates.disks.size(), 1);
  EXPECT_EQ(second.rates.disks[0].written_bytes_per_s, 400 * 512 / 2.0);
  EXPECT_EQ(second.rates.network.size(), 1);
  EXPECT_EQ(second.rates.energy.size(), 1);
}

TEST_F(SystemReaders, repeat_the_rates_where_too_little_time_has_passed) {
  SystemReader reader(system_.files(), {}, "none.so");
  reader.read(0);
  set_busy_ticks(200);
  reader.read(kSecond);
  set_busy_ticks(201);
  const Sample soon = reader.read(kSecond + 49'000'000);
  EXPECT_EQ(soon.rates.interval_s, 1.0);
  EXPECT_DOUBLE_EQ(soon.rates.cpu->busy_cpus, 1);
  system_.write("/proc/stat", "cpu 210 0 0 1030\ncpu0 210 0 0 1030\n");
  const Sample later = reader.read(kSecond + 50'000'000);
  EXPECT_DOUBLE_EQ(*later.rates.interval_s, 0.05);
  EXPECT_DOUBLE_EQ(later.rates.cpu->busy_cpus, 0.25);  // since the sample at one second, not the one between
}

TEST_F(SystemReaders, have_no_rates_over_a_step_of_the_clock_backwards) {
  SystemReader reader(system_.files(), {}, "none.so");
  reader.read(9 * kSecond);
  set_written_sectors(2000);
  EXPECT_FALSE(reader.read(8 * kSecond).rates.interval_s);
  set_written_sectors(3000);
  const Sample next = reader.read(9 * kSecond);
  EXPECT_EQ(next.rates.interval_s, 1.0);
  EXPECT_EQ(next.rates.disks[0].written_bytes_per_s, 512'000.0);
}

TEST_F(SystemReaders, read_the_proportional_set_size_in_every_tenth_sample) {
  SystemReader reader(system_.files(), {}, "none.so");
  for (int i = 0; i < 25; ++i) {
    EXPECT_EQ(reader.read(i * kSecond).memory->pss_bytes.has_value(), i % 10 == 0) << i;
  }
}

TEST_F(SystemReaders, keep_to_their_scope) {
  SystemReader memory_only(system_.files(), {.memory = true, .compute = false},
                           QVL_FAKE_NVML_FOLDER "/good.so");
  memory_only.read(0);
  set_busy_ticks(150);
  const Sample memory = memory_only.read(kSecond);
  EXPECT_TRUE(memory.memory && memory.machine_pressure.memory);
  EXPECT_FALSE(memory.rates.cpu);
  EXPECT_THAT(memory.rates.energy, IsEmpty());
  EXPECT_THAT(memory.temperatures, IsEmpty());
  EXPECT_THAT(memory.frequencies, IsEmpty());
  EXPECT_THAT(memory.gpus, IsEmpty());
  EXPECT_EQ(memory.rates.disks.size(), 1);

  const Sample compute = SystemReader(system_.files(), {.memory = false, .compute = true}, "none.so").read(0);
  EXPECT_FALSE(compute.memory);
  EXPECT_FALSE(compute.machine_pressure.memory);
  EXPECT_TRUE(compute.machine_pressure.cpu);
  EXPECT_EQ(compute.temperatures.size(), 1);
}

TEST_F(SystemReaders, get_by_on_a_machine_that_tells_nothing) {
  const FakeSystem empty;
  SystemReader reader(empty.files(), {}, "none.so");
  reader.read(0);
  const Sample sample = reader.read(kSecond);
  EXPECT_EQ(sample.rates.interval_s, 1.0);
  EXPECT_FALSE(sample.rates.cpu);
  EXPECT_EQ(sample.memory->total_bytes, std::nullopt);
  EXPECT_EQ(sample.power.on_mains, std::nullopt);
}

TEST(SystemReader, reads_this_machine) {
  SystemReader reader(SystemFiles(), {});
  const Sample sample = reader.read(0);
  EXPECT_GT(sample.memory->rss_bytes.value_or(0), 0U);
  EXPECT_GT(sample.memory->total_bytes.value_or(0), *sample.memory->rss_bytes);
}

}  // namespace
}  // namespace qvl
