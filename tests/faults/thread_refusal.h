// A system at its limit of threads, for the whole process.
#pragma once

namespace qvl::faults {

enum class Refusing { once, from_then_on };

/// From now on the `k`-th thread that anybody starts, counted from 1, is refused with EAGAIN.
void refuse_threads(int k, Refusing refusing);
/// Refuses none any more. Returns how many were asked for since refuse_threads.
int allow_threads();

}  // namespace qvl::faults
