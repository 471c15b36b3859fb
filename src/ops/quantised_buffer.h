// The memory behind QuantisedRows, kept from one product to the next.
#pragma once

#include <cstdint>

#include "kernels/quantise/quantised_rows.h"
#include "memory/memory_home.h"

namespace qvl {

/// Grows to the largest shape asked for. Thread-compatible.
class QuantisedBuffer {
 public:
  explicit QuantisedBuffer(MemoryHome home = {}) : main_(home), rest_(home), has_rest_(home) {}

  /// Rows to be written; the former ones are gone. Stays where it is until the next call.
  const QuantisedRows& shape(int64_t rows, int64_t inputs, RestRule rest_rule = RestRule::outlying,
                             SumBound sum_bound = SumBound::pairs);
  /// Gives all memory back; rows that were handed out are gone.
  void clear();

 private:
  struct Plane {
    HomeVector<int8_t> values;
    HomeVector<float> scales;
    HomeVector<int32_t> sums, pairs;

    explicit Plane(MemoryHome home) : values(home), scales(home), sums(home), pairs(home) {}
    QuantisedPlane reserve(uint64_t group_rows);
    void clear();
  };

  Plane main_, rest_;
  HomeVector<uint8_t> has_rest_;
  QuantisedRows rows_ = {};
};

}  // namespace qvl
