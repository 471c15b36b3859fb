#include "ops/quantised_buffer.h"

#include "base/error.h"

namespace qvl {
namespace {

template <typename Value>
Value* at_least(std::vector<Value>& values, uint64_t count) {
  if (values.size() < count) values = std::vector<Value>(count);
  return values.data();
}

}  // namespace

QuantisedPlane QuantisedBuffer::Plane::reserve(uint64_t group_rows) {
  return {.values = at_least(values, group_rows * kGroup),
          .scales = at_least(scales, group_rows),
          .sums = at_least(sums, group_rows),
          .pairs = at_least(pairs, group_rows * (kGroup / kSubgroup))};
}

const QuantisedRows& QuantisedBuffer::shape(int64_t rows, int64_t inputs, RestRule rest_rule,
                                            SumBound sum_bound) {
  QVL_CHECK(rows >= 0 && inputs > 0);
  const auto group_rows = static_cast<uint64_t>(rows * groups_of(inputs));
  rows_ = {.rows = rows,
           .inputs = inputs,
           .main = main_.reserve(group_rows),
           .rest = rest_.reserve(group_rows),
           .has_rest = at_least(has_rest_, group_rows),
           .rest_rule = rest_rule,
           .sum_bound = sum_bound};
  return rows_;
}

}  // namespace qvl
