#include "pipeline/tensor_inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "base/error_testing.h"
#include "qvl/pipeline.h"

namespace qvl {
namespace {

using testing::ElementsAre;

const std::filesystem::path kSource = QVL_SOURCE_DIR;
constexpr int64_t kImage = 100, kVideo = 101, kPatchValues = 1536;

ModelConfig small_config() {
  ModelConfig config;
  config.text.vocab_size = 200;
  config.tokens = {.image = kImage, .video = kVideo, .vision_start = 102, .vision_end = 103};
  return config;
}

std::vector<float> patch_values(int64_t patches) {
  return std::vector<float>(static_cast<size_t>(patches * kPatchValues), 0.25f);
}

PatchValues picture(int64_t h, int64_t w) {
  return {.values = patch_values(h * w),
          .patches = h * w,
          .values_per_patch = kPatchValues,
          .grid_t = 1,
          .grid_h = h,
          .grid_w = w};
}

std::string refusal_of(TensorInputs inputs) {
  return error_of(ErrorCode::usage, [&] { check_tensor_inputs(inputs, small_config()); });
}

TEST(TensorInputs, TakesPicturesWhosePlaceholdersStandInThePrompt) {
  EXPECT_EQ(refusal_of({.ids = {1, kImage, kImage, 2}, .images = {picture(2, 4)}}), "");
  EXPECT_EQ(refusal_of({.ids = {1, kImage, 2}}), "");  // without pictures a token like any other
}

TEST(TensorInputs, NamesWhatDoesNotFit) {
  const auto with = [](auto&& change) {
    TensorInputs inputs{.ids = {kImage, kImage}, .images = {picture(2, 4)}};
    change(inputs);
    return inputs;
  };
  EXPECT_EQ(refusal_of({}), "tokens: none given, expected at least one");
  EXPECT_EQ(refusal_of({.ids = {200}}), "tokens: found 200, expected 0 to 199");
  EXPECT_EQ(refusal_of(with([](auto& it) { it.images[0].grid_w = 3; })),
            "image_grid_thw[0]: found [1, 2, 3], expected [1, h, w] with h and w multiples of 2");
  EXPECT_EQ(refusal_of(with([](auto& it) { it.images[0].grid_t = 2; })),
            "image_grid_thw[0]: found [2, 2, 4], expected [1, h, w] with h and w multiples of 2");
  EXPECT_EQ(
      refusal_of(with([](auto& it) { it.images[0].grid_h = int64_t{1} << 62; })),
      "image_grid_thw[0]: found [1, 4611686018427387904, 4], expected [1, h, w] with h and w multiples of 2");
  EXPECT_EQ(refusal_of(with([](auto& it) { it.images[0].values_per_patch = 768; })),
            "pixel_values: found 768 values for each patch, expected 1536");
  EXPECT_EQ(refusal_of(with([](auto& it) { it.images[0].values.pop_back(); })),
            "pixel_values: found 8 patches with 12287 values for image_grid_thw[0], which has 8 patches");
  EXPECT_EQ(refusal_of(with([](auto& it) { it.images[0].values[7] = NAN; })),
            "pixel_values: value 7 is nan, expected finite numbers");
  EXPECT_EQ(refusal_of(with([](auto& it) { it.ids.push_back(kImage); })),
            "prompt: token 2 is a placeholder (100), but no picture or video is left for it");
  EXPECT_EQ(refusal_of(with([](auto& it) { it.ids = {1}; })),
            "prompt: no placeholder is left for image_grid_thw[0]");
  EXPECT_EQ(refusal_of(with([](auto& it) { it.videos = std::move(it.images), it.images.clear(); })),
            "prompt: token 0 is a placeholder (100), but no picture or video is left for it");
}

struct Batch {
  int64_t rows = 2, columns = 4;
  std::vector<int64_t> ids = {0, 1, kImage, kImage, kImage, 2, 0, 0};
  std::vector<int64_t> mask = {0, 1, 1, 1, 1, 1, 0, 0};
  std::vector<float> values = patch_values(8 + 4);
  int64_t patches = 12;
  std::vector<int64_t> grids = {1, 2, 4, 1, 2, 2};

  TensorBatch tensors() const {
    return {
        .rows = rows,
        .columns = columns,
        .ids = ids,
        .attention_mask = mask,
        .images = {.values = values, .patches = patches, .values_per_patch = kPatchValues, .grids = grids}};
  }
};

TEST(SplitBatch, GivesEachPromptItsTokensAndPictures) {
  const auto prompts = split_batch(Batch().tensors(), small_config());
  ASSERT_EQ(prompts.size(), 2u);
  EXPECT_THAT(prompts[0].inputs.ids, ElementsAre(1, kImage, kImage));
  EXPECT_EQ(prompts[0].first, 1);
  ASSERT_EQ(prompts[0].inputs.images.size(), 1u);
  EXPECT_EQ(prompts[0].inputs.images[0].patches, 8);
  EXPECT_EQ(prompts[0].inputs.images[0].values.size(), 8u * kPatchValues);
  EXPECT_THAT(prompts[1].inputs.ids, ElementsAre(kImage, 2));
  EXPECT_EQ(prompts[1].first, 0);
  EXPECT_EQ(prompts[1].inputs.images[0].grid_w, 2);
}

TEST(SplitBatch, TakesEveryColumnWithoutAMask) {
  Batch batch;
  batch.mask.clear();
  const auto prompts = split_batch(batch.tensors(), small_config());
  EXPECT_THAT(prompts[1].inputs.ids, ElementsAre(kImage, 2, 0, 0));
}

TEST(SplitBatch, NamesTheTensorThatDoesNotFit) {
  const auto refused = [](auto&& change) {
    Batch batch;
    change(batch);
    return error_of(ErrorCode::usage, [&] { split_batch(batch.tensors(), small_config()); });
  };
  EXPECT_EQ(refused([](Batch& it) { it.columns = 5; }),
            "input_ids: found 8 ids as [2, 5], expected at least one prompt and token");
  EXPECT_EQ(refused([](Batch& it) { it.rows = 0; }),
            "input_ids: found 8 ids as [0, 4], expected at least one prompt and token");
  EXPECT_EQ(refused([](Batch& it) { it.mask.pop_back(); }),
            "attention_mask: found 7 numbers, expected one for each of 8 ids");
  const std::string standing_together =
      "attention_mask: row 0: expected 1 for tokens that stand together, 0 for padding beside them";
  EXPECT_EQ(refused([](Batch& it) { it.mask[2] = 0; }), standing_together);
  EXPECT_EQ(refused([](Batch& it) { it.mask[2] = 2; }), standing_together);
  EXPECT_EQ(refused([](Batch& it) { it.mask = {0, 0, 0, 0, 1, 1, 1, 1}; }), standing_together);
  EXPECT_EQ(refused([](Batch& it) { it.ids[5] = -1; }), "input_ids: row 1: found -1, expected 0 to 199");
  EXPECT_EQ(refused([](Batch& it) { it.grids.pop_back(); }),
            "image_grid_thw: found 5 numbers, expected 3 for each");
  EXPECT_EQ(refused([](Batch& it) { it.grids.resize(3); }),
            "input_ids: row 1 has 1 placeholders more than image_grid_thw has tokens");
  EXPECT_EQ(refused([](Batch& it) { it.ids[4] = 3; }),
            "image_grid_thw: found 2, but input_ids has placeholders for 1");
  EXPECT_EQ(refused([](Batch& it) { it.patches = 13; }),
            "pixel_values: found 18432 values, expected 13 patches of 1536");
  EXPECT_EQ(refused([](Batch& it) { it.values = patch_values(13), it.patches = 13; }),
            "pixel_values: found 13 patches, image_grid_thw has 12");
  EXPECT_EQ(refused([](Batch& it) { it.values = patch_values(11), it.patches = 11; }),
            "pixel_values: found 11 patches, image_grid_thw has more");
}

// The prompt of a file and its tensors give the same tokens and the same logits.
class TensorsOfAPicture : public ::testing::Test {
 protected:
  const std::filesystem::path picture_path = kSource / "examples/blue-heart.png";
  const Model model = load_model({.path = kSource / "models/shapes", .threads = 2, .cache_folder = ""});
  const Turn turn{.text = "Describe this picture.", .images = {picture_path}};

  TensorInputs inputs() const {
    TensorInputs out{.images = {model.pixels(picture_path)}};
    std::string pads;
    for (int64_t i = 0; i < out.images[0].patches / 4; ++i) pads += "<|image_pad|>";
    out.ids = model.tokenizer().tokenize(
        "<|im_start|>user\n<|vision_start|>" + pads +
            "<|vision_end|>Describe this picture.<|im_end|>\n<|im_start|>assistant\n",
        ControlText::parsed);
    return out;
  }
};

TEST_F(TensorsOfAPicture, GiveTheAnswerOfItsFileInAPipeline) {
  OptimizedInferencePipeline pipeline(model, {.num_compute_threads = 2});
  const auto of_file =
      pipeline.run_inference({.prompt = turn.text, .images = {turn.images.begin(), turn.images.end()}});
  const auto of_tensors = pipeline.run_inference({.tensors = inputs()});
  EXPECT_EQ(of_tensors.text, "A blue heart on a black background.");
  EXPECT_EQ(of_tensors.tokens, of_file.tokens);
  EXPECT_EQ(of_tensors.usage.image_tokens, of_file.usage.image_tokens);
  ASSERT_TRUE(of_tensors.end_token.has_value());
  EXPECT_EQ(model.tokenizer().detokenize({{*of_tensors.end_token}}), "<|im_end|>");
  EXPECT_FALSE(pipeline.run_inference({.tensors = inputs(), .generation = {.max_tokens = 1}}).end_token);
}

TEST_F(TensorsOfAPicture, GiveTheLogitsOfItsFile) {
  std::vector<float> of_file, of_tensors;
  model.logits({.turn = turn},
               [&](int64_t, auto row) { of_file.insert(of_file.end(), row.begin(), row.end()); }, {});
  OptimizedInferencePipeline pipeline(model, {.num_compute_threads = 2});
  const TensorInputs tensors = inputs();
  const int64_t positions = pipeline.logits(
      {.tensors = tensors},
      [&](int64_t, auto row) { of_tensors.insert(of_tensors.end(), row.begin(), row.end()); }, {});
  EXPECT_EQ(positions, std::ssize(tensors.ids));
  EXPECT_EQ(of_tensors, of_file);
  const auto metrics = pipeline.get_performance_metrics();
  EXPECT_EQ(metrics.total_inferences, 1u);
  EXPECT_GT(metrics.avg_time_to_first_token, 0);
}

TEST_F(TensorsOfAPicture, AreRefusedBesideATextAndWhereTheyDoNotFit) {
  OptimizedInferencePipeline pipeline(model, {.num_compute_threads = 2});
  EXPECT_EQ(error_of(ErrorCode::usage, [&] { pipeline.submit({.prompt = "x", .tensors = inputs()}); }),
            "request: found tensors and a text or files, expected one of them");
  TensorInputs short_of_one = inputs();
  short_of_one.images[0].values.pop_back();
  EXPECT_THAT(error_of(ErrorCode::usage, [&] { pipeline.submit({.tensors = short_of_one}); }),
              testing::StartsWith("pixel_values: "));
  EXPECT_THAT(error_of(ErrorCode::usage, [&] { pipeline.logits({.tensors = short_of_one}, {}, {}); }),
              testing::StartsWith("pixel_values: "));
  const auto metrics = pipeline.get_performance_metrics();
  EXPECT_EQ(metrics.failed_inferences, 1u);  // what is refused at once was no inference
}

}  // namespace
}  // namespace qvl
