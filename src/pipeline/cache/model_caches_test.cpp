// A picture that was looked at before is not looked at again: in memory, on disk, under other options.
#include "pipeline/cache/model_caches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "pipeline/cache/kept_testing.h"
#include "qvl/pipeline.h"

namespace qvl {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

const fs::path kSource = QVL_SOURCE_DIR;
const fs::path kPicture = kSource / "examples/blue-heart.png";
const fs::path kOther = kSource / "examples/white-number-5.jpg";

class KeptFeatures : public ::testing::Test {
 protected:
  void SetUp() override { fs::remove_all(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  Model load(const KeptBudgets& budgets, const LoadOptions& with = {}) const {
    LoadOptions options = with;
    options.path = kSource / "models/shapes";
    options.threads = 2;
    options.cache_folder = "";
    Model model = load_model(options);
    replace_caches(model.runtime(), budgets, folder_);
    return model;
  }
  static Answer ask(const Model& model, const fs::path& picture = kPicture,
                    const std::string& text = "What is in the picture?") {
    Conversation conversation(model);
    return conversation.ask({.text = text, .images = {picture}}, {.max_tokens = 8, .temperature = 0}, {});
  }
  // How often the vision tower was at work.
  static uint64_t looks(const Model& model) {
    return model.runtime().layer.stages().summary(Stage::vision).count;
  }

  const fs::path folder_ = fs::temp_directory_path() / ("qvl-kept-" + std::to_string(::getpid()));
};

FeatureOrigin origin(const Answer& answer) { return answer.media.at(0).features; }

TEST_F(KeptFeatures, serve_the_second_question_about_a_picture_from_memory) {
  const Model model = load({.prefixes = 0, .disk = 0}),
              fresh = load({.features = 0, .prefixes = 0, .disk = 0});
  EXPECT_EQ(origin(ask(model)), FeatureOrigin::computed);
  EXPECT_EQ(looks(model), 1u);
  const Answer second = ask(model, kPicture, "Which colour is it?");
  EXPECT_EQ(origin(second), FeatureOrigin::memory);
  EXPECT_EQ(second.tokens, ask(fresh, kPicture, "Which colour is it?").tokens);
  EXPECT_EQ(second.usage.cached_tokens, 0);
  EXPECT_EQ(looks(model), 1u);
  EXPECT_EQ(origin(ask(model, kOther)), FeatureOrigin::computed);
  EXPECT_EQ(looks(model), 2u);
}

TEST_F(KeptFeatures, serve_it_from_the_disk_after_a_restart) {
  const Answer first = ask(load({.prefixes = 0}));
  const Model model = load({.prefixes = 0});
  const Answer again = ask(model);
  EXPECT_EQ(origin(again), FeatureOrigin::disk);
  EXPECT_EQ(again.tokens, first.tokens);
  EXPECT_EQ(looks(model), 0u);
}

TEST_F(KeptFeatures, know_a_picture_by_its_contents_alone) {
  const Model model = load({.prefixes = 0, .disk = 0});
  ask(model);
  fs::create_directories(folder_);
  fs::copy_file(kPicture, folder_ / "copy");
  EXPECT_EQ(origin(ask(model, folder_ / "copy")), FeatureOrigin::memory);
  fs::copy_file(kOther, folder_ / "copy", fs::copy_options::overwrite_existing);
  EXPECT_EQ(origin(ask(model, folder_ / "copy")), FeatureOrigin::computed);
}

TEST_F(KeptFeatures, of_other_options_are_those_of_another_picture) {
  const Model model = load({});
  const std::string bytes = "the same";
  const auto key = [&](const Model& loaded) {
    return loaded.runtime().caches->image_key(std::as_bytes(std::span(bytes)), {});
  };
  EXPECT_EQ(key(model), key(load({})));
  EXPECT_NE(key(model), model.runtime().caches->video_key(std::as_bytes(std::span(bytes)), {}));
  const auto key_at_most = [&](int64_t tokens) {
    return model.runtime().caches->image_key(std::as_bytes(std::span(bytes)), tokens);
  };
  EXPECT_NE(key(model), key_at_most(20));
  EXPECT_NE(key_at_most(20), key_at_most(21));
  EXPECT_NE(key(model), key(load({}, {.vision_weights = WeightPrecision::f32})));
  EXPECT_NE(key(model), key(load({}, {.isa = "scalar"})));
  detail::Runtime& runtime = model.runtime();
  const auto with = [&](const PreprocessorConfig& images, const std::string& weights) {
    const PreprocessorConfig before = std::exchange(runtime.files.image_preprocessor, images);
    const ModelCaches caches({.files = runtime.files,
                              .plan = runtime.loaded_by.plan,
                              .forms = runtime.network.forms(),
                              .folder = "",
                              .weights = weights,
                              .memory = runtime.layer.memory(),
                              .io = runtime.layer.threads().io()});
    runtime.files.image_preprocessor = before;
    return caches.image_key(std::as_bytes(std::span(bytes)), {});
  };
  const PreprocessorConfig as_it_is = runtime.files.image_preprocessor;
  PreprocessorConfig smaller = as_it_is, darker = as_it_is;
  smaller.max_pixels /= 2;
  darker.image_mean[1] += 0.001;
  EXPECT_EQ(with(as_it_is, "a"), with(as_it_is, "a"));
  EXPECT_NE(with(as_it_is, "a"), with(as_it_is, "b"));
  EXPECT_NE(with(as_it_is, "a"), with(smaller, "a"));
  EXPECT_NE(with(as_it_is, "a"), with(darker, "a"));
}

TEST_F(KeptFeatures, damaged_on_disk_are_computed_again) {
  const Answer first = ask(load({.prefixes = 0}));
  for (const StoredFile& file : stored_files(folder_)) fs::resize_file(file.path, file.bytes - 1);
  const Model model = load({.prefixes = 0});
  const Answer again = ask(model);
  EXPECT_EQ(origin(again), FeatureOrigin::computed);
  EXPECT_EQ(again.tokens, first.tokens);
}

TEST_F(KeptFeatures, of_a_picture_on_its_side_have_the_grid_it_was_cut_with) {
  const fs::path turned = kSource / "tests/data/media/exif6.jpg";
  const Answer expected = ask(load({.features = 0, .prefixes = 0, .disk = 0}), turned);
  const Model model = load({.prefixes = 0, .disk = 0});
  ask(model, turned);
  EXPECT_EQ(ask(model, turned).tokens, expected.tokens);
  auto pipeline = apply_system_level_optimizations(model, {});
  const Answer answer = pipeline.run_inference({.prompt = "What is in the picture?",
                                                .images = {turned},
                                                .generation = {.max_tokens = 8, .temperature = 0}});
  EXPECT_EQ(answer.tokens, expected.tokens);
}

TEST_F(KeptFeatures, warn_once_where_the_disk_refuses_and_answers_go_on) {
  std::ofstream(folder_) << "a file in its place";
  const Model model = load({});
  const Answer first = ask(model), second = ask(model, kOther);
  EXPECT_EQ(origin(second), FeatureOrigin::computed);
  EXPECT_THAT(model.warnings(),
              ElementsAre(::testing::StartsWith("features of pictures are not kept on disk: ")));
}

TEST_F(KeptFeatures, go_when_memory_is_needed_and_come_again) {
  const Model model = load({.prefixes = 0, .disk = 0});
  const Answer first = ask(model);
  ModelCaches& caches = *model.runtime().caches;
  const uint64_t held = caches.features.stats().bytes;
  EXPECT_GT(held, 0u);
  EXPECT_EQ(model.runtime().layer.memory().clean_up(1).freed.caches, held);
  EXPECT_EQ(caches.features.stats().bytes, 0u);
  EXPECT_EQ(ask(model).tokens, first.tokens);
  EXPECT_EQ(looks(model), 2u);
}

TEST_F(KeptFeatures, and_prefixes_leave_nothing_but_the_end_of_a_prompt_to_compute) {
  // Long enough for some blocks of 64 tokens.
  std::string system = "Answer.";
  for (int i = 0; i < 60; ++i) system += " Look at colours and shapes.";
  const auto ask_long = [&](const Model& model, const std::string& text) {
    Conversation conversation(model, {.system = system});
    return conversation.ask({.text = text, .images = {kPicture}}, {.max_tokens = 8, .temperature = 0}, {});
  };
  const Answer plain = ask_long(load({.features = 0, .prefixes = 0, .disk = 0}), "Which colour is it?");
  for (int start = 0; start < 2; ++start) {
    SCOPED_TRACE(start);
    const Model model = load({});
    auto pipeline = apply_system_level_optimizations(model, {});
    if (start == 0) ask_long(model, "What is in the picture?");
    const Answer answer = ask_long(model, "Which colour is it?");
    EXPECT_EQ(answer.tokens, plain.tokens);
    EXPECT_GE(answer.usage.cached_tokens, 3 * kBlockKeys);
    EXPECT_EQ(answer.usage.cached_tokens % kBlockKeys, 0);
    EXPECT_EQ(looks(model), start == 0 ? 1u : 0u);
    const Answer batched = pipeline.run_inference({.prompt = "Which colour is it?",
                                                   .images = {kPicture},
                                                   .system = system,
                                                   .generation = {.max_tokens = 8, .temperature = 0}});
    EXPECT_EQ(batched.tokens, plain.tokens);
    EXPECT_GE(batched.usage.cached_tokens, 3 * kBlockKeys);
    EXPECT_EQ(looks(model), start == 0 ? 1u : 0u);
    const CacheMetrics caches = pipeline.get_performance_metrics().caches;
    EXPECT_EQ(caches.feature_misses, start == 0 ? 1u : 0u);
    EXPECT_EQ(caches.prefix_disk_tokens > 0, start == 1);
    EXPECT_GE(caches.disk_lookups, 1u);
    EXPECT_EQ(caches.disk_hits > 0, start == 1);
    EXPECT_EQ(caches.disk_hit_rate,
              static_cast<double>(caches.disk_hits) / static_cast<double>(caches.disk_lookups));
    EXPECT_EQ(caches.prefix_hit_rate, static_cast<double>(batched.usage.cached_tokens) /
                                          static_cast<double>(batched.usage.prompt_tokens));
  }
}

// The same weights under another configuration compute something else.
TEST_F(KeptFeatures, are_those_of_one_configuration) {
  const Model model = load({});
  detail::Runtime& runtime = model.runtime();
  const std::vector<std::byte> file(100);
  const Sequence prompt{.ids = std::vector<int32_t>(300, 7)};
  const auto keys_under = [&] {
    runtime.caches.reset();
    runtime.caches = std::make_unique<ModelCaches>(CacheSetup{.files = runtime.files,
                                                              .plan = runtime.loaded_by.plan,
                                                              .forms = runtime.network.forms(),
                                                              .folder = "",
                                                              .weights = "weights",
                                                              .memory = runtime.layer.memory(),
                                                              .io = runtime.layer.threads().io()});
    return std::pair(runtime.caches->image_key(file, std::nullopt).text(),
                     runtime.caches->prefixes.keys_of(prompt).at(0).text());
  };
  const auto before = keys_under();
  EXPECT_EQ(keys_under(), before);
  runtime.files.config.text.rope_theta *= 2;
  const auto other_text = keys_under();
  EXPECT_EQ(other_text.first, before.first);
  EXPECT_NE(other_text.second, before.second);
  runtime.files.config.vision.num_heads /= 2;
  EXPECT_NE(keys_under().first, before.first);
}

TEST_F(KeptFeatures, of_requests_for_one_picture_at_once_are_computed_once) {
  const Model model = load({.prefixes = 0, .disk = 0});
  const Answer expected = ask(load({.features = 0, .prefixes = 0, .disk = 0}));
  auto pipeline = apply_system_level_optimizations(model, {.num_preprocess_threads = 4});
  const InferenceRequest request{.prompt = "What is in the picture?",
                                 .images = {kPicture, kPicture},
                                 .generation = {.max_tokens = 8, .temperature = 0}};
  const std::vector<InferenceRequest> requests(6, request);
  const auto outputs = pipeline.run_batch_inference(requests);
  const auto depth = static_cast<uint64_t>(model.runtime().files.config.vision.depth);
  EXPECT_EQ(looks(model), depth);
  EXPECT_EQ(pipeline.get_performance_metrics().caches.feature_misses, 1u);
  for (const Answer& output : outputs) {
    EXPECT_EQ(output.tokens, outputs[0].tokens);
    EXPECT_EQ(output.media.size(), 2u);
  }
  EXPECT_EQ(pipeline
                .run_inference({.prompt = "What is in the picture?",
                                .images = {kPicture},
                                .generation = {.max_tokens = 8, .temperature = 0}})
                .tokens,
            expected.tokens);
}

}  // namespace
}  // namespace qvl
