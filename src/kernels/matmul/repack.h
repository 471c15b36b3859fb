// Blocks of GGUF files that hold the levels of one of our forms: their integers are taken over, not decoded
// to floats and quantised a second time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/matmul/blocks.h"
#include "kernels/matmul/packed_weight.h"
#include "tensor/dtype.h"

namespace qvl {

/// Whether weights stored as `stored` can be taken over into `form`: Q4_0 into q4, Q6_K into q7.
bool can_repack(DType stored, WeightForm form);

/// Whether packing into `form` can keep what rounding leaves of columns: 4 bits have no room for it, and
/// nothing is left where the levels of all parts are taken over. `stored`: the member of a part that has its
/// type.
template <typename Parts, typename Member>
bool keeps_rests(const Parts& parts, Member stored, WeightForm form) {
  return form != WeightForm::q4 && !std::all_of(parts.begin(), parts.end(), [&](const auto& part) {
           return can_repack(part.*stored, form);
         });
}

/// One block of a panel as it is stored. rows: [outputs <= kPanel] pointers to `length` <= kGroup weights
/// each, a whole number of stored blocks; what is missing becomes zero weights.
struct StoredRows {
  const std::byte* rows[kPanel];
  int64_t outputs;
  int64_t length;
};

/// The same levels. The scales, of 32 weights each as in the file, become multiples of the row's unit: off by
/// at most 1/254 of the row's largest scale. One that is not finite poisons its row.
void repack_q4_0(const StoredRows& in, Q4Block& out);
/// The same weights to the last bit: 6-bit levels and factors of 16 weights in units of 256 fit as they are.
void repack_q6_k(const StoredRows& in, Q7Block& out);

}  // namespace qvl
