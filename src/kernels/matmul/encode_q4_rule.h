// What the search for 4-bit scales tries, shared by all instruction sets.
#pragma once

namespace qvl {

/// Levels that the largest value of a subgroup takes; beyond -8 and 7 it is cut, in favour of the many.
constexpr float kTriedQ4Levels[] = {-7.2f, -7.7f, -8.2f, -8.8f, -9.5f, -10.4f,
                                    6.4f,  6.9f,  7.4f,  8.0f,  8.8f,  9.8f};

}  // namespace qvl
