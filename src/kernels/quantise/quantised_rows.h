// Activations as 8-bit integers: what the integer matrix products read.
#pragma once

#include <cstdint>

namespace qvl {

constexpr int64_t kGroup = 256;    ///< consecutive inputs that share a scale
constexpr int64_t kSubgroup = 32;  ///< inputs whose sum is kept (kGroup / kSubgroup sums of a group)

constexpr int64_t groups_of(int64_t inputs) { return (inputs + kGroup - 1) / kGroup; }

/// Integers of rows, group by group, so that neighbouring rows of a group are neighbours in memory. Borrowed.
///
/// Values are in [-127, 127] and keep to a SumBound.
struct QuantisedPlane {
  int8_t* values;  // [groups][rows][kGroup], zero beyond the inputs
  float* scales;   // [groups][rows]: value = scale * integer
  int32_t* sums;   // [groups][rows]: -128 * sum of the integers
  int32_t* pairs;  // [groups][rows][kGroup / kSubgroup]: two int16, -8 * sum over one half of a subgroup
                   // (low) and the other (high). SumBound::fours: over its first 16 integers and the others;
                   // else over those at 4 j, 4 j + 1 and those at 4 j + 2, 4 j + 3
};

/// What values keep to beside their own limit, so that products with unsigned weights, added in 16 bits, fit
/// (AVX2's VPMADDUBSW adds two and saturates).
enum class SumBound : uint8_t {
  singles,  ///< nothing more: weights of 4 bits
  pairs,    ///< of two neighbours (2 i, 2 i + 1) of one sign the sum is in [-128, 128]: weights of 8 bits
  fours,    ///< of (8 i, 8 i + 1, 8 i + 4, 8 i + 5) and (8 i + 2, ...) those of one sign sum to [-258, 258]:
            ///< weights of 7 bits, two steps added
};

/// What the second plane holds.
enum class RestRule : uint8_t {
  outlying,  ///< groups that single large values dominate: the largest is more than 6 times the root mean
             ///< square
  extreme,   ///< more than 12 times: for 4-bit weights, whose own rounding is 3 times that of such inputs or
             ///< more
  all,       ///< every group: 15 bits a value, at twice the work
};

/// Rows in two planes. The second holds what rounding left of the groups that `rest_rule` names (`has_rest`);
/// for other groups it is not written. x = main + (has_rest ? rest : 0)
struct QuantisedRows {
  int64_t rows, inputs;
  QuantisedPlane main, rest;
  uint8_t* has_rest;  // [groups][rows]
  RestRule rest_rule = RestRule::outlying;
  SumBound sum_bound = SumBound::pairs;
};

/// Where one row of one group lies.
constexpr int64_t group_row(const QuantisedRows& x, int64_t group, int64_t row) {
  return group * x.rows + row;
}

}  // namespace qvl
