#include "profiler/sample.h"

#include <gtest/gtest.h>

namespace qvl {
namespace {

TEST(Sample, counts_the_memory_of_its_lists_and_texts) {
  Sample sample;
  EXPECT_EQ(bytes_of(sample), sizeof(Sample));
  sample.frequencies.reserve(10);
  EXPECT_EQ(bytes_of(sample), sizeof(Sample) + 10 * sizeof(CpuFrequency));
  sample.frequencies = {};
  sample.gpus.resize(1);
  sample.gpus[0].processes.reserve(3);
  EXPECT_EQ(bytes_of(sample), sizeof(Sample) + sizeof(GpuLoad) + 3 * sizeof(GpuProcess));
  sample.gpus = {};
  sample.rates.cpu.emplace().each.reserve(4);
  EXPECT_EQ(bytes_of(sample), sizeof(Sample) + 4 * sizeof(CpuLoad::One));
  sample.rates = {};
  sample.temperatures.resize(1);
  sample.temperatures[0].name.assign(100, 'x');
  EXPECT_GE(bytes_of(sample), sizeof(Sample) + sizeof(Temperature) + 100);
}

}  // namespace
}  // namespace qvl
