// Requests under the cap: what they need is what is predicted, and what does not fit is refused before it is
// taken.
#include "pipeline/request_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error_testing.h"
#include "memory/memory_testing.h"
#include "pipeline/runtime.h"

namespace qvl {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

const std::filesystem::path kSource = QVL_SOURCE_DIR;
const std::filesystem::path kPicture = kSource / "tests/data/media/rgb8.png";
const std::filesystem::path kSecondPicture = kSource / "tests/data/media/progressive.jpg";
const std::filesystem::path kVideo = kSource / "tests/data/media/frames8.mkv";

// One thread, a pool that keeps nothing, no looks at the machine: the account depends on the request alone.
LoadOptions options_for(const std::filesystem::path& model) {
  LoadOptions options{.path = model, .threads = 1, .cache_folder = ""};
  options.system.memory_pool_size = 0;
  options.system.dynamic_resource_adjustment = false;
  return options;
}

const Turn kTextTurn{.text = "How many objects are there?"};
const Turn kPictureTurn{.text = "What is this?", .images = {kPicture}};

class RequestMemory : public testing::Test {
 protected:
  RequestMemory()
      : runtime_(std::make_shared<detail::Runtime>(options_for(kSource / "models/shapes"),
                                                   detail::RuntimeSystem{.blocks = &blocks_})),
        model_(runtime_) {}

  Ledger& ledger() { return runtime_->layer.memory().ledger(); }
  uint64_t held() { return ledger().report().held_bytes; }
  // No features of earlier requests.
  void forget() { runtime_->layer.memory().clean_up(uint64_t{1} << 40); }
  void leave_free(uint64_t bytes) { ledger().set_cap(held() + bytes); }
  std::string answer(Conversation& conversation, const Turn& turn) {
    return conversation.ask(turn, {.max_tokens = 8, .temperature = 0}, {}).text;
  }
  // Empty where it was answered.
  std::string refusal(Conversation& conversation, const Turn& turn) {
    try {
      answer(conversation, turn);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::limit) << error.what();
      EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos);
      return error.what();
    }
    return "";
  }
  // The least that has to be free for `turn` to be admitted in a new conversation.
  uint64_t least_free(const Turn& turn) {
    uint64_t low = 0, high = uint64_t{1} << 30;
    while (low < high) {
      const uint64_t middle = low + (high - low) / 2;
      Conversation conversation(model_);
      forget();
      leave_free(middle);
      refusal(conversation, turn).empty() ? high = middle : low = middle + 1;
    }
    return low;
  }

  CountedMemory blocks_;
  std::shared_ptr<detail::Runtime> runtime_;
  Model model_;
};

TEST_F(RequestMemory, of_a_question_is_exactly_what_is_predicted) {
  const uint64_t least = least_free(kTextTurn);
  ledger().set_cap(uint64_t{1} << 40);
  Conversation conversation(model_);
  answer(conversation, kTextTurn);
  const LedgerReport report = ledger().report();
  EXPECT_EQ(least, report.of(MemoryPart::kv).peak_bytes + report.of(MemoryPart::scratch).peak_bytes);
  EXPECT_EQ(report.of(MemoryPart::scratch).held_bytes, 0u);
}

TEST_F(RequestMemory, of_a_picture_is_exactly_what_is_predicted) {
  const uint64_t least = least_free(kPictureTurn);
  Conversation conversation(model_);
  forget();
  leave_free(least);
  const uint64_t before = held();
  EXPECT_EQ(refusal(conversation, kPictureTurn), "");
  // The picture is small: most is held while it is encoded or answered about, so that the parts' peaks, each
  // at its own moment, are no less than the sum.
  const LedgerReport report = ledger().report();
  EXPECT_LE(report.peak_bytes, before + least);
  uint64_t peaks = 0;
  for (const MemoryPart part :
       {MemoryPart::kv, MemoryPart::vision, MemoryPart::pixels, MemoryPart::scratch, MemoryPart::caches}) {
    peaks += report.of(part).peak_bytes;
  }
  EXPECT_GE(peaks, least);
}

TEST_F(RequestMemory, that_does_not_fit_is_refused_with_each_part_before_anything_is_taken) {
  const uint64_t least = least_free(kPictureTurn);
  Conversation conversation(model_);
  forget();
  leave_free(least - 1);
  const uint64_t before = held(), blocks = blocks_.bytes();
  EXPECT_THAT(
      refusal(conversation, kPictureTurn),
      MatchesRegex("request: needs [0-9.]+ KiB \\(vision [0-9.]+, pixels [0-9.]+, scratch [0-9.]+, caches "
                   "[0-9.]+\\), [0-9.]+ KiB are free of the limit of [0-9.]+ MiB \\(--memory-limit\\)"));
  EXPECT_EQ(held(), before);
  EXPECT_EQ(blocks_.bytes(), blocks);
}

TEST_F(RequestMemory, a_refused_request_leaves_the_conversation_as_it_was) {
  Conversation plain(model_), refused(model_);
  const std::string first = answer(plain, kPictureTurn);
  const std::string second = answer(plain, kTextTurn);
  EXPECT_EQ(answer(refused, kPictureTurn), first);
  const uint64_t before = held();
  leave_free(1000);
  EXPECT_THAT(refusal(refused, {.text = "And this?", .images = {kSecondPicture}}),
              HasSubstr("request: needs"));
  // Features of the picture were given back before it was refused; nothing else changed.
  const uint64_t features = ledger().report().of(MemoryPart::caches).peak_bytes;
  EXPECT_EQ(held(), before - features);
  ledger().set_cap(uint64_t{1} << 40);
  EXPECT_EQ(answer(refused, kTextTurn), second);
}

// Once: the pool asks again, and nobody notices.
TEST_F(RequestMemory, does_not_notice_a_block_that_is_missing_once) {
  Conversation plain(model_);
  const std::string expected = answer(plain, kPictureTurn);
  for (uint64_t n = 1; n < 10; ++n) {
    Conversation conversation(model_);
    blocks_.fail_at(n, CountedMemory::Failing::once);
    EXPECT_EQ(answer(conversation, kPictureTurn), expected) << n;
  }
}

enum class Lasting {
  until_refused,  // one block is refused, whatever is given back for it
  for_ever,
};

class RequestFaults : public RequestMemory, public testing::WithParamInterface<Lasting> {
 protected:
  // What caches alone hold may be forgotten at any time, to be computed again.
  uint64_t held_but_caches() { return held() - runtime_->caches->idle_bytes(); }
  void fail_at(uint64_t n) {
    if (GetParam() == Lasting::for_ever) return blocks_.fail_at(n, CountedMemory::Failing::from_then_on);
    const auto refusals = [&] { return runtime_->layer.memory().pool().stats().refusals; };
    blocks_.fail_at(n, [refusals, before = refusals()] { return refusals() > before; });
  }
};

TEST_P(RequestFaults, end_the_request_in_one_line_and_leave_the_conversation_as_it_was) {
  const Turn turns[] = {kPictureTurn, {.text = "And this?", .images = {kSecondPicture}, .videos = {kVideo}}};
  std::vector<std::string> expected;
  {
    Conversation plain(model_);  // its pages of keys and values are nobody's when it is over
    for (const Turn& turn : turns) expected.push_back(answer(plain, turn));
  }
  for (size_t turn = 0; turn < std::size(turns); ++turn) {
    uint64_t n = 1;
    for (; n < 10'000; ++n) {
      Conversation conversation(model_);
      for (size_t earlier = 0; earlier < turn; ++earlier) answer(conversation, turns[earlier]);
      const uint64_t before = held_but_caches();
      fail_at(n);
      const std::string problem = refusal(conversation, turns[turn]);
      blocks_.fail_never();
      if (problem.empty()) break;
      EXPECT_THAT(problem, HasSubstr("not enough memory")) << n;
      ASSERT_EQ(held_but_caches(), before) << n << problem;
      ASSERT_EQ(answer(conversation, turns[turn]), expected[turn]) << n;
    }
    EXPECT_GT(n, 20u);
    EXPECT_LT(n, 10'000u);
  }
}

INSTANTIATE_TEST_SUITE_P(each, RequestFaults, testing::Values(Lasting::until_refused, Lasting::for_ever));

TEST_F(RequestMemory, is_all_given_back_when_the_conversation_ends_but_for_what_is_kept_for_others) {
  const uint64_t before = held();
  {
    Conversation conversation(model_);
    answer(conversation, kPictureTurn);
    EXPECT_GT(held(), before);
  }
  EXPECT_EQ(held(), before + runtime_->caches->bytes());
  EXPECT_EQ(runtime_->caches->idle_bytes(), runtime_->caches->bytes());
  forget();
  EXPECT_EQ(held(), before);
}

TEST_F(RequestMemory, features_of_idle_conversations_go_first_and_are_computed_again) {
  Conversation plain(model_), idle(model_), asking(model_);
  answer(plain, kPictureTurn);
  const std::string second = answer(plain, kTextTurn);
  answer(idle, kPictureTurn);
  const uint64_t features = ledger().report().of(MemoryPart::caches).held_bytes;
  EXPECT_GT(features, 0u);
  runtime_->layer.memory().clean_up(features);
  EXPECT_EQ(ledger().report().of(MemoryPart::caches).held_bytes, 0u);
  EXPECT_EQ(answer(idle, kTextTurn), second);
  EXPECT_EQ(ledger().report().of(MemoryPart::caches).held_bytes, 0u);  // its keys and values were kept
}

TEST_F(RequestMemory, conversations_keep_no_more_features_than_the_plan_does) {
  const auto held_features = [&] { return runtime_->caches->features.stats().bytes; };
  const Turn second{.text = "And this?", .images = {kSecondPicture}};
  std::string first_answer, second_answer;
  uint64_t both = 0, last = 0;
  {
    Conversation conversation(model_);
    first_answer = answer(conversation, kPictureTurn);
    last = held_features();
    second_answer = answer(conversation, second);
    both = held_features();
    EXPECT_GT(both, last);
    last = both - last;
  }
  runtime_->layer.configure(runtime_->layer.state().config, {.feature_bytes = last});
  {
    Conversation conversation(model_);
    EXPECT_EQ(answer(conversation, kPictureTurn), first_answer);
    EXPECT_EQ(answer(conversation, second), second_answer);
    EXPECT_EQ(held_features(), last);  // the older picture's went
  }
  runtime_->layer.configure(runtime_->layer.state().config, {.feature_bytes = 0});
  Conversation conversation(model_);
  EXPECT_EQ(answer(conversation, kPictureTurn), first_answer);
  EXPECT_EQ(held_features(), 0u);
  EXPECT_EQ(answer(conversation, second), second_answer);
}

TEST(LoadMemory, the_limits_of_the_plan_reach_a_loaded_checkpoint) {
  LoadOptions options = options_for(kSource / "models/shapes");
  options.system.memory_pool_size = 1 << 20;
  const detail::Runtime all(options);
  EXPECT_EQ(all.layer.limits(), all.loaded_by.limits);
  EXPECT_TRUE(all.layer.limits().interval_clean_up);
  EXPECT_GT(all.layer.limits().feature_bytes, 0u);
  EXPECT_EQ(all.layer.state().config.memory_pool_size, 1 << 20);
  options.disabled_passes = {"memory_trim", "feature_cache", "tensor_pool", "prefill_chunk"};
  const detail::Runtime less(options);
  EXPECT_FALSE(less.layer.limits().interval_clean_up);
  EXPECT_EQ(less.layer.limits().feature_bytes, 0u);
  EXPECT_EQ(less.layer.prefill_chunk(1000), 512);
  EXPECT_EQ(less.layer.state().config.memory_pool_size, 0);
}

TEST(LoadMemory, a_limit_below_the_least_is_a_slip_of_the_unit) {
  for (const uint64_t limit : {uint64_t{0}, (uint64_t{16} << 20) - 1}) {
    LoadOptions options = options_for(kSource / "models/shapes");
    options.memory_limit = limit;
    EXPECT_EQ(error_of(ErrorCode::usage, [&] { load_model(options); }),
              fmt::format("memory_limit: found {}, expected at least 16.0 MiB", limit));
  }
}

TEST(LoadMemory, weights_that_do_not_fit_are_refused_in_one_line) {
  LoadOptions options = options_for(kSource / "models/shapes");
  bool loaded = false;
  std::string last;
  uint64_t refused = 0;
  for (uint64_t limit = uint64_t{16} << 20; !loaded && limit < uint64_t{1} << 30; limit += 1 << 20) {
    options.memory_limit = limit;
    try {
      detail::Runtime runtime(options);
      loaded = true;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::limit) << error.what();
      last = error.what();
      ++refused;
    }
  }
  EXPECT_TRUE(loaded);
  EXPECT_GT(refused, 1u);
  EXPECT_THAT(last,
              MatchesRegex(".*(models/shapes: the weights need|packing the weights needs) [0-9.]+ [KM]iB "
                           "\\(.*\\), [0-9.]+ [KM]iB are free of the limit of [0-9.]+ MiB "
                           "\\(--memory-limit\\)"));
}

}  // namespace
}  // namespace qvl
