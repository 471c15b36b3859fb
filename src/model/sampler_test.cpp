#include "model/sampler.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "base/error.h"

namespace qvl {
namespace {

// Draws many times from fresh copies of the logits and counts; nothing is penalised.
std::array<int, 4> draws(SamplingOptions options, std::array<float, 4> logits, int count) {
  options.seed = 7;
  Sampler sampler(options, 4);
  std::array<int, 4> counts{};
  for (int i = 0; i < count; ++i) {
    auto copy = logits;
    ++counts[static_cast<size_t>(sampler.sample(copy))];
  }
  return counts;
}

TEST(Sampler, greedy_takes_the_first_of_the_largest) {
  Sampler sampler({}, 4);
  std::array<float, 4> logits = {1, 5, 5, 2};
  EXPECT_EQ(sampler.sample(logits), 1);
}

TEST(Sampler, draws_in_proportion_to_the_softmax_at_the_temperature) {
  const auto counts = draws({.temperature = 2}, {0, 2 * std::log(2.0f), 2 * std::log(4.0f), -100}, 70'000);
  EXPECT_NEAR(counts[0], 10'000, 400);
  EXPECT_NEAR(counts[1], 20'000, 500);
  EXPECT_NEAR(counts[2], 40'000, 600);
  EXPECT_EQ(counts[3], 0);
}

TEST(Sampler, top_k_keeps_ties_at_the_threshold) {
  const auto counts = draws({.temperature = 1, .top_k = 2}, {1, 1, 2, 0}, 3000);
  EXPECT_GT(counts[0], 0);
  EXPECT_GT(counts[1], 0);
  EXPECT_GT(counts[2], 0);
  EXPECT_EQ(counts[3], 0);
}

TEST(Sampler, top_p_keeps_a_token_while_the_mass_before_it_is_below_p) {
  const std::array<float, 4> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  const auto counts = draws({.temperature = 1, .top_p = 0.7}, logits, 3000);
  EXPECT_GT(counts[0], 0);
  EXPECT_GT(counts[1], 0);
  EXPECT_EQ(counts[2], 0);
  EXPECT_EQ(counts[3], 0);
  EXPECT_EQ(draws({.temperature = 1, .top_p = 1e-9}, logits, 100)[0], 100);
}

TEST(Sampler, repetition_penalty_divides_positive_and_multiplies_negative_logits_of_prompt_and_answer) {
  Sampler sampler({.repetition_penalty = 2}, 3);
  const std::array<int32_t, 2> prompt = {0, 0};
  sampler.observe_prompt(prompt);
  std::array<float, 3> logits = {4, 3, -1};
  EXPECT_EQ(sampler.sample(logits), 1);  // 4 / 2 < 3
  EXPECT_EQ(logits, (std::array<float, 3>{2, 3, -1}));
  logits = {4, 3, -1};
  EXPECT_EQ(sampler.sample(logits), 0);  // 2 against 1.5
}

TEST(Sampler, presence_penalty_counts_the_answer_only) {
  Sampler sampler({.presence_penalty = 1.5}, 3);
  const std::array<int32_t, 1> prompt = {0};
  sampler.observe_prompt(prompt);
  std::array<float, 3> logits = {4, 3, 0};
  EXPECT_EQ(sampler.sample(logits), 0);
  logits = {4, 3, 0};
  EXPECT_EQ(sampler.sample(logits), 1);  // 4 - 1.5 < 3
}

TEST(Sampler, the_seed_decides) {
  SamplingOptions options{.temperature = 1};
  std::array<std::vector<int32_t>, 3> runs;
  for (size_t run = 0; run < runs.size(); ++run) {
    options.seed = run == 2 ? 2 : 1;
    Sampler sampler(options, 50);
    for (int i = 0; i < 20; ++i) {
      std::vector<float> logits(50, 0.0f);
      runs[run].push_back(sampler.sample(logits));
    }
  }
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_NE(runs[0], runs[2]);
}

TEST(Sampler, refuses_logits_that_are_not_finite) {
  Sampler sampler({}, 2);
  std::array<float, 2> logits = {0, NAN};
  EXPECT_THROW(sampler.sample(logits), Error);
}

}  // namespace
}  // namespace qvl
