#include "kernels/isa.h"

#include <array>

namespace qvl {
namespace {

struct Entry {
  Isa isa;
  std::string_view name;
};
constexpr std::array<Isa, 2> kAll = {Isa::scalar, Isa::avx2};
constexpr std::array<Entry, 2> kEntries = {{{Isa::scalar, "scalar"}, {Isa::avx2, "avx2"}}};

}  // namespace

std::string_view name_of(Isa isa) {
  for (const Entry& entry : kEntries) {
    if (entry.isa == isa) return entry.name;
  }
  return "";
}

std::optional<Isa> isa_named(std::string_view name) {
  for (const Entry& entry : kEntries) {
    if (entry.name == name) return entry.isa;
  }
  return std::nullopt;
}

std::span<const Isa> all_isas() { return kAll; }

bool supported(Isa isa) {
#if defined(__x86_64__)
  // The compiler's run-time library asks the operating system too (XGETBV).
  if (isa == Isa::avx2) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  }
#endif
  return isa == Isa::scalar;
}

Isa best_isa() {
  Isa best = Isa::scalar;
  for (Isa isa : kAll) {
    if (supported(isa)) best = isa;
  }
  return best;
}

}  // namespace qvl
