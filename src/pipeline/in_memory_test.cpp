// Models over tensors that another part of the program holds: the numbers of the same checkpoint in files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "base/error_testing.h"
#include "base/json.h"
#include "files/model_files.h"
#include "qvl/pipeline.h"

namespace qvl {
namespace {

const std::filesystem::path kShapes = std::filesystem::path(QVL_SOURCE_DIR) / "models/shapes";

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

LoadOptions options_of(std::optional<std::filesystem::path> folder) {
  auto files = std::make_shared<ModelFiles>(open_model_files(kShapes, {}));
  auto checkpoint = std::make_shared<CheckpointInMemory>();
  checkpoint->name = "object";
  checkpoint->config_json = text_of(kShapes / "config.json");
  checkpoint->generation_json = text_of(kShapes / "generation_config.json");
  checkpoint->folder = std::move(folder);
  for (const std::string& name : files->tensors->names()) {
    const TensorView& view = *files->tensors->find(name);
    checkpoint->tensors.push_back({.name = name, .dtype = "BF16", .shape = view.shape, .bytes = view.bytes});
  }
  checkpoint->keep_alive = std::move(files);
  return {.in_memory = std::move(checkpoint),
          .threads = 2,
          .weights = WeightPrecision::f32,
          .vision_weights = WeightPrecision::f32,
          .kv = KvPrecision::f32,
          .cache_folder = ""};
}

std::vector<float> logits_of(const Model& model, const LogitsRequest& request) {
  std::vector<float> out;
  model.logits(request, [&](int64_t, auto row) { out.insert(out.end(), row.begin(), row.end()); }, {});
  return out;
}

constexpr const char* kNoTokenizer =
    "object: it was given without a tokenizer, so prompts come as tensors only";

TEST(ModelInMemory, ComputesWhatTheFilesDo) {
  LoadOptions of_files = options_of(kShapes);
  of_files.in_memory = nullptr;
  of_files.path = kShapes;
  const LogitsRequest request{
      .turn = {.text = "What is this?",
               .images = {std::filesystem::path(QVL_SOURCE_DIR) / "examples/blue-heart.png"}}};
  EXPECT_EQ(logits_of(load_model(options_of(kShapes)), request), logits_of(load_model(of_files), request));
}

TEST(ModelInMemory, AnswersTensorsWithoutATokenizer) {
  const Model with = load_model(options_of(kShapes)), without = load_model(options_of({}));
  const auto ids = with.tokenizer().tokenize(
      "<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\n", ControlText::parsed);
  EXPECT_EQ(logits_of(without, {.tensors = TensorInputs{.ids = ids}}),
            logits_of(with, {.tensors = TensorInputs{.ids = ids}}));
  OptimizedInferencePipeline pipeline(without, {.num_compute_threads = 2}),
      full(with, {.num_compute_threads = 2});
  const Answer answer =
      pipeline.run_inference({.tensors = TensorInputs{.ids = ids}, .generation = {.temperature = 0}});
  EXPECT_EQ(answer.tokens,
            full.run_inference({.prompt = "Name a colour.", .generation = {.temperature = 0}}).tokens);
  EXPECT_FALSE(answer.tokens.empty());
  EXPECT_EQ(answer.text, "");
}

TEST(ModelInMemory, RefusesTextsWithoutATokenizer) {
  const Model model = load_model(options_of({}));
  OptimizedInferencePipeline pipeline(model, {.num_compute_threads = 2});
  EXPECT_EQ(error_of(ErrorCode::usage, [&] { pipeline.run_inference({.prompt = "x"}); }), kNoTokenizer);
  EXPECT_EQ(error_of(ErrorCode::usage, [&] { Conversation(model).ask({.text = "x"}, {}, {}); }),
            kNoTokenizer);
  EXPECT_EQ(error_of(ErrorCode::usage, [&] { logits_of(model, {.turn = {.text = "x"}}); }), kNoTokenizer);
  EXPECT_EQ(error_of(ErrorCode::usage, [&] { model.tokenizer(); }), kNoTokenizer);
  EXPECT_EQ(
      error_of(ErrorCode::usage,
               [&] {
                 pipeline.run_inference({.tensors = TensorInputs{.ids = {1}}, .generation = {.stop = {"."}}});
               }),
      kNoTokenizer);
}

TEST(ModelInMemory, CountsNoWeightTwice) {
  const auto weights = [](const Model& model) {
    return Json::parse(model.memory_json()).at("by_part").at("weights").at("held_bytes").get<uint64_t>();
  };
  LoadOptions of_files = options_of(kShapes);
  of_files.in_memory = nullptr;
  of_files.path = kShapes;
  EXPECT_LT(weights(load_model(options_of(kShapes))), weights(load_model(of_files)) / 4);
}

}  // namespace
}  // namespace qvl
