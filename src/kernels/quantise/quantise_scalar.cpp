// The reference quantisation.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/quantise/quantise.h"
#include "kernels/quantise/quantise_rule.h"

namespace qvl {
namespace {

struct Extremes {
  float single = 0, pair = 0, four = 0;
  bool finite = true;
};

Extremes extremes_of(const float* x, int64_t length) {
  Extremes found;
  const auto at = [&](int64_t i) { return i < length ? x[i] : 0.0f; };
  for (int64_t i = 0; i < length; ++i) {
    found.finite = found.finite && std::isfinite(x[i]);
    found.single = std::max(found.single, std::abs(x[i]));
    found.pair = std::max(found.pair, std::abs(x[i] + at(i ^ 1)));
    // Those of one sign sum to half of what all and their magnitudes sum to.
    const float sum = (x[i] + at(i ^ 4)) + (at(i ^ 1) + at(i ^ 5));
    const float size = (std::abs(x[i]) + std::abs(at(i ^ 4))) + (std::abs(at(i ^ 1)) + std::abs(at(i ^ 5)));
    found.four = std::max(found.four, std::abs(sum) + size);
  }
  return found;
}

float scale_for(const Extremes& found, SumBound bound) {
  const float single = found.single * (1 / kLargestInteger);
  if (bound == SumBound::pairs) return std::max(single, found.pair * (1 / kLargestPair));
  if (bound == SumBound::fours) return std::max(single, found.four * (0.5f / kLargestFour));
  return single;
}

int8_t rounded(float value, float limit) {
  return static_cast<int8_t>(std::lrint(std::clamp(value, -limit, limit)));
}

// The sums that the products need to take offsets of weights back.
void write_sums(const QuantisedPlane& plane, int64_t at, SumBound bound) {
  const int8_t* q = plane.values + at * kGroup;
  int32_t total = 0;
  for (int64_t s = 0; s < kGroup / kSubgroup; ++s) {
    int32_t low = 0, high = 0;
    for (int64_t i = 0; i < kSubgroup; ++i) {
      const bool in_low = bound == SumBound::fours ? i < kSubgroup / 2 : i % 4 < 2;
      (in_low ? low : high) += q[s * kSubgroup + i];
    }
    total += low + high;
    const int16_t halves[2] = {static_cast<int16_t>(-8 * low), static_cast<int16_t>(-8 * high)};
    std::memcpy(plane.pairs + at * (kGroup / kSubgroup) + s, halves, sizeof halves);
  }
  plane.sums[at] = -128 * total;
}

void write_rest(const float* x, int64_t length, int64_t at, const QuantisedRows& out) {
  const float scale = out.main.scales[at];
  const float inverse = kRestSteps / scale;
  const int8_t* q = out.main.values + at * kGroup;
  int8_t* rest = out.rest.values + at * kGroup;
  std::fill_n(rest, kGroup, int8_t{0});
  for (int64_t i = 0; i < length; ++i) rest[i] = rounded(std::fma(-scale, q[i], x[i]) * inverse, 64);
  out.rest.scales[at] = scale * (1 / kRestSteps);
  write_sums(out.rest, at, out.sum_bound);
}

void quantise_group(const float* x, int64_t length, int64_t at, const QuantisedRows& out) {
  const Extremes found = extremes_of(x, length);
  const float scale = scale_for(found, out.sum_bound);
  int8_t* q = out.main.values + at * kGroup;
  std::fill_n(q, kGroup, int8_t{0});
  out.has_rest[at] = 0;
  const bool overflows = !std::isfinite(scale) || !found.finite;
  const bool zero = !overflows && scale < kSmallestScale;
  out.main.scales[at] = overflows ? std::numeric_limits<float>::quiet_NaN() : zero ? 0.0f : scale;
  int64_t squares = 0;
  if (!overflows && !zero) {
    const float inverse = 1 / scale;
    for (int64_t i = 0; i < length; ++i) {
      q[i] = rounded(x[i] * inverse, kLargestInteger);
      squares += q[i] * q[i];
    }
  }
  write_sums(out.main, at, out.sum_bound);
  if (overflows || zero || !wants_rest(out.rest_rule, squares, length)) return;
  out.has_rest[at] = 1;
  write_rest(x, length, at, out);
}

}  // namespace

void quantise_row_scalar(const float* x, int64_t row, const QuantisedRows& out) {
  for (int64_t g = 0; g < groups_of(out.inputs); ++g) {
    quantise_group(x + g * kGroup, std::min(kGroup, out.inputs - g * kGroup), group_row(out, g, row), out);
  }
}

QuantiseRow quantise_row(Isa isa) {
  static constexpr IsaRow<QuantiseRow> kList[] = {{Isa::scalar, quantise_row_scalar},
                                                  {Isa::avx2, quantise_row_avx2}};
  return entry_for(kList, isa);
}

}  // namespace qvl
