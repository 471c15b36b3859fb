// Loops that compilers see as straight code. Only for instruction-set sources; local to each.
#pragma once

namespace qvl {
namespace {

// Calls body<i>() for i in [0, N), unrolled before the compiler decides what it keeps in registers.
template <int N, int i = 0, typename Body>
[[gnu::always_inline]] inline void unrolled(const Body& body) {
  if constexpr (i < N) {
    body.template operator()<i>();
    unrolled<N, i + 1>(body);
  }
}

}  // namespace
}  // namespace qvl
