#include "pipeline/generation_options.h"

#include <gtest/gtest.h>

#include <limits>

namespace qvl {
namespace {

std::string refusal(const GenerationOptions& options) {
  try {
    check_generation_options(options);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::usage);
    return error.what();
  }
  return "";
}

TEST(GenerationOptions, AreCheckedFieldByField) {
  EXPECT_EQ(refusal({}), "");
  EXPECT_EQ(refusal({.max_tokens = 0}), "max_tokens: found 0, expected 1 to 16777216");
  EXPECT_EQ(refusal({.temperature = -1}), "temperature: found -1, expected 0 to 100");
  EXPECT_EQ(refusal({.temperature = std::numeric_limits<double>::quiet_NaN()}),
            "temperature: found nan, expected 0 to 100");
  EXPECT_EQ(refusal({.top_k = -5}), "top_k: found -5, expected 0 to 16777216");
  EXPECT_EQ(refusal({.top_p = 0}), "top_p: found 0, expected 1e-06 to 1");
  EXPECT_EQ(refusal({.repetition_penalty = 0}), "repetition_penalty: found 0, expected 0.01 to 100");
  EXPECT_EQ(refusal({.presence_penalty = 1000}), "presence_penalty: found 1000, expected -100 to 100");
  EXPECT_EQ(refusal({.stop = {""}}), "stop: found a string of 0 bytes, expected 1 to 256");
  EXPECT_EQ(refusal({.stop = std::vector<std::string>(17, "x")}),
            "stop: found 17 strings, expected at most 16");
  EXPECT_EQ(refusal({.prefill_chunk = 0}), "prefill_chunk: found 0, expected 1 to 65536");
}

TEST(GenerationOptions, TakeUnsetFieldsFromTheCheckpoint) {
  const GenerationConfig defaults{.do_sample = true,
                                  .temperature = 0.7,
                                  .top_k = 20,
                                  .top_p = 0.8,
                                  .repetition_penalty = 1.1,
                                  .eos_token_ids = {}};
  const SamplingOptions all = resolve_sampling({.seed = 3}, defaults);
  EXPECT_EQ(all.temperature, 0.7);
  EXPECT_EQ(all.top_k, 20);
  EXPECT_EQ(all.top_p, 0.8);
  EXPECT_EQ(all.repetition_penalty, 1.1);
  EXPECT_EQ(all.seed, 3u);
  const SamplingOptions chosen = resolve_sampling({.temperature = 0, .top_k = 0}, defaults);
  EXPECT_EQ(chosen.temperature, 0);
  EXPECT_EQ(chosen.top_k, 0);
}

TEST(GenerationOptions, AreGreedyWhereTheCheckpointDoesNotSample) {
  EXPECT_EQ(resolve_sampling({}, {.do_sample = false, .temperature = 0.7, .eos_token_ids = {}}).temperature,
            0);
  EXPECT_EQ(resolve_sampling({.temperature = 0.5}, {.do_sample = false, .eos_token_ids = {}}).temperature,
            0.5);
}

TEST(GenerationOptions, DrawAnotherSeedEachTime) {
  EXPECT_NE(resolve_sampling({}, {}).seed, resolve_sampling({}, {}).seed);
}

}  // namespace
}  // namespace qvl
