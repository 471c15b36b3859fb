// Decoding allocates nothing: counts every allocation of the process, whichever thread makes it.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

#include "base/counted_allocations.h"
#include "model/sampler.h"
#include "pipeline/runtime.h"
#include "qvl/pipeline.h"

namespace qvl::golden {
namespace {

struct Choice {
  WeightPrecision weights;
  KvPrecision kv;
  double temperature;
};

// Allocations of 40 decoded tokens, after 8 that may warm up.
int64_t allocations_of(const Choice& choice) {
  LoadOptions options;
  options.path = std::string(QVL_SOURCE_DIR) + "/models/shapes";
  options.weights = choice.weights;
  options.kv = choice.kv;
  options.threads = 2;
  options.cache_folder = "";                // else files are written beside the answer
  options.system.enable_profiling = false;  // a thread of its own, which allocates
  detail::Runtime runtime(options);
  const TextConfig& config = runtime.files.config.text;
  KvCache cache = runtime.network.make_cache();
  cache.reserve(64);
  SamplingOptions sampling;
  sampling.temperature = choice.temperature;
  Sampler sampler(sampling, config.vocab_size);
  PositionCounter counter;
  std::vector<Position> position;
  std::vector<float> logits(static_cast<size_t>(config.vocab_size));
  std::array<int32_t, 1> id{0};
  int64_t before = 0;
  for (int token = 0; token < 48; ++token) {
    if (token == 8) before = allocations;
    position.clear();
    counter.append_text(1, position);
    const SequenceStep step{.chunk = {.ids = id, .positions = position, .visual = {}}, .cache = &cache};
    runtime.network.forward({&step, 1}, runtime.pass, runtime.ops);
    runtime.network.logits(runtime.pass.x.data(), 1, logits.data(), runtime.ops);
    id[0] = sampler.sample(logits);
  }
  return allocations - before;
}

TEST(Decoding, allocates_nothing) {
  for (const WeightPrecision weights : {WeightPrecision::f32, WeightPrecision::q8, WeightPrecision::q4}) {
    for (const KvPrecision kv : {KvPrecision::f32, KvPrecision::bits16, KvPrecision::bits8}) {
      EXPECT_EQ(allocations_of({weights, kv, 0}), 0)
          << "weights " << static_cast<int>(weights) << " keys and values " << static_cast<int>(kv);
    }
  }
}

TEST(Decoding, allocates_nothing_while_it_samples) {
  EXPECT_EQ(allocations_of({WeightPrecision::q4, KvPrecision::bits16, 0.7}), 0);
}

// The whole run path: sampling, text, listeners. Twice a second it looks at the processors it may use, which
// allocates.
TEST(Decoding, of_a_conversation_allocates_nothing) {
  LoadOptions options{
      .path = std::string(QVL_SOURCE_DIR) + "/models/shapes", .threads = 2, .cache_folder = ""};
  options.system.dynamic_resource_adjustment = false;
  options.system.enable_profiling = false;
  Conversation conversation(load_model(options));
  std::vector<int64_t> seen;  // after each token
  seen.reserve(1000);
  const Listeners listeners{.text = [](std::string_view) {},
                            .progress =
                                [&](const Progress& progress) {
                                  if (progress.stage == "decode") seen.push_back(allocations);
                                },
                            .stop = {}};
  const Turn turn{.text = "Describe this picture.",
                  .images = {std::string(QVL_SOURCE_DIR) + "/examples/white-square-black-square.png"}};
  const auto begin = std::chrono::steady_clock::now();
  conversation.ask(turn, {.max_tokens = 200, .temperature = 0}, listeners);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  ASSERT_GT(seen.size(), 15u);
  int64_t looks = 0;
  for (size_t token = 4; token < seen.size(); ++token) looks += seen[token] != seen[token - 1] ? 1 : 0;
  EXPECT_LE(looks, static_cast<int64_t>(took.count() / 0.5));
}

// Allocations of one request of a pipeline from submission to result, the least of some: twice a second the
// engine looks at the processors it may use, and the first request warms up.
int64_t allocations_of_request(OptimizedInferencePipeline& pipeline, int64_t tokens) {
  const InferenceRequest request{
      .prompt = "Describe this picture.",
      .images = {std::string(QVL_SOURCE_DIR) + "/examples/white-square-black-square.png"},
      .generation = {.max_tokens = tokens, .temperature = 0}};
  int64_t least = INT64_MAX;
  for (int round = 0; round < 12; ++round) {
    InferenceRequest copy = request;
    const int64_t before = allocations;
    const InferenceOutput output = pipeline.submit(std::move(copy)).result();
    least = std::min(least, allocations - before);
    EXPECT_EQ(output.tokens.size(), static_cast<size_t>(tokens));
  }
  return least;
}

// The whole engine: planning, batches, guesses, text, the channel. A longer answer takes as many allocations
// as a short one.
TEST(Decoding, of_a_pipeline_allocates_nothing) {
  LoadOptions options{.path = std::string(QVL_SOURCE_DIR) + "/models/shapes", .threads = 2};
  options.system.dynamic_resource_adjustment = false;
  options.system.enable_profiling = false;
  auto pipeline = apply_system_level_optimizations(load_model(options), options.system);
  EXPECT_EQ(allocations_of_request(pipeline, 14) - allocations_of_request(pipeline, 6), 0);
}

TEST(Decoding, is_counted) {
  const int64_t before = allocations;
  const std::vector<int> some(100);
  EXPECT_EQ(allocations - before, 1) << some.size();
}

}  // namespace
}  // namespace qvl::golden
