// What a plan allows is what a checkpoint is loaded and run under.
#include "pipeline/load_decision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "optimizer/machine_config.h"
#include "optimizer/plan_testing.h"

namespace qvl {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::MatchesRegex;

PlanInputs laptop_inputs() {
  PlanInputs inputs = inputs_at(3);
  inputs.hardware.measured.smt_speedup = 1;  // four threads
  return inputs;
}

LoadDecision without(const std::string& pass, PlanInputs inputs = laptop_inputs()) {
  inputs.disabled = {pass};
  return decide(std::move(inputs));
}

TEST(LoadDecision, follows_every_choice_of_the_plan) {
  const LoadDecision decision = decide(laptop_inputs());
  EXPECT_EQ(decision.limits, (RunLimits{.pinning = true,
                                        .waiting_awake = true,
                                        .shared_cores = false,
                                        .resting = false,
                                        .huge_pages = true,
                                        .interval_clean_up = true,
                                        .prefill_chunk = decision.plan.prefill_chunk,
                                        .vision_blocks = decision.plan.vision_blocks_per_step,
                                        .feature_bytes = decision.plan.feature_cache_bytes}));
  EXPECT_LT(decision.limits.prefill_chunk, 512);
  EXPECT_LT(decision.limits.vision_blocks, 24);
  EXPECT_GT(decision.limits.feature_bytes, 0u);
  EXPECT_EQ(decision.config.num_compute_threads, 4);
  EXPECT_EQ(decision.config.memory_pool_size, static_cast<int64_t>(decision.plan.pool_bytes));
}

TEST(LoadDecision, does_without_what_is_switched_off) {
  EXPECT_FALSE(without("pinning").limits.pinning);
  EXPECT_FALSE(without("spinning").limits.waiting_awake);
  EXPECT_FALSE(without("huge_pages").limits.huge_pages);
  EXPECT_FALSE(without("memory_trim").limits.interval_clean_up);
  EXPECT_EQ(without("prefill_chunk").limits.prefill_chunk, 512);
  EXPECT_EQ(without("vision_chunk").limits.vision_blocks, 24);  // whole pictures
  EXPECT_EQ(without("feature_cache").limits.feature_bytes, 0u);
  EXPECT_EQ(without("tensor_pool").config.memory_pool_size, 0);
  EXPECT_EQ(without("threads").config.num_compute_threads, 1);
  PlanInputs saving = laptop_inputs();
  saving.config.scheduler_policy = SchedulerPolicy::power_save;
  EXPECT_TRUE(decide(saving).limits.resting);
  EXPECT_FALSE(without("duty_cycle", saving).limits.resting);
}

TEST(LoadDecision, tells_where_the_disk_is_too_full_for_packed_weights) {
  const uint64_t packed = uint64_t{1200} << 20;
  const LoadOptions load{.cache_folder = "/cache"};
  PlanInputs inputs = laptop_inputs();
  inputs.hardware.cache_free_bytes = 50 << 20;
  EXPECT_EQ(disk_too_full(load, decide(inputs), packed),
            "packed weights are not kept: /cache: 50 MiB are free, 1201 MiB are needed");
  EXPECT_EQ(disk_too_full(load, without("packed_cache", inputs), packed), std::nullopt);  // nobody asked
  EXPECT_EQ(disk_too_full(load, decide(inputs), (64 << 20) - 1), std::nullopt);  // too little for a file
  inputs.hardware.cache_free_bytes.reset();                                      // there is no folder
  EXPECT_EQ(disk_too_full(load, decide(inputs), packed), std::nullopt);
  inputs.hardware.cache_free_bytes = uint64_t{100} << 30;
  EXPECT_EQ(disk_too_full(load, decide(inputs), packed), std::nullopt);
}

TEST(LoadDecision, tells_of_a_cap_that_holds_no_plan) {
  PlanInputs inputs = laptop_inputs();
  EXPECT_EQ(cap_too_low(decide(inputs)), std::nullopt);
  inputs.memory_limit_bytes = 600 << 20;
  EXPECT_THAT(cap_too_low(decide(inputs)).value_or(""),
              MatchesRegex("memory: the cap of 600.0 MiB holds no plan, the least takes [0-9.]+ [MG]iB: only "
                           "small requests fit, and everything is computed with avx2 on 1 thread"));
}

TEST(LoadDecision, level_0_allows_nothing) {
  PlanInputs inputs = laptop_inputs();
  inputs.config.optimization_level = 0;
  const LoadDecision decision = decide(std::move(inputs));
  EXPECT_EQ(decision.limits, (RunLimits{.pinning = false,
                                        .waiting_awake = false,
                                        .shared_cores = false,
                                        .resting = false,
                                        .huge_pages = false,
                                        .interval_clean_up = false,
                                        .prefill_chunk = 512,
                                        .vision_blocks = 24,
                                        .feature_bytes = 0}));
  EXPECT_EQ(decision.config.num_compute_threads, 1);
  EXPECT_EQ(decision.config.memory_pool_size, 0);
}

TEST(LoadDecision, lets_threads_share_cores_where_that_was_measured_to_be_faster) {
  PlanInputs inputs = inputs_at(3);
  inputs.hardware.measured.smt_speedup = 1.5;
  inputs.config.num_compute_threads = 8;
  EXPECT_TRUE(decide(inputs).limits.shared_cores);
  EXPECT_FALSE(without("smt", inputs).limits.shared_cores);
}

TEST(LoadDecision, a_busy_moment_does_not_count_where_threads_follow_the_load) {
  PlanInputs inputs = laptop_inputs();
  inputs.hardware.foreign_load = 3;
  inputs.hardware.cpu_quota = 1;
  const LoadDecision follows = decide(inputs);
  EXPECT_THAT(follows.plan.pinned_cpus, IsEmpty());
  EXPECT_TRUE(follows.limits.pinning);
  EXPECT_TRUE(follows.limits.waiting_awake);
  EXPECT_EQ(follows.config.num_compute_threads, 4);
  inputs.config.dynamic_resource_adjustment = false;
  const LoadDecision stays = decide(inputs);
  EXPECT_FALSE(stays.limits.pinning);
  EXPECT_FALSE(stays.limits.waiting_awake);
  EXPECT_EQ(stays.config.num_compute_threads, 1);
}

TEST(LoadDecision, a_quota_at_the_start_does_not_count_for_good_under_what_fits_the_machine) {
  PlanInputs inputs = laptop_inputs();
  inputs.hardware.cpu_quota = 0.5;
  inputs.config = config_for(inputs.hardware);
  const LoadDecision decision = decide(inputs);
  EXPECT_EQ(decision.plan.threads, 1);  // at this moment
  EXPECT_EQ(decision.config.num_compute_threads, 4);
  EXPECT_EQ(decide_again(decision, config_for(inputs.hardware)).config.num_compute_threads, 4);
}

TEST(LoadDecision, decides_again_for_another_configuration_but_keeps_what_is_loaded) {
  const LoadDecision loaded = decide(laptop_inputs());
  EXPECT_THAT(decided_by_loading(loaded, loaded.inputs.config), IsEmpty());
  SystemOptimizationConfig config{
      .scheduler_policy = SchedulerPolicy::balanced, .memory_pool_size = 1 << 20, .optimization_level = 1};
  LoadDecision again = decide_again(loaded, config);
  EXPECT_EQ(again.plan.forms, loaded.plan.forms);
  EXPECT_TRUE(again.plan.keep_packed);
  EXPECT_FALSE(again.limits.pinning);
  EXPECT_FALSE(again.limits.waiting_awake);
  EXPECT_EQ(again.limits.feature_bytes, 0u);
  EXPECT_EQ(again.config.memory_pool_size, 1 << 20);
  EXPECT_THAT(decided_by_loading(loaded, config),
              ElementsAre("decoder weights: this configuration would choose f32, loading has chosen q4",
                          "vision weights: this configuration would choose f32, loading has chosen q8",
                          "packed weights: this configuration would choose in memory, loading has chosen "
                          "kept in a file",
                          "keys and values: this configuration would choose f32, loading has chosen 16"));
}

TEST(LoadDecision, never_passes_the_limit_that_loading_was_given) {
  PlanInputs inputs = laptop_inputs();
  inputs.memory_limit_bytes = uint64_t{4} << 30;
  const LoadDecision loaded = decide(std::move(inputs));
  EXPECT_EQ(decide_again(loaded, {.memory_limit_ratio = 0.9}).inputs.memory_cap(), uint64_t{4} << 30);
  EXPECT_EQ(decide_again(loaded, {.memory_limit_ratio = 0.3}).inputs.memory_cap(), 3'090'000'000u);
}

TEST(LoadDecision, takes_the_least_forms_where_the_cap_holds_no_plan) {
  PlanInputs inputs = laptop_inputs();
  const LoadDecision with_room = decide(inputs);
  inputs.memory_limit_bytes = uint64_t{100} << 20;
  const LoadDecision without = decide(std::move(inputs));
  EXPECT_EQ(without.plan.forms, (ModelForms{.text = WeightChoice::automatic,
                                            .vision = WeightChoice::q8,
                                            .kv = KvForm::i8,
                                            .isa = with_room.plan.forms.isa}));
  EXPECT_TRUE(without.plan.keep_packed);  // so that what is kept already is found
  EXPECT_EQ(without.limits.feature_bytes, 0u);
  EXPECT_EQ(without.config.memory_pool_size, 0);
}

}  // namespace
}  // namespace qvl
