// Pictures and videos under a budget of tokens: smaller, told apart from larger ones, refused below the
// least.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error_testing.h"
#include "pipeline/medium.h"
#include "pipeline/runtime.h"
#include "qvl/pipeline.h"

namespace qvl {
namespace {

const std::filesystem::path kSource = QVL_SOURCE_DIR;
const std::filesystem::path kPicture = kSource / "examples/blue-heart.png";  // 128 x 224 pixels: 28 tokens
const std::filesystem::path kVideo = kSource / "examples/red-cross-to-the-right.mp4";

Model small_model() {
  return load_model({.path = kSource / "models/shapes", .threads = 2, .cache_folder = ""});
}

Answer ask(const Model& model, std::optional<int64_t> tokens) {
  return Conversation(model).ask(
      {.text = "What is in the picture?", .images = {kPicture}, .max_image_tokens = tokens},
      {.max_tokens = 8, .temperature = 0}, {});
}

TEST(PictureBudget, is_kept_by_conversations_and_requests_alike) {
  const Model model = small_model();
  auto pipeline = apply_system_level_optimizations(model, {.num_compute_threads = 2});
  for (const auto& [budget, tokens] :
       {std::pair(16, 15), std::pair(27, 18), std::pair(28, 28), std::pair(5000, 28)}) {
    const Answer answer = ask(model, budget);
    EXPECT_EQ(answer.usage.image_tokens, tokens) << budget;
    const InferenceOutput output = pipeline.run_inference({.prompt = "What is in the picture?",
                                                           .images = {kPicture},
                                                           .generation = {.max_tokens = 8, .temperature = 0},
                                                           .max_image_tokens = budget});
    EXPECT_EQ(output.usage.image_tokens, tokens) << budget;
    EXPECT_EQ(output.tokens, answer.tokens) << budget;
  }
}

TEST(PictureBudget, tells_features_of_one_picture_apart_and_shares_those_that_are_the_same) {
  const Model model = small_model();
  const auto origin = [](const Answer& answer) { return answer.media.at(0).features; };
  EXPECT_EQ(origin(ask(model, {})), FeatureOrigin::computed);
  EXPECT_EQ(origin(ask(model, 20)), FeatureOrigin::computed);
  EXPECT_EQ(origin(ask(model, 27)), FeatureOrigin::computed);
  EXPECT_EQ(origin(ask(model, {})), FeatureOrigin::memory);
  EXPECT_EQ(origin(ask(model, 20)), FeatureOrigin::memory);
  EXPECT_EQ(origin(ask(model, 28)), FeatureOrigin::memory);  // which changes nothing
  EXPECT_EQ(ask(model, 20).usage.image_tokens, 15);
  EXPECT_EQ(ask(model, {}).usage.image_tokens, 28);
}

TEST(PictureBudget, of_an_earlier_turn_stays_in_later_ones) {
  LoadOptions options{.path = kSource / "models/shapes", .threads = 2, .cache_folder = ""};
  options.disabled_passes = {"feature_cache", "prefix_cache"};
  const Model model = load_model(options);
  Conversation conversation(model);
  const GenerationOptions greedy{.max_tokens = 4, .temperature = 0};
  (void)conversation.ask({.text = "What is there?", .images = {kPicture}, .max_image_tokens = 20}, greedy,
                         {});
  const Answer second = conversation.ask({.text = "And here?", .images = {kPicture}}, greedy, {});
  EXPECT_EQ(second.usage.image_tokens, 15 + 28);
}

TEST(PictureBudget, holds_when_a_picture_is_cut) {
  const Model model = small_model();
  Medium medium = read_image_medium(kPicture, 20, model.runtime());
  EXPECT_EQ(medium.grid, (PatchGrid{.t = 1, .h = 10, .w = 6}));
  cut_patches(medium, model.runtime());
  EXPECT_EQ(medium.grid, (PatchGrid{.t = 1, .h = 10, .w = 6}));
  EXPECT_EQ(medium.patches.pixels.rows(), 60u);
}

TEST(PictureBudget, of_a_video_is_that_of_each_step) {
  const Model model = small_model();
  const auto video_at_most = [&](std::optional<int64_t> tokens) {
    return read_video_medium(kVideo, tokens, model.runtime());
  };
  const Medium whole = video_at_most({});
  const int64_t step_tokens = whole.grid.tokens_per_step(2);
  const Medium smaller = video_at_most(step_tokens - 1);
  EXPECT_EQ(smaller.grid.t, whole.grid.t);
  EXPECT_LT(smaller.grid.tokens_per_step(2), step_tokens);
  EXPECT_NE(smaller.key, whole.key);
  EXPECT_EQ(video_at_most(step_tokens).grid, whole.grid);
}

TEST(PictureBudget, below_the_least_of_the_checkpoint_or_no_number_is_refused) {
  const Model model = small_model();
  EXPECT_EQ(error_of(ErrorCode::usage, [&] { ask(model, 15); }),
            kPicture.string() +
                ": max_image_tokens: found 15, expected 16 or more (min_pixels of the checkpoint is 16384)");
  EXPECT_EQ(error_of(ErrorCode::usage, [&] { ask(model, 0); }),
            "max_image_tokens: found 0, expected 1 to 16777216");
  auto pipeline = apply_system_level_optimizations(model, {});
  EXPECT_EQ(error_of(ErrorCode::usage, [&] { pipeline.submit({.prompt = "x", .max_image_tokens = -3}); }),
            "max_image_tokens: found -3, expected 1 to 16777216");
  EXPECT_EQ(error_of(ErrorCode::usage,
                     [&] { pipeline.submit({.tensors = TensorInputs{.ids = {1}}, .max_image_tokens = 20}); }),
            "max_image_tokens: found 20 beside tensors, whose pictures are cut already");
}

}  // namespace
}  // namespace qvl
