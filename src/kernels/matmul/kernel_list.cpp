// The list of matrix products. A new instruction set adds its rows here, and is tested and measured with
// them.
#include "base/error.h"
#include "kernels/matmul/blocked_matmul.h"
#include "kernels/matmul/packed_weight.h"
#include "kernels/matmul/stored_matmul.h"
#include "kernels/matmul/tile.h"

namespace qvl {
namespace {

constexpr MatmulKernel kKernels[] = {
    stored_scalar_kernel(),
    stored_kernel<kDotAvx2>("stored/avx2", Isa::avx2),
    stored_kernel<kDotAvx512>("stored/avx512", Isa::avx512),
    blocked_kernel<tile_q8_scalar>("q8/scalar", WeightForm::q8, Isa::scalar),
    blocked_kernel<tile_q8_avx2>("q8/avx2", WeightForm::q8, Isa::avx2),
    blocked_kernel<tile_q8_avxvnni>("q8/avxvnni", WeightForm::q8, Isa::avxvnni),
    blocked_kernel<tile_q8_avx512>("q8/avx512", WeightForm::q8, Isa::avx512),
    blocked_kernel<tile_q7_scalar>("q7/scalar", WeightForm::q7, Isa::scalar),
    blocked_kernel<tile_q7_avx2>("q7/avx2", WeightForm::q7, Isa::avx2),
    blocked_kernel<tile_q4_scalar>("q4/scalar", WeightForm::q4, Isa::scalar),
    blocked_kernel<tile_q4_avx2>("q4/avx2", WeightForm::q4, Isa::avx2),
    blocked_kernel<tile_q4_avxvnni>("q4/avxvnni", WeightForm::q4, Isa::avxvnni),
    blocked_kernel<tile_q4_avx512, 2>("q4/avx512", WeightForm::q4, Isa::avx512),
};

}  // namespace

std::string_view name_of(WeightForm form) {
  switch (form) {
    case WeightForm::q8:
      return "q8";
    case WeightForm::q7:
      return "q7";
    case WeightForm::q4:
      return "q4";
    case WeightForm::stored:
      break;
  }
  return "stored";
}

SumBound sum_bound(WeightForm form) {
  switch (form) {
    case WeightForm::q8:
      return SumBound::pairs;
    case WeightForm::q7:
      return SumBound::fours;
    case WeightForm::q4:
    case WeightForm::stored:
      break;
  }
  return SumBound::singles;
}

WeightForm many_rows_form(Isa isa) {
  // Dot products of bytes add 8 bits as fast as 7.
  return isa == Isa::avx2 ? WeightForm::q7 : WeightForm::q8;
}

std::span<const MatmulKernel> matmul_kernels() { return kKernels; }

const MatmulKernel& matmul_kernel(WeightForm form, Isa isa) {
  for (;; isa = base_of(isa)) {
    for (const MatmulKernel& kernel : kKernels) {
      if (kernel.form == form && kernel.isa == isa) return kernel;
    }
    QVL_CHECK(isa != Isa::scalar);
  }
}

std::span<const int32_t> used_part(std::span<const int32_t> repeated) {
  size_t count = 0;
  while (count < repeated.size() && repeated[count] >= 0) ++count;
  return repeated.first(count);
}

}  // namespace qvl
