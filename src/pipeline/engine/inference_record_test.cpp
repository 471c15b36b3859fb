#include "pipeline/engine/inference_record.h"

#include <gtest/gtest.h>

#include "base/fake_system.h"

namespace qvl {
namespace {

using End = InferenceRecord::End;

void write_energy(const FakeSystem& system, const char* energy_uj) {
  system.write("/sys/class/powercap/intel-rapl:0/name", "package-0\n");
  system.write("/sys/class/powercap/intel-rapl:0/energy_uj", energy_uj);
  system.write("/sys/class/powercap/intel-rapl:0/max_energy_range_uj", "10000000\n");
}

TEST(InferenceRecord, adds_up_tokens_of_prompts_and_guesses) {
  const FakeSystem system;
  InferenceRecord record(system.files());
  record.submitted(1'000'000'000);
  record.ended(
      {.end = End::answered, .now_ns = 2'000'000'000, .seconds = 1, .tokens = 5, .prompt_tokens = 100});
  record.ended({.end = End::overdue, .now_ns = 3'000'000'000, .prompt_tokens = 300, .cached_tokens = 192});
  record.guessed(4, 1);
  record.guessed(0, 0);
  record.guessed(3, 3);
  const PerformanceMetrics metrics = record.metrics();
  EXPECT_EQ(metrics.prompt_tokens, 400u);
  EXPECT_EQ(metrics.cached_tokens, 192u);
  EXPECT_EQ(metrics.guessed_tokens, 7u);
  EXPECT_EQ(metrics.accepted_tokens, 4u);
  EXPECT_EQ(metrics.total_inferences, 1u);
  EXPECT_EQ(metrics.overdue_inferences, 1u);
  EXPECT_EQ(metrics.energy_j, std::nullopt);
}

// The counter begins at zero after 10 J: what is read at the ends of requests is not lost.
TEST(InferenceRecord, has_the_energy_since_it_was_made_however_often_its_counter_begins_again) {
  const FakeSystem system;
  write_energy(system, "1000000\n");
  InferenceRecord record(system.files());
  EXPECT_EQ(record.metrics().energy_j, 0.0);
  for (const char* energy_uj : {"9000000\n", "6000000\n", "3000000\n"}) {  // 8, 7 and 7 J
    write_energy(system, energy_uj);
    record.ended({.end = End::failed, .now_ns = 1});
  }
  EXPECT_DOUBLE_EQ(*record.metrics().energy_j, 22.0);
  write_energy(system, "4500000\n");
  EXPECT_DOUBLE_EQ(*record.metrics().energy_j, 23.5);
}

}  // namespace
}  // namespace qvl
