#include "ops/quantised_buffer.h"

#include "base/error.h"

namespace qvl {
namespace {

// Gives all memory of a vector back; it keeps its home.
template <typename Value>
void drop(HomeVector<Value>& values) {
  values = HomeVector<Value>(values.get_allocator());
}

template <typename Value>
Value* at_least(HomeVector<Value>& values, uint64_t count) {
  if (values.size() < count) {
    drop(values);  // the old memory goes before the new comes
    values.resize(count);
  }
  return values.data();
}

}  // namespace

QuantisedPlane QuantisedBuffer::Plane::reserve(uint64_t group_rows) {
  return {.values = at_least(values, group_rows * kGroup),
          .scales = at_least(scales, group_rows),
          .sums = at_least(sums, group_rows),
          .pairs = at_least(pairs, group_rows * (kGroup / kSubgroup))};
}

void QuantisedBuffer::Plane::clear() {
  drop(values);
  drop(scales);
  drop(sums);
  drop(pairs);
}

void QuantisedBuffer::clear() {
  main_.clear();
  rest_.clear();
  drop(has_rest_);
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
