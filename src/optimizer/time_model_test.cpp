// Predictions against what docs/benchmarks.md has measured; they rank plans, so a half more or less is near.
#include "optimizer/time_model.h"

#include <gtest/gtest.h>

#include "optimizer/plan_testing.h"
#include "optimizer/work.h"

namespace qvl {
namespace {

// The machine of the benchmarks.
PlanInputs server() {
  PlanInputs inputs = inputs_at(3);
  inputs.hardware.cpus = {{.cpu = 0, .core = 0}, {.cpu = 1, .core = 1}};
  inputs.hardware.isas = {Isa::scalar, Isa::avx2, Isa::avxvnni, Isa::avx512};
  inputs.hardware.measured.read_gb_s = 42;
  return inputs;
}

Plan defaults(Isa isa) {
  return {.forms = {.text = WeightChoice::q4, .vision = WeightChoice::q8, .kv = KvForm::i16, .isa = isa},
          .threads = 2,
          .spin_us = 20,
          .keep_packed = true};
}

void expect_near(double predicted, double measured) {
  EXPECT_GT(predicted, measured / 1.5);
  EXPECT_LT(predicted, measured * 1.5);
}

TEST(TimeModel, is_near_what_was_measured_with_each_instruction_set) {
  struct Row {
    Isa isa;
    double encode_512, prefill_tok_s, decode_tok_s;
  };
  for (const Row& row : {Row{Isa::avx512, 0.91, 357, 41}, Row{Isa::avx2, 1.9, 173, 43}}) {
    const StageTimes times = predict_times(server(), defaults(row.isa));
    expect_near(times.vision, row.encode_512);
    expect_near(kReferencePromptTokens / times.prefill, row.prefill_tok_s);
    expect_near(1 / times.decode_token, row.decode_tok_s);
  }
  expect_near(24 * vision_block_seconds(server(), defaults(Isa::avx512), 4096), 5.36);
  expect_near(24 * vision_block_seconds(server(), defaults(Isa::avx2), 4096), 12.3);
}

TEST(TimeModel, of_the_baseline_and_of_starts_is_near_what_was_measured) {
  PlanInputs inputs = server();
  expect_near(predict_times(inputs, {}).request(), 202);
  Plan plan = defaults(Isa::avx512);
  plan.keep_packed = false;
  expect_near(predict_times(inputs, plan).start, 15.8);
  EXPECT_LT(predict_times(inputs, defaults(Isa::avx512)).start, 0.3);
}

TEST(TimeModel, work_is_what_the_architecture_page_tells) {
  const VisionWork small = vision_work(published_2b().vision, 1024),
                   large = vision_work(published_2b().vision, 4096);
  EXPECT_NEAR((small.linear + small.attention) / 1e12, 0.77, 0.02);
  EXPECT_NEAR((large.linear + large.attention) / 1e12, 4.3, 0.1);
  EXPECT_NEAR(large.attention / (large.linear + large.attention), 0.38, 0.01);
  EXPECT_NEAR(2 * layer_weights(published_2b().text) / 1e9, 2.8, 0.05);
}

TEST(TimeModel, follows_measured_rates) {
  PlanInputs inputs = server();
  const StageTimes before = predict_times(inputs, defaults(Isa::avx2));
  inputs.hardware.measured.int8_gop_s[Isa::avx2] = 2 * 2 * int8_gop_s_per_core(inputs.hardware, Isa::avx2);
  inputs.hardware.measured.read_gb_s = 84;
  const StageTimes after = predict_times(inputs, defaults(Isa::avx2));
  EXPECT_NEAR(after.vision, before.vision / 2, 1e-9);
  EXPECT_NEAR(after.start, before.start / 2, 1e-9);
}

TEST(TimeModel, quota_duty_cycle_and_slow_cores_cost_what_they_take_away) {
  PlanInputs inputs = server();
  const Plan plan = defaults(Isa::avx2);
  const double full = predict_times(inputs, plan).vision;
  Plan half = plan;
  half.duty_cycle = 0.5;
  EXPECT_NEAR(predict_times(inputs, half).vision, 2 * full, 1e-9);
  inputs.hardware.cpu_quota = 1;
  EXPECT_NEAR(predict_times(inputs, plan).vision, 2 * full, 1e-9);
  inputs.hardware.cpu_quota = {};
  inputs.hardware.cpus[1].kind = CpuFacts::Kind::efficiency;
  EXPECT_NEAR(predict_times(inputs, plan).vision, full * 2 / 1.5, 1e-9);
}

}  // namespace
}  // namespace qvl
