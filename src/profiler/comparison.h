// Whether one series of measurements is faster than another, slower, or the same within their noise.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "profiler/baseline.h"

namespace qvl {

enum class Verdict { faster, same, slower, too_few };

/// One metric in both series. Ratios are after / before of each pair, turned so that above 1 is better.
struct MetricComparison {
  struct Measured {
    double before_median = 0, after_median = 0;
    double ratio = 1;                        ///< median of the pairs' ratios
    double ratio_least = 1, ratio_most = 1;  ///< the noise band around it
  };
  std::string name{};
  std::string unit{};
  size_t pairs = 0;
  Verdict verdict = Verdict::too_few;
  std::optional<Measured> measured{};  ///< empty where there are too few pairs
};

struct Comparison {
  bool same_hardware = true;
  std::vector<MetricComparison> metrics{};  ///< those of both, in the order of `before`
  std::vector<std::string> unmatched{};     ///< those of one alone
  bool regression = false;                  ///< any metric is slower
};

/// Fewer pairs than this say nothing: the band would have to be wider than all of them.
constexpr size_t kLeastPairs = 8;

/// Compares values pair by pair: the i-th of `before` with the i-th of `after`. They should be measured in
/// turns (before, after, after, before, ...), so that what changes slowly, such as heat or another program,
/// is in both of a pair and falls out of their ratio.
///
/// The noise band is the sign test's interval for the median of the ratios: the tightest pair of order
/// statistics that holds it with a probability of at least 99 %, whatever the distribution, so that a single
/// disturbed measurement moves nothing. Where a measurement has a noise of 5 %, 12 pairs find a difference of
/// 20 %; where it has one of 15 %, 60 do. A metric is faster or slower where the band does not hold 1 and the
/// median is more than `tolerance` away from it: a difference that is certain but does not matter is none.
///
/// Throws Error{usage} for a metric whose two series differ in length, unit or direction, or with a value
/// that is none.
Comparison compare(const Baseline& before, const Baseline& after, double tolerance = 0.02);

/// {same_hardware, regression, metrics: [{name, unit, pairs, verdict, before_median, after_median, ratio,
/// ratio_least, ratio_most}], unmatched: [name]}
OrderedJson to_json(const Comparison& comparison);

}  // namespace qvl
