// Rotary position embedding, half-split ("NeoX") pairs.
#pragma once

#include <cstdint>

namespace qvl {

/// Rotates one head in place: pair (x[i], x[i + half]) by the angle whose cosine and sine are cos[i] and
/// sin[i], i < half = head_dim / 2.
void rope_scalar(float* head, int64_t half, const float* cos, const float* sin);

}  // namespace qvl
