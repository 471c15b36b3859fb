// Four floats side by side, for the scalar searches of scales. Not for sources of one instruction set.
#pragma once

#include <array>

namespace qvl {

/// A vector type, which compilers keep in registers.
using Lanes [[gnu::vector_size(16)]] = float;

inline Lanes all(float value) { return Lanes{} + value; }

/// Of even and of odd groups of four, which together are eight lanes.
inline float sum(const std::array<Lanes, 2>& halves) {
  const Lanes v = halves[0] + halves[1];
  return (v[0] + v[2]) + (v[1] + v[3]);
}

/// Within [low, high], rounded to nearest even: adding 1.5 * 2^23 leaves no room for a fraction.
inline Lanes level_of(Lanes x, float low, float high) {
  const Lanes capped = x < all(low) ? all(low) : (x > all(high) ? all(high) : x);
  return (capped + 12'582'912.0f) - 12'582'912.0f;
}

}  // namespace qvl
