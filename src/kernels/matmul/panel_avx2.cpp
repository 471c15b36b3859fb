// The panel product with AVX2 and FMA: six rows by sixteen outputs in twelve registers.
#include <immintrin.h>

#include "kernels/matmul/stored_matmul.h"

namespace qvl {
namespace {

template <int R>
void multiply(const PanelArgs& args) {
  __m256 low[R], high[R];
  for (int r = 0; r < R; ++r) low[r] = high[r] = _mm256_setzero_ps();
  for (int64_t k = 0; k < args.inputs; ++k) {
    const __m256 w0 = _mm256_loadu_ps(args.panel + k * kStoredPanel);
    const __m256 w1 = _mm256_loadu_ps(args.panel + k * kStoredPanel + 8);
    for (int r = 0; r < R; ++r) {
      const __m256 x = _mm256_broadcast_ss(args.x + r * args.inputs + k);
      low[r] = _mm256_fmadd_ps(x, w0, low[r]);
      high[r] = _mm256_fmadd_ps(x, w1, high[r]);
    }
  }
  for (int r = 0; r < R; ++r) {
    _mm256_storeu_ps(args.sums + r * kStoredPanel, low[r]);
    _mm256_storeu_ps(args.sums + r * kStoredPanel + 8, high[r]);
  }
}

}  // namespace

void panel_avx2(const PanelArgs& args) {
  switch (args.rows) {
    case 1:
      return multiply<1>(args);
    case 2:
      return multiply<2>(args);
    case 3:
      return multiply<3>(args);
    case 4:
      return multiply<4>(args);
    case 5:
      return multiply<5>(args);
    default:
      return multiply<kPanelRows>(args);
  }
}

}  // namespace qvl
