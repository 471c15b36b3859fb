// Instruction sets that kernels are written for, and which of them this processor has.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace qvl {

enum class Isa {
  scalar,
  avx2,     ///< with FMA and F16C
  avxvnni,  ///< AVX2 and 8-bit dot products of 256 bits
  avx512,   ///< F, BW, DQ, VL and VNNI
};

std::string_view name_of(Isa isa);  ///< "scalar", "avx2", "avxvnni", "avx512"
/// Nothing where there is no instruction set of that name.
std::optional<Isa> isa_named(std::string_view name);
/// All; of those a processor has, the last is the best.
std::span<const Isa> all_isas();
/// Whether processor and operating system offer everything kernels of `isa` use.
bool supported(Isa isa);
Isa best_isa();
/// The set that `isa` extends: its kernels serve where there are none for `isa`. Scalar for scalar.
Isa base_of(Isa isa);

/// One line of an operation's list: what serves an instruction set.
template <typename Entry>
struct IsaRow {
  Isa isa;
  Entry entry;
};

/// The entry for `isa`, or for the nearest set that it extends. Every list has one for scalar.
template <typename Entry, size_t count>
const Entry& entry_for(const IsaRow<Entry> (&rows)[count], Isa isa) {
  for (;; isa = base_of(isa)) {
    for (const IsaRow<Entry>& row : rows) {
      if (row.isa == isa) return row.entry;
    }
  }
}

}  // namespace qvl
