// What is measured, in which order, what is refused, and that it ends where it is told to.
#include "qvl/benchmark.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error_testing.h"
#include "pipeline/runtime.h"
#include "qvl/error.h"

namespace qvl {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

class BenchmarkTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    model_ = std::make_unique<Model>(
        load_model({.path = std::filesystem::path(QVL_SOURCE_DIR) / "tests/golden/tiny",
                    .threads = 2,
                    .cache_folder = ""}));
  }
  static void TearDownTestSuite() { model_.reset(); }

  static BenchmarkOptions small() {
    return {.image_sizes = {64}, .prompt_tokens = 3, .decode_tokens = 2, .streams = {1, 2}, .repeat = 2};
  }
  // The refusal of `options`; empty: there was none.
  std::string refusal(ErrorCode code, const BenchmarkOptions& options) const {
    return error_of(code, [&] { benchmark(*model_, options, {}); });
  }

  static std::unique_ptr<Model> model_;
};
std::unique_ptr<Model> BenchmarkTest::model_;

TEST_F(BenchmarkTest, says_what_it_measures_with_the_peaks_before_between_and_after) {
  std::vector<std::string> told;
  const BenchmarkReport report = benchmark(*model_, small(), {.progress = [&](const Progress& progress) {
    EXPECT_EQ(progress.stage, "bench");
    EXPECT_TRUE(progress.fraction >= 0 && progress.fraction <= 1) << progress.fraction;
    if (told.empty() || told.back() != progress.detail) told.emplace_back(progress.detail);
  }});
  const std::string peaks = "the machine's peaks";
  EXPECT_THAT(told, ElementsAre(peaks, "prefill 3 tokens, warming up", "prefill 3 tokens, run 1 of 2",
                                "prefill 3 tokens, run 2 of 2", peaks, "decode 1 stream, warming up",
                                "decode 1 stream, run 1 of 2", "decode 1 stream, run 2 of 2", peaks,
                                "decode 2 streams, warming up", "decode 2 streams, run 1 of 2",
                                "decode 2 streams, run 2 of 2", peaks, "encode 64 x 64, warming up",
                                "encode 64 x 64, run 1 of 2", "encode 64 x 64, run 2 of 2", peaks,
                                "first token after 64 x 64", peaks));
  EXPECT_GT(report.peaks.read_gb_s.value_or(0), 0);
  EXPECT_EQ(report.why_no_reads, "");
  EXPECT_GT(report.peaks.int8_gop_s, 0);
  EXPECT_EQ(report.first_token_size, 64);
}

TEST_F(BenchmarkTest, leaves_the_peak_of_reads_out_where_the_memory_for_it_would_pass_the_cap) {
  Ledger& ledger = model_->runtime().layer.memory().ledger();
  model_->runtime().layer.memory().clean_up(uint64_t{1} << 50);
  const uint64_t cap = ledger.cap_bytes(), tight = ledger.report().held_bytes + (64 << 20) - 1;
  ledger.set_cap(tight);
  uint64_t most = 0;
  const BenchmarkReport report =
      benchmark(*model_, small(),
                {.progress = [&](const Progress&) { most = std::max(most, ledger.report().held_bytes); }});
  ledger.set_cap(cap);
  EXPECT_EQ(report.peaks.read_gb_s, std::nullopt);
  EXPECT_GT(report.peaks.int8_gop_s, 0);
  EXPECT_THAT(report.why_no_reads,
              StartsWith("the peak of memory reads is not measured: not enough memory for scratch"));
  EXPECT_EQ(report.why_no_reads.find('\n'), std::string::npos);
  EXPECT_LE(most, tight);
  // With a little more it fits.
  ledger.set_cap(tight + (4 << 20));
  EXPECT_GT(benchmark(*model_, small(), {}).peaks.read_gb_s.value_or(0), 0);
  ledger.set_cap(cap);
}

TEST_F(BenchmarkTest, sets_down_what_it_reads_for_the_peak) {
  Ledger& ledger = model_->runtime().layer.memory().ledger();
  const uint64_t before = ledger.report().of(MemoryPart::scratch).peak_bytes;
  benchmark(*model_, small(), {});
  EXPECT_GE(ledger.report().of(MemoryPart::scratch).peak_bytes, std::max<uint64_t>(before, 64 << 20));
  EXPECT_EQ(ledger.report().of(MemoryPart::scratch).held_bytes, 0u);
}

TEST_F(BenchmarkTest, ends_after_the_step_in_which_it_is_stopped) {
  const BenchmarkOptions options{
      .image_sizes = {64}, .prompt_tokens = 3, .decode_tokens = 2, .streams = {1}, .repeat = 1};
  // Steps that begin something else, and the last one of all.
  std::vector<int> lasts;
  int steps = 0;
  std::string before;
  benchmark(*model_, options, {.progress = [&](const Progress& progress) {
    ++steps;
    if (std::exchange(before, progress.detail) != progress.detail) lasts.push_back(steps);
  }});
  EXPECT_EQ(lasts.size(), 12u);
  lasts.push_back(steps);
  for (const int last : lasts) {
    std::stop_source source;
    int told = 0;
    std::string measured;
    const auto stop_at_last = [&](const Progress& progress) {
      measured = progress.detail;
      if (++told == last) source.request_stop();
    };
    try {
      benchmark(*model_, options, {.progress = stop_at_last, .stop = source.get_token()});
      ADD_FAILURE() << "step " << last << " of " << steps << " was not the last";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::cancelled);
      EXPECT_EQ(error.what(), "measuring was stopped: " + measured);
    }
    EXPECT_EQ(told, last);
  }
  EXPECT_GT(benchmark(*model_, options, {}).first_token_s, 0);  // the model is as usable as before
}

TEST_F(BenchmarkTest, refuses_what_cannot_be_measured) {
  const auto with = [](auto change) {
    BenchmarkOptions options = small();
    change(options);
    return options;
  };
  EXPECT_EQ(refusal(ErrorCode::usage, with([](auto& o) {
                      o.streams = {1, 0};
                    })),
            "streams: found 0, expected 1 to 256");
  EXPECT_EQ(refusal(ErrorCode::usage, with([](auto& o) {
                      o.image_sizes = {64, 31};
                    })),
            "image_sizes: found 31, expected multiples of 32 up to 8192");
  EXPECT_EQ(refusal(ErrorCode::usage, with([](auto& o) {
                      o.streams = {1, 8, 1};
                    })),
            "streams: found 1, expected each once");
  EXPECT_EQ(refusal(ErrorCode::usage, with([](auto& o) {
                      o.image_sizes = {64, 64};
                    })),
            "image_sizes: found 64, expected each once");
  EXPECT_EQ(refusal(ErrorCode::usage, with([](auto& o) { o.prompt_tokens = 4096; })),
            "prompt_tokens: found 4096, expected 1 to 4095");
  EXPECT_EQ(refusal(ErrorCode::usage, with([](auto& o) { o.decode_tokens = 0; })),
            "decode_tokens: found 0, expected 1 to 4095");
  EXPECT_EQ(refusal(ErrorCode::usage, with([](auto& o) { o.repeat = 0; })),
            "repeat: found 0, expected 1 to 1000");
  EXPECT_EQ(
      refusal(ErrorCode::limit, with([](auto& o) { o.image_sizes = {2048}; })),
      "image_sizes: found 2048: 4112 tokens with the text beside it; the model takes 4096, at least 1 for "
      "the answer");
}

TEST(LoadModel, ends_where_it_is_stopped) {
  const std::filesystem::path path = std::filesystem::path(QVL_SOURCE_DIR) / "tests/golden/tiny";
  for (const std::string_view stage : {"load", "pack"}) {
    std::stop_source source;
    LoadOptions options{.path = path, .cache_folder = "", .stop = source.get_token()};
    options.progress = [&](const Progress& progress) {
      if (progress.stage == stage) source.request_stop();
    };
    try {
      load_model(options);
      ADD_FAILURE() << stage;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::cancelled);
      EXPECT_EQ(error.what(), stage == "load" ? path.string() + ": loading was stopped"
                                              : std::string("packing the weights was stopped"));
    }
  }
}

TEST(LoadModel, tells_what_it_did_with_the_weights) {
  LoadOptions options{.path = std::filesystem::path(QVL_SOURCE_DIR) / "tests/golden/tiny",
                      .cache_folder = ""};
  EXPECT_EQ(load_model(options).packing(), Packing::not_kept);
  options.weights = options.vision_weights = WeightPrecision::f32;
  EXPECT_EQ(load_model(options).packing(), Packing::none);
}

}  // namespace
}  // namespace qvl
