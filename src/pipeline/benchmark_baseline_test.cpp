// What a baseline keeps, what it is compared with, and what is refused.
#include "qvl/benchmark_baseline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <tuple>

#include "base/fake_system.h"
#include "base/file.h"
#include "base/json.h"
#include "qvl/error.h"

namespace qvl {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr int64_t kRuns = 8;

Spread runs_around(double middle) {
  Spread spread{.median = middle};
  for (int64_t i = 0; i < kRuns; ++i) spread.values.push_back(middle * (1 + 0.001 * static_cast<double>(i)));
  return spread;
}

// As if it had been measured; `speed` above 1 is faster.
BenchmarkReport report_of(double speed) {
  BenchmarkReport report;
  report.peaks = {.read_gb_s = 20, .int8_gop_s = 300};
  report.prompt_tokens = 3;
  report.prefill_tokens_per_s = runs_around(100 * speed);
  report.decode.push_back({.streams = 1, .tokens_per_s = runs_around(40)});
  report.encode.push_back({.size = 64, .seconds = runs_around(2 / speed)});
  return report;
}

class BenchmarkBaseline : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    model_ = std::make_unique<Model>(
        load_model({.path = std::filesystem::path(QVL_SOURCE_DIR) / "tests/golden/tiny",
                    .threads = 1,
                    .isa = "scalar",
                    .cache_folder = ""}));
  }
  static void TearDownTestSuite() { model_.reset(); }

  static BenchmarkOptions options() {
    return {.image_sizes = {64}, .prompt_tokens = 3, .decode_tokens = 2, .streams = {1}, .repeat = kRuns};
  }
  BaselinePlace place(const std::string& name = "main") const {
    return {.name = name, .cache_folder = folder_.files().at("/cache"), .program = "qvl 1.2.3"};
  }
  // The whole message of a usage error; empty: there was none.
  static std::string refusal(const std::function<void()>& act) {
    try {
      act();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage);
      return error.what();
    }
    return "";
  }
  std::string comparison_refusal(const BenchmarkOptions& now) const {
    return refusal([&] { check_can_compare(place(), *model_, now); });
  }

  FakeSystem folder_;
  static std::unique_ptr<Model> model_;
};
std::unique_ptr<Model> BenchmarkBaseline::model_;

TEST_F(BenchmarkBaseline, does_without_the_peak_of_reads) {
  BenchmarkReport unread = report_of(1);
  unread.peaks.read_gb_s.reset();
  save_baseline(place(), *model_, options(), unread);
  const auto same = compare_with_baseline(place(), *model_, options(), report_of(1));
  EXPECT_EQ(same.peaks_before.read_gb_s, std::nullopt);
  EXPECT_EQ(same.peaks_before.int8_gop_s, 300);
  EXPECT_THAT(same.measurements, SizeIs(3));
  save_baseline(place(), *model_, options(), report_of(1));
  EXPECT_THAT(compare_with_baseline(place(), *model_, options(), unread).measurements, SizeIs(3));
}

TEST_F(BenchmarkBaseline, tells_what_became_faster_and_slower) {
  EXPECT_EQ(save_baseline(place(), *model_, options(), report_of(1)),
            folder_.files().at("/cache/baselines/main.json"));
  EXPECT_EQ(comparison_refusal(options()), "");
  const auto slower = compare_with_baseline(place(), *model_, options(), report_of(0.5));
  EXPECT_TRUE(slower.regression);
  EXPECT_EQ(slower.program_before, "qvl 1.2.3");
  EXPECT_EQ(slower.peaks_before.read_gb_s, 20);
  EXPECT_EQ(slower.peaks_before.int8_gop_s, 300);
  ASSERT_THAT(slower.measurements, SizeIs(3));
  const auto& [prefill, decode, encode] =
      std::tie(slower.measurements[0], slower.measurements[1], slower.measurements[2]);
  EXPECT_EQ(prefill.name, "prefill_3");
  EXPECT_EQ(prefill.verdict, SpeedVerdict::slower);
  EXPECT_DOUBLE_EQ(prefill.ratio, 0.5);
  EXPECT_DOUBLE_EQ(prefill.before, 100.35);
  EXPECT_DOUBLE_EQ(prefill.now, 50.175);
  EXPECT_EQ(decode.name, "decode_1");
  EXPECT_EQ(decode.verdict, SpeedVerdict::same);
  EXPECT_EQ(encode.name, "encode_64");
  EXPECT_EQ(encode.verdict, SpeedVerdict::slower);  // twice the seconds
  EXPECT_DOUBLE_EQ(encode.ratio, 0.5);
  const auto faster = compare_with_baseline(place(), *model_, options(), report_of(2));
  EXPECT_FALSE(faster.regression);
  EXPECT_EQ(faster.measurements[0].verdict, SpeedVerdict::faster);
  EXPECT_FALSE(compare_with_baseline(place(), *model_, options(), report_of(1)).regression);
}

TEST_F(BenchmarkBaseline, is_compared_with_the_same_options_only) {
  save_baseline(place(), *model_, options(), report_of(1));
  BenchmarkOptions now = options();
  now.prompt_tokens = 4;
  EXPECT_EQ(comparison_refusal(now), "baseline main: prompt-tokens: it was measured with 3, now with 4");
  now = options();
  now.image_sizes = {};
  EXPECT_EQ(comparison_refusal(now), "baseline main: image-sizes: it was measured with 64, now with none");
  now = options();
  now.streams = {1, 2};
  EXPECT_EQ(comparison_refusal(now), "baseline main: streams: it was measured with 1, now with 1,2");
  now = options();
  now.repeat = 9;
  EXPECT_EQ(comparison_refusal(now), "baseline main: repeat: it was measured with 8, now with 9");
  const Model other = load_model({.path = std::filesystem::path(QVL_SOURCE_DIR) / "tests/golden/tiny",
                                  .threads = 1,
                                  .kv = KvPrecision::f32,
                                  .isa = "scalar",
                                  .cache_folder = ""});
  EXPECT_EQ(refusal([&] { check_can_compare(place(), other, options()); }),
            "baseline main: kv: it was measured with 16, now with f32");
}

TEST_F(BenchmarkBaseline, of_another_machine_is_refused) {
  const auto path = save_baseline(place(), *model_, options(), report_of(1));
  OrderedJson stored = OrderedJson::parse(read_file(path, 1 << 20, ErrorCode::environment));
  const std::string here = stored["hardware"];
  stored["hardware"] = "a toaster";
  folder_.write("/cache/baselines/main.json", stored.dump());
  EXPECT_EQ(comparison_refusal(options()),
            "baseline main: it is of another machine: a toaster; this one is " + here);
}

TEST_F(BenchmarkBaseline, refuses_names_that_leave_the_folder_and_runs_that_say_nothing) {
  const auto name_refusal = [&](const std::string& name) {
    return refusal([&] { check_can_save(place(name), options()); });
  };
  for (const std::string good : {"a", "2b-q4", "v1.2_x"}) EXPECT_EQ(name_refusal(good), "");
  EXPECT_EQ(name_refusal(std::string(64, 'x')), "");
  const std::string expected =
      "\", expected 1 to 64 letters, digits, \".\", \"-\" and \"_\", the first a letter or a digit";
  for (const std::string bad : {"", "../x", "a/b", ".x", "-x", "a b", "\xc3\xa4"}) {
    EXPECT_EQ(name_refusal(bad), "baseline: found \"" + bad + expected);
  }
  EXPECT_THAT(name_refusal(std::string(65, 'x')), HasSubstr("baseline: found \"xxx"));
  BenchmarkOptions few = options();
  few.repeat = 7;
  EXPECT_EQ(refusal([&] { check_can_save(place(), few); }),
            "repeat: found 7, expected at least 8 for a baseline: fewer runs say nothing");
  EXPECT_EQ(refusal([&] { check_can_save({.name = "a", .cache_folder = ""}, options()); }),
            "baseline: they are kept in the cache folder, and there is none");
  EXPECT_EQ(comparison_refusal(options()),
            "baseline main: there is no " + folder_.files().at("/cache/baselines/main.json").string());
}

TEST_F(BenchmarkBaseline, that_cannot_be_kept_is_refused_before_anything_is_measured) {
  folder_.write("/cache", "a file where the folder should be");
  try {
    check_can_save(place(), options());
    ADD_FAILURE() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::environment);
    EXPECT_EQ(error.what(), "baseline: " + folder_.files().at("/cache/baselines").string() +
                                ": cannot keep files there: Not a directory");
  }
}

TEST_F(BenchmarkBaseline, that_cannot_be_written_is_an_error_of_the_environment) {
  std::filesystem::create_directories(folder_.files().at("/cache/baselines/main.json"));
  try {
    save_baseline(place(), *model_, options(), report_of(1));
    ADD_FAILURE() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::environment);
    EXPECT_THAT(error.what(), HasSubstr("main.json: cannot write: "));
  }
}

}  // namespace
}  // namespace qvl
