// Instruction sets that kernels are written for, and which of them this processor has.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace qvl {

/// In ascending order: a processor that has one has those before it.
enum class Isa { scalar, avx2 };

std::string_view name_of(Isa isa);  ///< "scalar", "avx2"
/// Nothing where there is no instruction set of that name.
std::optional<Isa> isa_named(std::string_view name);
/// All, in ascending order.
std::span<const Isa> all_isas();
/// Whether processor and operating system offer everything kernels of `isa` use (avx2: AVX2, FMA, F16C).
bool supported(Isa isa);
Isa best_isa();

}  // namespace qvl
