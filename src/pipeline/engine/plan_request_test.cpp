// Dry runs: what is foretold is what the request then takes, and looking ahead changes nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "base/error_testing.h"
#include "base/json.h"
#include "pipeline/runtime.h"
#include "qvl/pipeline.h"

namespace qvl {
namespace {

const std::filesystem::path kSource = QVL_SOURCE_DIR;
const std::filesystem::path kPicture = kSource / "examples/blue-heart.png";  // 128 x 224 pixels

Model small_model() {
  LoadOptions options{.path = kSource / "models/shapes", .threads = 1, .cache_folder = ""};
  options.system.memory_pool_size = 0;
  options.system.dynamic_resource_adjustment = false;
  return load_model(options);
}

// The account depends on the request alone: a pool that keeps nothing, no look at the machine.
SystemOptimizationConfig bare() {
  return {.num_compute_threads = 1,
          .memory_pool_size = 0,
          .resource_scheduling_enabled = false,
          .dynamic_resource_adjustment = false};
}

const InferenceRequest kRequest{.prompt = "What is in the picture?", .images = {kPicture}};

TEST(RequestPlan, tells_sizes_and_tokens_from_the_header) {
  auto pipeline = apply_system_level_optimizations(small_model(), bare());
  const RequestPlan plan = pipeline.plan(kRequest);
  ASSERT_EQ(plan.media.size(), 1u);
  const MediumPlan& medium = plan.media[0];
  EXPECT_EQ(medium.path, kPicture);
  EXPECT_EQ(medium.kind, MediumPlan::Kind::image);
  EXPECT_EQ(std::pair(medium.size.width, medium.size.height), std::pair(int64_t{128}, int64_t{224}));
  EXPECT_EQ(std::pair(medium.resized.width, medium.resized.height), std::pair(int64_t{128}, int64_t{224}));
  EXPECT_EQ(medium.grid_t, 1);
  EXPECT_EQ(medium.grid_h, 14);
  EXPECT_EQ(medium.grid_w, 8);
  EXPECT_EQ(medium.tokens, 28);
  EXPECT_FALSE(medium.kept);
  EXPECT_EQ(plan.image_tokens, 28);
  EXPECT_EQ(plan.cached_tokens, 0);
  EXPECT_EQ(plan.context_tokens, 4096);
  EXPECT_EQ(plan.answer_tokens, 512);
  const InferenceOutput output = pipeline.run_inference(kRequest);
  EXPECT_EQ(plan.prompt_tokens, output.usage.prompt_tokens);
  EXPECT_EQ(plan.image_tokens, output.usage.image_tokens);
}

TEST(RequestPlan, follows_the_budget_of_tokens) {
  auto pipeline = apply_system_level_optimizations(small_model(), bare());
  InferenceRequest request = kRequest;
  request.max_image_tokens = 20;
  const RequestPlan plan = pipeline.plan(request);
  EXPECT_EQ(std::pair(plan.media[0].resized.width, plan.media[0].resized.height),
            std::pair(int64_t{96}, int64_t{160}));
  EXPECT_EQ(plan.image_tokens, 15);
  EXPECT_EQ(pipeline.run_inference(request).usage.image_tokens, 15);
}

TEST(RequestPlan, has_videos_by_their_steps) {
  auto pipeline = apply_system_level_optimizations(small_model(), bare());
  const InferenceRequest request{.prompt = "What moves?",
                                 .videos = {kSource / "examples/red-cross-to-the-right.mp4"}};
  const RequestPlan plan = pipeline.plan(request);
  const InferenceOutput output = pipeline.run_inference(request);
  ASSERT_EQ(plan.media.size(), 1u);
  const MediumPlan& video = plan.media[0];
  EXPECT_EQ(video.kind, MediumPlan::Kind::video);
  EXPECT_GT(video.grid_t, 1);
  EXPECT_EQ(video.resized.width, video.grid_w * 16);
  EXPECT_EQ(video.resized.height, video.grid_h * 16);
  EXPECT_EQ(video.tokens, video.grid_t * video.grid_h * video.grid_w / 4);
  EXPECT_EQ(plan.image_tokens, output.usage.image_tokens);
  EXPECT_EQ(plan.prompt_tokens, output.usage.prompt_tokens);
}

TEST(RequestPlan, changes_nothing) {
  const Model model = small_model();
  auto pipeline = apply_system_level_optimizations(model, bare());
  const auto held = [&] { return model.runtime().layer.memory().ledger().report().held_bytes; };
  const uint64_t before = held();
  const PerformanceMetrics metrics = pipeline.get_performance_metrics();
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(pipeline.plan(kRequest).media[0].kept);
  const PerformanceMetrics after = pipeline.get_performance_metrics();
  EXPECT_EQ(held(), before);
  EXPECT_EQ(after.total_inferences, metrics.total_inferences);
  EXPECT_EQ(after.caches.feature_misses, metrics.caches.feature_misses);
  EXPECT_EQ(after.caches.feature_memory_hits, metrics.caches.feature_memory_hits);
  EXPECT_EQ(after.caches.prefix_bytes, metrics.caches.prefix_bytes);
  EXPECT_EQ(after.caches.prefix_reused_tokens, metrics.caches.prefix_reused_tokens);
}

TEST(RequestPlan, knows_what_earlier_requests_have_left) {
  auto pipeline = apply_system_level_optimizations(small_model(), bare());
  InferenceRequest request = kRequest;
  request.prompt =
      "Tell me at some length, in words of your own, what you see in this picture and where in it "
      "that is, what colour it has, and whether there is anything else beside it that matters.";
  EXPECT_FALSE(pipeline.plan(request).media[0].kept);
  (void)pipeline.run_inference(request);
  const RequestPlan plan = pipeline.plan(request);
  EXPECT_TRUE(plan.media[0].kept);
  EXPECT_EQ(plan.cached_tokens, 64);
  EXPECT_EQ(plan.seconds.encode, 0.0);
  EXPECT_EQ(pipeline.run_inference(request).usage.cached_tokens, plan.cached_tokens);
  request.max_image_tokens = 20;
  EXPECT_FALSE(pipeline.plan(request).media[0].kept);
}

int under_way(const OptimizedInferencePipeline& pipeline) {
  const auto report = OrderedJson::parse(pipeline.get_performance_metrics().system_optimization_report);
  return report["resource_status"]["requests"]["granted"];
}

TEST(RequestPlan, foretells_times_only_of_what_was_measured) {
  auto pipeline = apply_system_level_optimizations(small_model(), bare());
  const RequestPlan first = pipeline.plan(kRequest);
  EXPECT_EQ(first.seconds.prepare, std::nullopt);
  EXPECT_EQ(first.seconds.encode, std::nullopt);
  EXPECT_EQ(first.seconds.prefill, std::nullopt);
  EXPECT_EQ(first.seconds.decode, std::nullopt);
  EXPECT_EQ(first.seconds.first_token, std::nullopt);
  const RequestPlan text = pipeline.plan({.prompt = "Name a colour."});
  EXPECT_EQ(text.seconds.encode, 0.0);
  EXPECT_GT(text.seconds.prepare.value(), 0);  // nothing but what the plan itself had to read
  EXPECT_EQ(text.seconds.first_token, std::nullopt);

  (void)pipeline.run_inference(kRequest);
  const InferenceRequest other{.prompt = kRequest.prompt,
                               .images = {kSource / "examples/yellow-square-orange-number-0.png"}};
  while (under_way(pipeline) > 0) std::this_thread::yield();  // costs are told after the last step
  const RequestPlan plan = pipeline.plan(other);
  const PlannedSeconds& seconds = plan.seconds;
  EXPECT_GT(seconds.encode.value(), 0);
  EXPECT_GT(seconds.decode.value(), 0);
  EXPECT_DOUBLE_EQ(seconds.first_token.value(),
                   seconds.prepare.value() + seconds.encode.value() + seconds.prefill.value());
  // In proportion to the work: 512 tokens of answer, of which one token takes its share.
  InferenceRequest short_one = other;
  short_one.generation.max_tokens = 1;
  EXPECT_DOUBLE_EQ(pipeline.plan(short_one).seconds.decode.value() * 512, seconds.decode.value());
  short_one.max_image_tokens = 16;
  const RequestPlan small = pipeline.plan(short_one);
  EXPECT_DOUBLE_EQ(small.seconds.encode.value() * static_cast<double>(plan.image_tokens),
                   seconds.encode.value() * static_cast<double>(small.image_tokens));
}

TEST(RequestPlan, foretells_the_memory_of_a_text_to_the_byte) {
  const Model model = small_model();
  auto pipeline = apply_system_level_optimizations(model, bare());
  Ledger& ledger = model.runtime().layer.memory().ledger();
  const InferenceRequest request{.prompt = "How many objects are there?", .generation = {.max_tokens = 8}};
  const RequestPlan plan = pipeline.plan(request);
  uint64_t sum = 0;
  for (const auto& [part, bytes] : plan.memory) sum += bytes;
  EXPECT_EQ(sum, plan.memory_bytes);
  EXPECT_TRUE(plan.fits);
  EXPECT_EQ(plan.memory_limit_bytes, ledger.cap_bytes());
  EXPECT_EQ(plan.memory_free_bytes, ledger.free_bytes());

  ledger.set_cap(ledger.report().held_bytes + plan.memory_bytes - 1);
  EXPECT_FALSE(pipeline.plan(request).fits);
  EXPECT_THAT(error_of(ErrorCode::limit, [&] { pipeline.run_inference(request); }),
              ::testing::StartsWith("request: needs "));
  ledger.set_cap(ledger.report().held_bytes + plan.memory_bytes);
  EXPECT_TRUE(pipeline.plan(request).fits);
  EXPECT_GT(pipeline.run_inference(request).usage.completion_tokens, 0);
}

TEST(RequestPlan, of_a_picture_that_fits_is_enough_for_it) {
  const Model model = small_model();
  auto pipeline = apply_system_level_optimizations(model, bare());
  Ledger& ledger = model.runtime().layer.memory().ledger();
  InferenceRequest request = kRequest;
  request.generation.max_tokens = 8;
  const RequestPlan plan = pipeline.plan(request);
  ledger.set_cap(ledger.report().held_bytes + plan.memory_bytes);
  EXPECT_TRUE(pipeline.plan(request).fits);
  EXPECT_GT(pipeline.run_inference(request).usage.completion_tokens, 0);
}

TEST(RequestPlan, lets_a_request_alone_have_more_than_requests_may_hold_together) {
  const Model model = small_model();
  SystemOptimizationConfig config = bare();
  config.resource_scheduling_enabled = true;
  config.resource_reservation_ratio = 0.05;
  Ledger& ledger = model.runtime().layer.memory().ledger();
  const InferenceRequest request{.prompt = "Name a colour."};
  const RequestPlan plan = apply_system_level_optimizations(model, bare()).plan(request);
  // Enough for the process, but not for a twentieth of it.
  const auto all = *ledger.reserve(MemoryPart::other, ledger.free_bytes() - 2 * plan.memory_bytes);
  auto pipeline = apply_system_level_optimizations(model, config);
  EXPECT_TRUE(pipeline.plan(request).fits);
  EXPECT_FALSE(pipeline.run_inference(request).tokens.empty());
  const auto more = *ledger.reserve(MemoryPart::other, plan.memory_bytes * 3 / 2);
  EXPECT_FALSE(pipeline.plan(request).fits);
  EXPECT_THAT(error_of(ErrorCode::limit, [&] { pipeline.run_inference(request); }),
              ::testing::StartsWith("request: needs "));
}

TEST(RequestPlan, refuses_what_the_request_would_be_refused_for) {
  auto pipeline = apply_system_level_optimizations(small_model(), bare());
  std::string words;
  for (int i = 0; i < 5000; ++i) words += "word ";
  const InferenceRequest too_long{.prompt = words};
  const InferenceRequest missing{.prompt = "What?", .images = {"no such file.png"}};
  const auto planned = [&](ErrorCode code, const InferenceRequest& request) {
    return error_of(code, [&] { (void)pipeline.plan(request); });
  };
  const auto run = [&](ErrorCode code, const InferenceRequest& request) {
    return error_of(code, [&] { (void)pipeline.run_inference(request); });
  };
  EXPECT_THAT(planned(ErrorCode::limit, too_long),
              ::testing::MatchesRegex(
                  "prompt: [0-9]+ tokens, 0 of them of pictures and videos; the model takes 4096, "
                  "at least 1 for the answer"));
  EXPECT_EQ(planned(ErrorCode::limit, too_long), run(ErrorCode::limit, too_long));
  EXPECT_EQ(planned(ErrorCode::media, missing), "no such file.png: cannot open: No such file or directory");
  EXPECT_EQ(planned(ErrorCode::media, missing), run(ErrorCode::media, missing));
  EXPECT_EQ(planned(ErrorCode::usage, {.prompt = ""}),
            "prompt: it is empty, expected a text, a picture or a video");
  EXPECT_EQ(planned(ErrorCode::usage, {.tensors = TensorInputs{.ids = {1, 2}}}),
            "plan: found tensors, expected a text, pictures or videos");
}

TEST(RequestPlan, is_one_object_of_json_and_lines_for_people) {
  auto pipeline = apply_system_level_optimizations(small_model(), bare());
  const RequestPlan plan = pipeline.plan(kRequest);
  const std::string text = to_json(plan);
  EXPECT_EQ(text.find('\n'), text.size() - 1);
  const auto json = OrderedJson::parse(text);
  EXPECT_EQ(json["media"][0].dump(),
            R"({"path":")" + kPicture.string() +
                R"(","kind":"image","size":{"width":128,"height":224},"resized":{"width":128,"height":224},)"
                R"("grid":{"t":1,"h":14,"w":8},"tokens":28,"kept":false})");
  EXPECT_EQ(json["seconds"].dump(),
            R"({"prepare":null,"encode":null,"prefill":null,"decode":null,"first_token":null})");
  EXPECT_EQ(json["memory_bytes"], plan.memory_bytes);
  EXPECT_EQ(json["memory"].size(), plan.memory.size());
  const std::string lines = to_text(plan);
  EXPECT_THAT(lines, ::testing::HasSubstr("128 x 224 pixels, resized to 128 x 224\n"));
  EXPECT_THAT(lines, ::testing::HasSubstr("1 x 14 x 8 patches\n"));
  EXPECT_THAT(lines, ::testing::HasSubstr("first_token               not measured yet\n"));
  EXPECT_THAT(lines, ::testing::HasSubstr(": fits\n"));
}

/// A model of one's own.
class Silent : public InferenceModel {
 public:
  std::string name() const override { return "silent"; }
  std::unique_ptr<InferenceJob> prepare(const InferenceRequest&, std::stop_token) override { return nullptr; }
};

TEST(RequestPlan, is_none_over_a_model_of_ones_own) {
  auto pipeline = apply_system_level_optimizations(std::make_shared<Silent>(), {});
  EXPECT_EQ(error_of(ErrorCode::usage, [&] { (void)pipeline.plan({.prompt = "x"}); }),
            "plan: a model of one's own has none");
}

}  // namespace
}  // namespace qvl
