#include "profiler/sample.h"

#include <gtest/gtest.h>

namespace qvl {
namespace {

TEST(Sample, counts_the_memory_of_its_lists_and_texts) {
  EXPECT_EQ(bytes_of(Sample()), sizeof(Sample));
  Sample frequencies;
  frequencies.frequencies.reserve(10);
  EXPECT_EQ(bytes_of(frequencies), sizeof(Sample) + 10 * sizeof(CpuFrequency));
  Sample gpu;
  gpu.gpus.resize(1);
  gpu.gpus[0].processes.reserve(3);
  EXPECT_EQ(bytes_of(gpu), sizeof(Sample) + sizeof(GpuLoad) + 3 * sizeof(GpuProcess));
  Sample cpu;
  cpu.rates.cpu.emplace().each.reserve(4);
  EXPECT_EQ(bytes_of(cpu), sizeof(Sample) + 4 * sizeof(CpuLoad::One));
  Sample named;
  named.temperatures.resize(1);
  named.temperatures[0].name.assign(100, 'x');
  EXPECT_GE(bytes_of(named), sizeof(Sample) + sizeof(Temperature) + 100);
}

}  // namespace
}  // namespace qvl
