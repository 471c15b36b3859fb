// The public interface against the reference: logits of every position, in one pass and in chunks, and the
// answer.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "golden.h"
#include "qvl/qvl.h"

namespace qvl::golden {
namespace {

// Of the largest logit; see stages_test.cpp.
constexpr double tolerance = 5e-6;
constexpr double undecided_margin = 5e-4;

class Answers : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  Answers()
      : golden_(read_case(std::get<0>(GetParam()), std::get<1>(GetParam()))),
        model_(load_model(exact_load_options(std::get<0>(GetParam())))) {}

  // [positions, vocabulary]
  std::vector<float> logits(const LogitsRequest& request) const {
    std::vector<float> rows;
    const auto keep = [&](int64_t, std::span<const float> row) {
      rows.insert(rows.end(), row.begin(), row.end());
    };
    EXPECT_EQ(model_.logits(request, keep, {}), std::ssize(golden_.ids));
    return rows;
  }

  LogitsRequest request(int64_t chunk) const {
    return {.turn = golden_.turn,
            .form = LogitsRequest::Form::chat,
            .tokens = {},
            .video_prompt = VideoPrompt::nested_timestamps,
            .chunk = chunk};
  }

  Case golden_;
  Model model_;
};

TEST_P(Answers, LogitsOfEveryPosition) {
  EXPECT_LE(relative_difference(golden_.stages.at("logits"), logits(request(512))), tolerance);
}

TEST_P(Answers, ChunksChangeNothing) {
  const auto whole = logits(request(512));
  for (const int64_t chunk : {1, 7}) EXPECT_EQ(logits(request(chunk)), whole) << "chunks of " << chunk;
}

TEST_P(Answers, IdsAreTheSamePrompt) {
  LogitsRequest ids = request(512);
  ids.form = LogitsRequest::Form::tokens;
  ids.tokens = golden_.ids;
  EXPECT_EQ(logits(ids), logits(request(512)));
}

TEST_P(Answers, GreedyTokens) {
  Conversation conversation(model_,
                            {.system = "", .video_prompt = VideoPrompt::nested_timestamps, .tools_json = {}});
  GenerationOptions options;
  options.max_tokens = 32;
  options.temperature = 0;
  const Answer answer = conversation.ask(golden_.turn, options, {});
  EXPECT_EQ(answer.usage.prompt_tokens, std::ssize(golden_.ids));
  // Where two tokens are within rounding of each other either may win, and what follows is another answer.
  const auto tie =
      std::ranges::find_if(golden_.margins, [](double margin) { return margin < undecided_margin; });
  if (tie == golden_.margins.end()) {
    EXPECT_EQ(answer.tokens, golden_.greedy);
    EXPECT_EQ(answer.finish_reason, golden_.ended ? FinishReason::stop : FinishReason::length);
  } else {
    const auto decided = tie - golden_.margins.begin();
    ASSERT_GE(std::ssize(answer.tokens), decided);
    EXPECT_TRUE(std::equal(golden_.greedy.begin(), golden_.greedy.begin() + decided, answer.tokens.begin()));
  }
}

INSTANTIATE_TEST_SUITE_P(All, Answers,
                         ::testing::Combine(::testing::Values("tiny", "shapes"),
                                            ::testing::Values("text", "picture", "pictures", "video",
                                                              "mixed")),
                         [](const auto& p) { return std::get<0>(p.param) + "_" + std::get<1>(p.param); });

}  // namespace
}  // namespace qvl::golden
