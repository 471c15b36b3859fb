#include "optimizer/resolve.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "optimizer/config_testing.h"
#include "optimizer/explain.h"
#include "optimizer/passes/pass_list.h"
#include "optimizer/plan_testing.h"

namespace qvl {
namespace {

constexpr uint64_t kMebibyte = 1 << 20, kGigabyte = 1'000'000'000;

Resolution resolve_at(const PlanInputs& inputs) { return resolve(inputs, all_passes()); }

void expect_loses(const PlanInputs& inputs, std::string_view pass, PassVerdict verdict,
                  std::string_view reason) {
  const Resolution resolution = resolve_at(inputs);
  const PassOutcome& outcome = outcome_of(resolution, pass);
  EXPECT_EQ(outcome.verdict, verdict) << pass << ": " << outcome.reason;
  EXPECT_EQ(outcome.reason, reason);
}

void expect_taken(const PlanInputs& inputs, std::string_view pass) {
  const Resolution resolution = resolve_at(inputs);
  const PassOutcome& outcome = outcome_of(resolution, pass);
  EXPECT_EQ(outcome.verdict, PassVerdict::taken) << pass << ": " << outcome.reason;
}

// A decoder of four layers, small enough for caches.
ModelFacts small_model() {
  ModelFacts model = published_2b();
  model.text.num_hidden_layers = 1;
  model.text.vocab_size = 768;
  std::erase_if(model.linears, [](const LinearFacts& layer) { return layer.place == WeightPlace::text; });
  model.linears.insert(model.linears.begin(),
                       {.inputs = 2048, .parts = {{.outputs = 768, .stored = DType::bf16}}});
  return model;
}

TEST(Levels, take_what_the_table_says) {
  struct Row {
    Choice choice;
    std::string values[4];
  };
  const Row rows[] = {
      {Choice::instruction_set, {"scalar", "avx2", "avx2", "avx2"}},
      {Choice::threads, {"1 thread", "4 threads", "4 threads", "4 threads"}},
      {Choice::spinning, {"off", "20 us", "20 us", "20 us"}},
      {Choice::pinning, {"off", "off", "processors 0,1,2,3", "processors 0,1,2,3"}},
      {Choice::duty_cycle, {"100 %", "100 %", "100 %", "100 %"}},
      {Choice::text_weights, {"f32", "f32", "q8", "q4"}},
      {Choice::vision_weights, {"f32", "f32", "q8", "q8"}},
      {Choice::kv, {"f32", "f32", "16", "16"}},
      {Choice::packed_weights, {"in memory", "in memory", "kept in a file", "kept in a file"}},
      {Choice::huge_pages, {"off", "off", "on", "on"}},
      {Choice::huge_weights, {"off", "off", "off", "off"}},
      {Choice::disk_feature_cache, {"off", "off", "off", "2048.0 MiB"}},
      {Choice::clean_up, {"off", "every 10 operations", "every 10 operations", "every 10 operations"}},
  };
  for (int64_t level = 0; level <= 3; ++level) {
    const Resolution resolution = resolve_at(inputs_at(level));
    for (const Row& row : rows) {
      EXPECT_EQ(value_of(row.choice, resolution.plan), row.values[level])
          << name_of(row.choice) << " " << level;
    }
  }
  const Plan best = resolve_at(inputs_at(3)).plan;
  EXPECT_EQ(best.pool_bytes, 256 * kMebibyte);
  EXPECT_GT(best.feature_cache_bytes, 0u);
  EXPECT_GT(best.prefix_cache_bytes, 0u);
  EXPECT_EQ(resolve_at(inputs_at(2)).plan.feature_cache_bytes, 0u);
}

TEST(Levels, are_each_faster_than_the_one_below) {
  double before = 1e9;
  for (int64_t level = 0; level <= 3; ++level) {
    const double seconds = resolve_at(inputs_at(level)).times.request();
    EXPECT_LT(seconds, before);
    before = seconds;
  }
}

TEST(Resolve, does_not_depend_on_the_order_of_the_passes) {
  std::mt19937 random(1);
  for (const double gigabytes : {10.3, 2.6, 2.1}) {
    PlanInputs inputs = inputs_at(3);
    inputs.hardware.memory_bytes = static_cast<uint64_t>(gigabytes * 1e9);
    inputs.hardware.measured.smt_speedup = 1.2;
    inputs.config.num_compute_threads = 8;
    const std::string expected = to_json(explain(inputs, resolve_at(inputs)));
    for (int i = 0; i < 20; ++i) {
      auto passes = all_passes();
      std::shuffle(passes.begin(), passes.end(), random);
      EXPECT_EQ(to_json(explain(inputs, resolve(inputs, passes))), expected);
    }
  }
}

TEST(Resolve, never_plans_beyond_the_cap_whatever_the_machine) {
  std::mt19937 random(2);
  const auto one_of = [&](auto... values) {
    const std::common_type_t<decltype(values)...> all[] = {values...};
    return all[random() % std::size(all)];
  };
  int planned = 0, refused = 0;
  for (int i = 0; i < 300; ++i) {
    PlanInputs inputs = inputs_at(static_cast<int64_t>(random() % 4));
    inputs.model = published_2b(one_of(DType::bf16, DType::f32, DType::q4_0, DType::q8_0, DType::q4_k));
    inputs.hardware.memory_bytes = 400 * kMebibyte + random() % (12 * kGigabyte);
    inputs.hardware.huge_pages =
        one_of(HugePageSupport::never, HugePageSupport::on_advice, HugePageSupport::always);
    inputs.hardware.foreign_load = one_of(0.0, 2.0);
    if (random() % 2 == 0) inputs.hardware.cpu_quota = one_of(0.5, 3.0);
    if (random() % 2 == 0) inputs.hardware.cache_free_bytes = one_of(uint64_t{0}, kGigabyte);
    if (random() % 3 == 0) inputs.hardware.isas = {Isa::scalar};
    if (random() % 3 == 0) inputs.wishes.kv = one_of(KvForm::f32, KvForm::i8);
    if (random() % 3 == 0)
      inputs.wishes.text = one_of(WeightChoice::bf16, WeightChoice::q8, WeightChoice::q4);
    inputs.config.memory_limit_ratio = one_of(0.3, 0.8, 1.0);
    inputs.config.num_compute_threads = one_of(1, 4, 64);
    try {
      const Resolution resolution = resolve_at(inputs);
      EXPECT_LE(predict_memory(inputs.model, resolution.plan).total(), inputs.memory_cap()) << "case " << i;
      EXPECT_EQ(resolution.outcomes.size(), all_passes().size());
      ++planned;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::limit) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(planned, 80);
  EXPECT_GT(refused, 10);
}

TEST(Resolve, says_what_the_least_plan_takes_where_none_fits) {
  PlanInputs inputs = inputs_at(3);
  inputs.hardware.memory_bytes = 512 * kMebibyte;
  const std::string message = refusal(ErrorCode::limit, [&] { resolve_at(inputs); });
  EXPECT_TRUE(message.starts_with("memory: the least plan takes ")) << message;
  for (const std::string part : {"packed weights ", "keys and values ", "scratch ", "pixels ", "program "}) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
  EXPECT_TRUE(message.ends_with("), the cap is 409.6 MiB (0.8 of 512.0 MiB)")) << message;
}

TEST(Resolve, the_least_plan_is_the_least) {
  PlanInputs inputs = inputs_at(3);
  inputs.memory_limit_bytes = 1;
  const Plan least = plan_or_least(inputs, all_passes());
  const uint64_t bytes = predict_memory(inputs.model, least).total();
  inputs.memory_limit_bytes = bytes - 1;
  EXPECT_NE(refusal(ErrorCode::limit, [&] { resolve_at(inputs); })
                .find("memory: the least plan takes " + mebibytes(bytes) + " ("),
            std::string::npos);
  EXPECT_EQ(predict_memory(inputs.model, plan_or_least(inputs, all_passes())).total(), bytes);
  inputs.memory_limit_bytes = bytes;
  EXPECT_EQ(resolve_at(inputs).memory.total(), bytes);
  EXPECT_EQ(resolve_at(inputs).plan.forms, least.forms);
}

TEST(Resolve, says_where_the_cap_comes_from) {
  PlanInputs inputs = inputs_at(3);
  inputs.hardware.memory_bytes = 512 * kMebibyte;
  inputs.memory_limit_bytes = 16 * kMebibyte;
  const auto message = [&] { return refusal(ErrorCode::limit, [&] { resolve_at(inputs); }); };
  EXPECT_TRUE(message().ends_with("), the cap is 16.0 MiB (--memory-limit)")) << message();
  inputs.memory_limit_bytes = 600 * kMebibyte;
  EXPECT_TRUE(message().ends_with(
      "), the cap is 512.0 MiB (--memory-limit asks for 600.0 MiB, this process may use no more)"))
      << message();
}

TEST(Resolve, a_memory_cgroup_lowers_the_cap) {
  PlanInputs inputs = inputs_at(3);
  inputs.hardware.memory_limit_bytes = 3 * kGigabyte;
  EXPECT_EQ(inputs.memory_cap(), 2'400'000'000u);
  EXPECT_LE(resolve_at(inputs).memory.total(), 2'400'000'000u);
}

TEST(Resolve, leaves_out_passes_by_name_and_refuses_unknown_names) {
  PlanInputs inputs = inputs_at(3);
  inputs.disabled = {"weights_4_bit"};
  expect_loses(inputs, "weights_4_bit", PassVerdict::switched_off, "it was switched off");
  EXPECT_EQ(resolve_at(inputs).plan.forms.text, WeightChoice::q8);
  inputs.disabled = {"weights_5_bit"};
  EXPECT_EQ(
      refusal(ErrorCode::usage, [&] { resolve_at(inputs); }),
      "disable-pass: found \"weights_5_bit\", expected one of disk_feature_cache, duty_cycle, feature_cache, "
      "huge_pages, huge_weights, instruction_set, kv_16_bit, kv_8_bit, memory_trim, packed_cache, pinning, "
      "prefill_chunk, prefix_cache, smt, spinning, tensor_pool, threads, vision_8_bit, vision_chunk, "
      "weights_4_bit, weights_8_bit");
}

TEST(Resolve, a_mask_without_a_usable_processor_is_an_error) {
  PlanInputs inputs = inputs_at(3);
  inputs.config.cpu_affinity_mask = 0x300;
  EXPECT_EQ(refusal(ErrorCode::usage, [&] { resolve_at(inputs); }),
            "cpu_affinity_mask: 0x300 names none of the 8 processors this process may use");
  inputs.config.cpu_affinity_mask = 0x32;  // processors 1 and 5 are one core, 4 another
  EXPECT_EQ(resolve_at(inputs).plan.pinned_cpus, (std::vector<int>{1, 4}));
}

TEST(Resolve, keeps_to_what_the_caller_has_fixed) {
  PlanInputs inputs = inputs_at(3);
  inputs.wishes = {.isa = Isa::scalar, .text = WeightChoice::bf16, .kv = KvForm::f32};
  const Resolution resolution = resolve_at(inputs);
  EXPECT_EQ(resolution.plan.forms.isa, Isa::scalar);
  EXPECT_EQ(resolution.plan.forms.text, WeightChoice::bf16);
  EXPECT_EQ(resolution.plan.forms.kv, KvForm::f32);
  EXPECT_EQ(outcome_of(resolution, "weights_4_bit").reason, "bf16 was asked for");
  EXPECT_EQ(outcome_of(resolution, "kv_8_bit").reason, "f32 was asked for");
  EXPECT_EQ(outcome_of(resolution, "instruction_set").reason, "scalar was asked for");
}

TEST(Passes, change_the_one_choice_that_is_theirs) {
  const PlanInputs inputs = inputs_at(3);
  Plan draft = resolve_at(inputs_at(0)).plan;
  draft.threads = 2;
  for (const Pass& pass : all_passes()) {
    const PassContext context{.inputs = inputs, .draft = draft, .free_bytes = kGigabyte};
    Plan applied = draft;
    const std::string cause = pass.apply(context, applied);
    EXPECT_FALSE(cause.empty()) << pass.name;
    for (size_t i = 0; i < static_cast<size_t>(Choice::count); ++i) {
      const auto choice = static_cast<Choice>(i);
      if (choice == pass.choice) continue;
      EXPECT_EQ(value_of(choice, applied), value_of(choice, draft)) << pass.name << " " << name_of(choice);
    }
  }
}

TEST(Passes, name_only_passes_that_there_are) {
  std::set<std::string_view> names;
  for (const Pass& pass : all_passes()) EXPECT_TRUE(names.insert(pass.name).second) << pass.name;
  for (const Pass& pass : all_passes()) {
    EXPECT_FALSE(pass.description.empty());
    for (std::string_view need : pass.needs) EXPECT_TRUE(names.contains(need)) << need;
    for (std::string_view other : pass.excludes) EXPECT_TRUE(names.contains(other)) << other;
  }
}

TEST(Conflicts, four_bits_win_over_eight_by_the_time_they_save) {
  const Resolution resolution = resolve_at(inputs_at(3));
  const PassOutcome& loser = outcome_of(resolution, "weights_8_bit");
  EXPECT_EQ(loser.verdict, PassVerdict::excluded);
  EXPECT_TRUE(loser.reason.starts_with("weights_4_bit is taken and excludes it: it saves ")) << loser.reason;
  EXPECT_GT(outcome_of(resolution, "weights_4_bit").seconds, loser.seconds);
}

TEST(Conflicts, four_bits_do_not_hold_the_error_bound_for_fine_or_small_checkpoints) {
  PlanInputs inputs = inputs_at(3);
  inputs.model = published_2b(DType::q8_0);
  expect_loses(inputs, "weights_4_bit", PassVerdict::obstacle,
               "the file holds finer blocks: 4 bits would lose what they keep");
  expect_taken(inputs, "weights_8_bit");
  inputs.model = small_model();
  expect_loses(inputs, "weights_4_bit", PassVerdict::obstacle,
               "the decoder is small, 1.5 MiB in 8 bits: the error bound does not hold for so little");
}

TEST(Conflicts, two_threads_a_core_win_over_one_only_where_they_were_measured_to) {
  PlanInputs inputs = inputs_at(3);
  expect_loses(inputs, "smt", PassVerdict::obstacle, "4 threads are granted for 4 cores");
  inputs.config.num_compute_threads = 8;
  EXPECT_EQ(resolve_at(inputs).plan.threads, 4);
  inputs.hardware.measured.smt_speedup = 1.3;
  EXPECT_EQ(resolve_at(inputs).plan.threads, 8);
  const Resolution resolution = resolve_at(inputs);
  EXPECT_TRUE(
      outcome_of(resolution, "threads").reason.starts_with("smt is taken and excludes it: it saves "));
  // A thread that waits awake takes turns from the other of its core.
  EXPECT_EQ(outcome_of(resolution, "spinning").verdict, PassVerdict::excluded);
  EXPECT_EQ(resolution.plan.spin_us, 0);
  inputs.hardware.measured.smt_speedup = 0.8;
  EXPECT_EQ(resolve_at(inputs).plan.threads, 4);
}

TEST(Conflicts, packed_weights_in_a_file_win_over_huge_pages_for_them) {
  PlanInputs inputs = inputs_at(3);
  Resolution resolution = resolve_at(inputs);
  EXPECT_EQ(outcome_of(resolution, "huge_weights").verdict, PassVerdict::excluded);
  EXPECT_TRUE(resolution.plan.keep_packed);
  inputs.hardware.cache_free_bytes = {};
  resolution = resolve_at(inputs);
  EXPECT_EQ(outcome_of(resolution, "packed_cache").reason, "there is no cache folder");
  EXPECT_TRUE(resolution.plan.huge_weights);
  inputs.hardware.cache_free_bytes = 100 * kMebibyte;
  EXPECT_FALSE(resolve_at(inputs).plan.keep_packed);
}

TEST(Conflicts, pinning_and_waiting_awake_give_way_to_foreign_load) {
  PlanInputs inputs = inputs_at(3);
  inputs.hardware.foreign_load = 1.5;
  expect_loses(inputs, "pinning", PassVerdict::obstacle,
               "others keep 1.50 processors busy: a bound thread would wait for them");
  expect_loses(inputs, "spinning", PassVerdict::obstacle,
               "others keep 1.50 processors busy and would be held up");
}

TEST(Conflicts, a_quota_bounds_threads_and_forbids_waiting_awake) {
  PlanInputs inputs = inputs_at(3);
  inputs.hardware.cpu_quota = 1.5;
  EXPECT_EQ(resolve_at(inputs).plan.threads, 2);
  expect_loses(inputs, "spinning", PassVerdict::obstacle,
               "a quota of 1.50 processors: waiting awake would use it up");
  expect_loses(inputs, "pinning", PassVerdict::obstacle,
               "the quota decides when threads run, whatever processor they are on");
}

TEST(Conflicts, caches_and_huge_pages_get_what_keys_and_values_leave) {
  PlanInputs inputs = inputs_at(3);
  inputs.hardware.memory_bytes = 2'400'000'000;
  const Resolution resolution = resolve_at(inputs);
  EXPECT_LT(resolution.plan.context_tokens, 16'384);
  for (const std::string name : {"feature_cache", "prefix_cache", "huge_pages"}) {
    EXPECT_NE(outcome_of(resolution, name).verdict, PassVerdict::taken) << name;
  }
  // What is left is less than the next size of blocks for keys and values: a quarter of it may be kept.
  EXPECT_LT(resolution.plan.pool_bytes, 28 * kMebibyte);
  EXPECT_EQ(outcome_of(resolution, "disk_feature_cache").reason,
            "it needs feature_cache, which is not taken");
}

TEST(Conflicts, huge_pages_are_given_up_where_the_cap_lacks_what_they_round_up) {
  // From much to little memory there is a point where all tokens wanted fit, but whole huge pages do not.
  bool found = false;
  for (uint64_t memory = 8 * kGigabyte; memory > 5 * kGigabyte && !found; memory -= 10 * kMebibyte) {
    PlanInputs inputs = inputs_at(2);
    inputs.hardware.memory_bytes = memory;
    const Resolution resolution = resolve_at(inputs);
    const PassOutcome& huge = outcome_of(resolution, "huge_pages");
    found = huge.verdict == PassVerdict::no_room;
    EXPECT_TRUE(!found || huge.reason.starts_with("it takes 40.0 MiB, ")) << huge.reason;
  }
  EXPECT_TRUE(found);
}

TEST(Conflicts, eight_bit_keys_win_where_sixteen_leave_no_room) {
  PlanInputs inputs = inputs_at(3);
  expect_loses(inputs, "kv_8_bit", PassVerdict::obstacle, "16 bits leave room for the 16384 tokens wanted");
  inputs.hardware.memory_bytes = 4 * kGigabyte;
  const Resolution resolution = resolve_at(inputs);
  EXPECT_EQ(resolution.plan.forms.kv, KvForm::i8);
  EXPECT_EQ(outcome_of(resolution, "kv_16_bit").reason, "kv_8_bit is taken and excludes it");
  inputs.disabled = {"kv_8_bit"};
  EXPECT_LT(resolve_at(inputs).plan.context_tokens, resolution.plan.context_tokens);
}

TEST(Conflicts, a_pass_that_costs_time_is_taken_where_nothing_fits_without_it) {
  PlanInputs inputs = inputs_at(2);
  inputs.hardware.isas = {Isa::scalar};  // where 8-bit products are slower than floats
  inputs.hardware.measured.read_gb_s = 1000;
  inputs.hardware.cache_free_bytes = {};
  expect_loses(inputs, "vision_8_bit", PassVerdict::no_gain,
               outcome_of(resolve_at(inputs), "vision_8_bit").reason);
  inputs.model = published_2b(DType::f32);
  inputs.hardware.memory_bytes = 5 * kGigabyte;  // as stored the weights take 8 GB
  EXPECT_EQ(resolve_at(inputs).plan.forms.text, WeightChoice::q8);
}

TEST(Conflicts, what_takes_memory_for_little_is_given_up_where_nothing_fits_with_it) {
  // Of a 4-bit file 8-bit weights are an unpacked copy, beyond the cap.
  PlanInputs inputs = inputs_at(2);
  inputs.model = published_2b(DType::q4_0);
  inputs.hardware.measured.read_gb_s = 1000;
  inputs.hardware.memory_bytes = 2'300'000'000;
  inputs.config.memory_limit_ratio = 0.75;
  const Resolution resolution = resolve_at(inputs);
  EXPECT_EQ(outcome_of(resolution, "weights_8_bit").verdict, PassVerdict::no_room);
  EXPECT_EQ(resolution.plan.forms.text, WeightChoice::f32);
}

TEST(Passes, policies_decide_threads_waiting_and_duty_cycle) {
  PlanInputs inputs = inputs_at(3);
  inputs.config.scheduler_policy = SchedulerPolicy::power_save;
  const Plan saving = resolve_at(inputs).plan;
  EXPECT_EQ(saving.threads, 2);
  EXPECT_EQ(saving.spin_us, 0);
  EXPECT_EQ(saving.duty_cycle, 0.5);
  inputs.config.scheduler_policy = SchedulerPolicy::balanced;
  const Plan balanced = resolve_at(inputs).plan;
  EXPECT_EQ(balanced.threads, 4);
  EXPECT_EQ(balanced.spin_us, 0);
  EXPECT_EQ(balanced.duty_cycle, 1);
}

TEST(Passes, chunks_are_short_on_slow_machines) {
  PlanInputs inputs = inputs_at(3);
  const Plan fast = resolve_at(inputs).plan;
  inputs.hardware.measured.int8_gop_s[Isa::avx2] = 40;
  const Plan slow = resolve_at(inputs).plan;
  EXPECT_LT(slow.prefill_chunk, fast.prefill_chunk);
  EXPECT_EQ(slow.prefill_chunk, 128);
  EXPECT_LT(slow.vision_blocks_per_step, fast.vision_blocks_per_step);
  EXPECT_EQ(fast.prefill_chunk % 64, 0);
}

TEST(Passes, the_fastest_measured_instruction_set_is_taken) {
  PlanInputs inputs = inputs_at(1);
  inputs.hardware.isas = {Isa::scalar, Isa::avx2, Isa::avx512};
  EXPECT_EQ(resolve_at(inputs).plan.forms.isa, Isa::avx512);
  inputs.hardware.measured.int8_gop_s = {{Isa::scalar, 4}, {Isa::avx2, 900}, {Isa::avx512, 800}};
  EXPECT_EQ(resolve_at(inputs).plan.forms.isa, Isa::avx2);
}

}  // namespace
}  // namespace qvl
