#include "profiler/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "base/error.h"

namespace qvl {
namespace {

using testing::ElementsAre;

Metric metric(std::vector<double> values, Better better = Better::lower) {
  return {.name = "m", .unit = "s", .better = better, .values = std::move(values)};
}
Baseline one(Metric of) { return {.hardware = "h", .program = "p", .metrics = {std::move(of)}}; }

// Measurements around `level` with a normal error of `noise`, on a machine that slows down over time.
std::vector<double> series(std::mt19937& random, size_t count, double level, double noise) {
  std::normal_distribution<double> error(0, noise);
  std::vector<double> out;
  for (size_t i = 0; i < count; ++i) {
    const double drift = 1 + 0.5 * static_cast<double>(i) / static_cast<double>(count);
    out.push_back(level * drift * std::exp(error(random)));
  }
  return out;
}

// Verdicts of 100 comparisons, after / before being `ratio`.
std::map<Verdict, int> verdicts(double ratio, double noise, size_t pairs, Better better = Better::lower) {
  std::mt19937 random(20);
  std::map<Verdict, int> out;
  for (int i = 0; i < 100; ++i) {
    const auto before = series(random, pairs, 10, noise), after = series(random, pairs, 10 * ratio, noise);
    ++out[compare(one(metric(before, better)), one(metric(after, better))).metrics[0].verdict];
  }
  return out;
}

TEST(Comparison, calls_noise_of_15_percent_the_same) {
  // By its 99 % band, one of a hundred may be called otherwise.
  EXPECT_GE(verdicts(1.0, 0.15, 30)[Verdict::same], 98);
  EXPECT_GE(verdicts(1.0, 0.15, 8)[Verdict::same], 98);
}

TEST(Comparison, finds_what_is_20_percent_slower_or_faster) {
  EXPECT_GE(verdicts(1.2, 0.15, 60)[Verdict::slower], 97);
  EXPECT_GE(verdicts(1 / 1.2, 0.15, 60)[Verdict::faster], 97);
  EXPECT_EQ(verdicts(1.2, 0.05, 12)[Verdict::slower], 100);
}

TEST(Comparison, knows_which_direction_is_better) {
  EXPECT_EQ(verdicts(1.2, 0.05, 12, Better::higher)[Verdict::faster], 100);
  EXPECT_EQ(verdicts(1 / 1.2, 0.05, 12, Better::higher)[Verdict::slower], 100);
}

TEST(Comparison, says_where_there_are_too_few_pairs) {
  const Comparison few =
      compare(one(metric(std::vector<double>(7, 1))), one(metric(std::vector<double>(7, 9))));
  EXPECT_EQ(few.metrics[0].verdict, Verdict::too_few);
  EXPECT_EQ(few.metrics[0].pairs, 7U);
  EXPECT_FALSE(few.metrics[0].measured);
  EXPECT_FALSE(few.regression);
  const Comparison enough =
      compare(one(metric(std::vector<double>(8, 1))), one(metric(std::vector<double>(8, 9))));
  EXPECT_EQ(enough.metrics[0].verdict, Verdict::slower);
  EXPECT_TRUE(enough.regression);
}

TEST(Comparison, has_medians_and_the_band_of_the_pairs_ratios) {
  const std::vector<double> before = {10, 10, 10, 10, 10, 10, 10, 10, 10, 10};
  const std::vector<double> after = {8, 10, 12.5, 16, 20, 25, 40, 50, 80, 100};
  const auto found = *compare(one(metric(before)), one(metric(after))).metrics[0].measured;
  EXPECT_DOUBLE_EQ(found.before_median, 10);
  EXPECT_DOUBLE_EQ(found.after_median, 22.5);
  // Ratios before / after: 0.1 0.125 0.2 0.25 0.4 0.5 0.625 0.8 1 1.25. Of ten pairs the sign test at 99 %
  // leaves out none at each end (11 of 1,024 by one would be 2.1 % in all; none is 0.2 %).
  EXPECT_DOUBLE_EQ(found.ratio, 0.45);
  EXPECT_DOUBLE_EQ(found.ratio_least, 0.1);
  EXPECT_DOUBLE_EQ(found.ratio_most, 1.25);
}

TEST(Comparison, leaves_out_the_ends_that_the_sign_test_allows) {
  // 20 pairs: 2 P(at most 3 of 20) = 0.26 %, of 4 it is 1.2 %: the band goes from the 4th to the 17th.
  std::vector<double> before(20, 1.0), after;
  for (int i = 1; i <= 20; ++i) after.push_back(i);
  const auto found =
      *compare(one(metric(before, Better::higher)), one(metric(after, Better::higher))).metrics[0].measured;
  EXPECT_DOUBLE_EQ(found.ratio_least, 4);
  EXPECT_DOUBLE_EQ(found.ratio_most, 17);
}

TEST(Comparison, is_not_moved_by_a_few_disturbed_measurements) {
  std::vector<double> before(20, 1.0), after(20, 1.1);
  after[3] = 50;
  before[7] = 40;
  after[11] = 0.01;
  const auto found = compare(one(metric(before)), one(metric(after))).metrics[0];
  EXPECT_EQ(found.verdict, Verdict::slower);
  EXPECT_DOUBLE_EQ(found.measured->ratio, 1 / 1.1);
  EXPECT_DOUBLE_EQ(found.measured->ratio_least, 1 / 1.1);
}

TEST(Comparison, calls_a_certain_difference_that_does_not_matter_the_same) {
  const std::vector<double> before(20, 1.0), after(20, 1.01);
  EXPECT_EQ(compare(one(metric(before)), one(metric(after))).metrics[0].verdict, Verdict::same);
  EXPECT_EQ(compare(one(metric(before)), one(metric(after)), 0.005).metrics[0].verdict, Verdict::slower);
}

TEST(Comparison, computes_with_ten_thousand_pairs) {
  std::mt19937 random(3);
  const auto before = series(random, 10'000, 10, 0.15), after = series(random, 10'000, 10.4, 0.15);
  const auto found = compare(one(metric(before)), one(metric(after))).metrics[0];
  EXPECT_EQ(found.verdict, Verdict::slower);
  EXPECT_NEAR(found.measured->ratio, 1 / 1.04, 0.01);
}

TEST(Comparison, names_metrics_of_one_side_and_other_hardware) {
  Baseline before = one(metric({1})), after = one(metric({1}));
  before.metrics.push_back({.name = "old", .unit = "s", .values = {1}});
  after.metrics.push_back({.name = "new", .unit = "s", .values = {1}});
  after.hardware = "another";
  const Comparison found = compare(before, after);
  EXPECT_FALSE(found.same_hardware);
  EXPECT_THAT(found.unmatched, ElementsAre("old", "new"));
  EXPECT_EQ(found.metrics.size(), 1);
  EXPECT_EQ(to_json(found).dump(),
            R"({"same_hardware":false,"regression":false,"metrics":[{"name":"m","unit":"s","pairs":1,)"
            R"("verdict":"too_few"}],"unmatched":["old","new"]})");
}

TEST(Comparison, refuses_series_that_are_no_pairs) {
  const auto message_of = [](const Metric& before, const Metric& after) -> std::string {
    try {
      compare(one(before), one(after));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage);
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message_of(metric({1, 2}), metric({1})), "metric m: found 2 and 1 values, expected pairs");
  EXPECT_EQ(message_of(metric({1}), metric({1}, Better::higher)),
            "metric m: unit or direction differ between the two series");
  EXPECT_EQ(message_of(metric({1}), metric({NAN})), "metric m: a value is not from 1e-100 to 1e100");
  EXPECT_EQ(message_of(metric({0}), metric({1})), "metric m: a value is not from 1e-100 to 1e100");
}

TEST(Comparison, has_all_it_found_in_its_json) {
  const OrderedJson json =
      to_json(compare(one(metric(std::vector<double>(8, 2))), one(metric(std::vector<double>(8, 4)))));
  EXPECT_EQ(json["metrics"][0].dump(),
            R"({"name":"m","unit":"s","pairs":8,"verdict":"slower","before_median":2.0,"after_median":4.0,)"
            R"("ratio":0.5,"ratio_least":0.5,"ratio_most":0.5})");
  EXPECT_EQ(json["regression"], true);
}

}  // namespace
}  // namespace qvl
