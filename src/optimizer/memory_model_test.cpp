// Sizes by hand; a test of the pipeline compares them with what a loaded network holds.
#include "optimizer/memory_model.h"

#include <gtest/gtest.h>

#include "optimizer/memory_fit.h"
#include "optimizer/plan_testing.h"

namespace qvl {
namespace {

constexpr uint64_t kMebibyte = 1 << 20;

TEST(PackedBytes, are_whole_panels_and_groups_with_the_scales_of_inputs) {
  // 40 outputs are 3 panels, 300 inputs 2 groups; blocks of 4160, 4416 and 2208 bytes, and 300 floats.
  const ModelFacts model{
      .linears = {
          {.place = WeightPlace::vision, .inputs = 300, .parts = {{.outputs = 40, .stored = DType::f32}}}}};
  const auto bytes = [&](WeightChoice vision, Isa isa) {
    return packed_bytes(model, {.vision = vision, .isa = isa});
  };
  EXPECT_EQ(bytes(WeightChoice::q8, Isa::scalar), 6u * 4160 + 1200);
  EXPECT_EQ(bytes(WeightChoice::q8, Isa::avx2), 6u * 4416 + 1200);  // 7 bits
  EXPECT_EQ(bytes(WeightChoice::automatic, Isa::avx512), 6u * 4160 + 1200);
  EXPECT_EQ(bytes(WeightChoice::q4, Isa::avx2), 6u * 2208 + 1200);
  EXPECT_EQ(bytes(WeightChoice::bf16, Isa::avx2), 40u * 300 * 2);
  EXPECT_EQ(bytes(WeightChoice::f32, Isa::avx2), 0u);
  EXPECT_EQ(stored_in_use_bytes(model, {.vision = WeightChoice::f32}), 40u * 300 * 4);
  EXPECT_EQ(stored_in_use_bytes(model, {.vision = WeightChoice::q8}), 0u);
}

TEST(PackedBytes, begin_each_weight_on_a_border_of_64_bytes) {
  const LinearFacts layer{.inputs = 300, .parts = {{.outputs = 40, .stored = DType::bf16}}};
  const ModelFacts model{.linears = {layer, layer}};
  EXPECT_EQ(packed_bytes(model, {.text = WeightChoice::q4}), 14'464u + 14'448);
}

TEST(PackedBytes, take_the_finest_choice_of_parts_that_share_an_input) {
  const ModelFacts model{.linears = {{.inputs = 256,
                                      .parts = {{.outputs = 16, .stored = DType::q4_0},
                                                {.outputs = 16, .stored = DType::q8_0}}}}};
  EXPECT_EQ(packed_bytes(model, {.text = WeightChoice::automatic}), 2u * 4160 + 1024);
  EXPECT_EQ(decode_bytes(model, {.text = WeightChoice::automatic}), 2u * 4160);
}

TEST(KvBytes, are_pages_of_64_tokens_in_blocks_of_the_pool) {
  const TextConfig text = published_2b().text;
  // 28 layers of 8 heads; a block of 64 keys and values of width 128 and 128 scales, in the next of eight
  // sizes a doubling: 7,454,720 bytes in 15/8 of 2^22, 3,899,392 in 15/8 of 2^21.
  EXPECT_EQ(28 * 8 * (2 * 64 * 128 * 2 + 512), 7'454'720);
  EXPECT_EQ(kv_bytes(text, KvForm::i16, 1), 7'864'320u);
  EXPECT_EQ(kv_bytes(text, KvForm::i16, 64), kv_bytes(text, KvForm::i16, 1));
  EXPECT_EQ(kv_bytes(text, KvForm::i16, 65), 2 * kv_bytes(text, KvForm::i16, 1));
  EXPECT_EQ(28 * 8 * (2 * 64 * 128 + 2 * 4 * 64 + 512), 3'899'392);
  EXPECT_EQ(kv_bytes(text, KvForm::i8, 64), 3'932'160u);
  EXPECT_EQ(kv_bytes(text, KvForm::f32, 64), 28u * 8 * 128 * 2 * 4 * 64);
  EXPECT_EQ(kv_bytes(text, KvForm::i16, 0), 0u);
}

TEST(MemoryModel, of_the_published_checkpoint_is_near_what_it_was_measured_to_take) {
  // docs/benchmarks.md: 1.76 GB at a picture of 1024 x 1024, 4096 patches.
  Plan plan{
      .forms = {.text = WeightChoice::q4, .vision = WeightChoice::q8, .kv = KvForm::i16, .isa = Isa::avx512},
      .threads = 2,
      .context_tokens = 1600,
      .picture_patches = 4096};
  const PlannedMemory use = predict_memory(published_2b(), plan);
  EXPECT_GT(use.total(), 1'500'000'000u);
  EXPECT_LT(use.total(), 2'000'000'000u);
}

TEST(MemoryModel, parts_add_up_and_empty_ones_are_left_out) {
  const Plan plan = with_least_request(inputs_at(3), {.pool_bytes = 7});
  const PlannedMemory use = predict_memory(published_2b(), plan);
  uint64_t sum = 0;
  for (const auto& [name, bytes] : use.parts()) {
    EXPECT_GT(bytes, 0u) << name;
    sum += bytes;
  }
  EXPECT_EQ(sum, use.total());
  EXPECT_EQ(use.pool, 7u);
  EXPECT_EQ(use.packed_weights, 0u);
  EXPECT_EQ(use.parts().front().first, "stored weights");
}

TEST(MemoryModel, every_value_that_takes_memory_is_counted) {
  const ModelFacts model = published_2b();
  const Plan small = with_least_request(inputs_at(3), {});
  const uint64_t before = predict_memory(model, small).total();
  const auto grows = [&](auto change) {
    Plan plan = small;
    change(plan);
    EXPECT_GT(predict_memory(model, plan).total(), before);
  };
  grows([](Plan& plan) { plan.threads = 8; });
  grows([](Plan& plan) { plan.context_tokens += 64; });
  grows([](Plan& plan) { plan.picture_patches = 4096; });
  grows([](Plan& plan) { plan.prefill_chunk = 4096; });
  grows([](Plan& plan) { plan.huge_pages = true; });
  grows([](Plan& plan) { plan.huge_weights = true; });
  grows([](Plan& plan) { plan.feature_cache_bytes = 1; });
  grows([](Plan& plan) { plan.prefix_cache_bytes = 1; });
}

TEST(MemoryFit, gives_pictures_half_and_sequences_the_rest_of_what_is_free) {
  PlanInputs inputs = inputs_at(3);
  const Plan plan{.forms = {.text = WeightChoice::q4, .vision = WeightChoice::q8, .kv = KvForm::i16}};
  const auto roomy = fit_memory(inputs, plan);
  ASSERT_TRUE(roomy.has_value());
  EXPECT_EQ(roomy->context_tokens, 16'384);
  EXPECT_EQ(roomy->picture_patches, 65'536);  // the largest the checkpoint takes
  inputs.hardware.memory_bytes = 2'500'000'000;
  const auto tight = fit_memory(inputs, plan);
  ASSERT_TRUE(tight.has_value());
  const uint64_t used = predict_memory(inputs.model, *tight).total();
  EXPECT_LE(used, inputs.memory_cap());
  Plan longer = *tight;
  longer.context_tokens += 64;
  EXPECT_GT(predict_memory(inputs.model, longer).total(), inputs.memory_cap());
  EXPECT_LT(tight->context_tokens, 16'384);
  EXPECT_LT(tight->picture_patches, 65'536);
  inputs.hardware.memory_bytes = 500 * kMebibyte;
  EXPECT_EQ(fit_memory(inputs, plan), std::nullopt);
}

}  // namespace
}  // namespace qvl
