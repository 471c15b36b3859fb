#include "profiler/comparison.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace qvl {
namespace {

constexpr double kConfidence = 0.99;

double median(std::vector<double> values) {
  const size_t middle = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(middle), values.end());
  const double upper = values[middle];
  if (values.size() % 2 == 1) return upper;
  return (upper + *std::max_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(middle))) /
         2;
}

// How many of `count` values may be cut off at each end so that what is left still holds the median with the
// confidence: the median is outside where fewer than that many of `count` fair coins show heads (or tails).
size_t cut_at_each_end(size_t count) {
  const double log_all = static_cast<double>(count) * std::log(0.5);
  const auto n = static_cast<double>(count);
  double tail = 0;
  size_t cut = 0;
  for (;; ++cut) {
    const auto k = static_cast<double>(cut);
    tail += std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) + log_all);
    if (2 * tail > 1 - kConfidence) return cut;
  }
}

MetricComparison::Measured measure(const Metric& before, const Metric& after) {
  std::vector<double> ratios;
  for (size_t i = 0; i < before.values.size(); ++i) {
    const double ratio = after.values[i] / before.values[i];
    ratios.push_back(before.better == Better::higher ? ratio : 1 / ratio);
  }
  std::sort(ratios.begin(), ratios.end());
  const size_t outside = cut_at_each_end(ratios.size()) - 1;  // kLeastPairs makes it 1 at least
  return {.before_median = median(before.values),
          .after_median = median(after.values),
          .ratio = median(ratios),
          .ratio_least = ratios[outside],
          .ratio_most = ratios[ratios.size() - 1 - outside]};
}

Verdict judge(const MetricComparison::Measured& measured, double tolerance) {
  if (measured.ratio_most < 1 && measured.ratio < 1 - tolerance) return Verdict::slower;
  if (measured.ratio_least > 1 && measured.ratio > 1 + tolerance) return Verdict::faster;
  return Verdict::same;
}

MetricComparison compare_metric(const Metric& before, const Metric& after, double tolerance) {
  if (before.unit != after.unit || before.better != after.better) {
    fail(ErrorCode::usage, "metric {}: unit or direction differ between the two series",
         printable(before.name));
  }
  if (before.values.size() != after.values.size()) {
    fail(ErrorCode::usage, "metric {}: found {} and {} values, expected pairs", printable(before.name),
         before.values.size(), after.values.size());
  }
  for (const Metric* metric : {&before, &after}) {
    if (!std::all_of(metric->values.begin(), metric->values.end(), is_measurement)) {
      fail(ErrorCode::usage, "metric {}: a value is not from 1e-100 to 1e100", printable(before.name));
    }
  }
  MetricComparison out{
      .name = before.name, .unit = before.unit, .pairs = before.values.size(), .measured = {}};
  if (out.pairs < kLeastPairs) return out;
  out.measured = measure(before, after);
  out.verdict = judge(*out.measured, tolerance);
  return out;
}

const Metric* find(const Baseline& baseline, const std::string& name) {
  const auto found = std::find_if(baseline.metrics.begin(), baseline.metrics.end(),
                                  [&](const Metric& metric) { return metric.name == name; });
  return found == baseline.metrics.end() ? nullptr : &*found;
}

const char* name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::faster:
      return "faster";
    case Verdict::same:
      return "same";
    case Verdict::slower:
      return "slower";
    case Verdict::too_few:
      break;
  }
  return "too_few";
}

}  // namespace

Comparison compare(const Baseline& before, const Baseline& after, double tolerance) {
  Comparison out{.same_hardware = before.hardware == after.hardware, .metrics = {}, .unmatched = {}};
  for (const Metric& metric : before.metrics) {
    if (const Metric* other = find(after, metric.name)) {
      out.metrics.push_back(compare_metric(metric, *other, tolerance));
      out.regression = out.regression || out.metrics.back().verdict == Verdict::slower;
    } else {
      out.unmatched.push_back(metric.name);
    }
  }
  for (const Metric& metric : after.metrics) {
    if (find(before, metric.name) == nullptr) out.unmatched.push_back(metric.name);
  }
  return out;
}

OrderedJson to_json(const Comparison& comparison) {
  OrderedJson metrics = OrderedJson::array();
  for (const MetricComparison& metric : comparison.metrics) {
    OrderedJson one = {{"name", metric.name},
                       {"unit", metric.unit},
                       {"pairs", metric.pairs},
                       {"verdict", name_of(metric.verdict)}};
    if (const auto& measured = metric.measured) {
      one["before_median"] = measured->before_median;
      one["after_median"] = measured->after_median;
      one["ratio"] = measured->ratio;
      one["ratio_least"] = measured->ratio_least;
      one["ratio_most"] = measured->ratio_most;
    }
    metrics.push_back(std::move(one));
  }
  return {{"same_hardware", comparison.same_hardware},
          {"regression", comparison.regression},
          {"metrics", std::move(metrics)},
          {"unmatched", comparison.unmatched}};
}

}  // namespace qvl
