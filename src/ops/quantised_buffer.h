// The memory behind QuantisedRows, kept from one product to the next.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/quantise/quantised_rows.h"

namespace qvl {

/// Grows to the largest shape asked for. Thread-compatible.
class QuantisedBuffer {
 public:
  /// Rows to be written; the former ones are gone. Stays where it is until the next call.
  const QuantisedRows& shape(int64_t rows, int64_t inputs, RestRule rest_rule = RestRule::outlying,
                             SumBound sum_bound = SumBound::pairs);

 private:
  struct Plane {
    std::vector<int8_t> values;
    std::vector<float> scales;
    std::vector<int32_t> sums, pairs;
    QuantisedPlane reserve(uint64_t group_rows);
  };

  Plane main_, rest_;
  std::vector<uint8_t> has_rest_;
  QuantisedRows rows_ = {};
};

}  // namespace qvl
