#include "kernels/isa.h"

#include <array>

namespace qvl {
namespace {

struct Entry {
  Isa isa, base;
  std::string_view name;
};
constexpr std::array<Entry, 4> kEntries = {{{Isa::scalar, Isa::scalar, "scalar"},
                                            {Isa::avx2, Isa::scalar, "avx2"},
                                            {Isa::avxvnni, Isa::avx2, "avxvnni"},
                                            {Isa::avx512, Isa::avx2, "avx512"}}};
constexpr std::array<Isa, 4> kAll = {Isa::scalar, Isa::avx2, Isa::avxvnni, Isa::avx512};

#if defined(__x86_64__)
// CPUID leaf 7, subleaf 1, EAX bit 4; compilers' run-time libraries of 2022 do not know its name.
bool has_avx_vnni() {
  unsigned a = 7, b = 0, c = 1, d = 0;
  asm("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return (a & (1U << 4)) != 0;
}
#endif

}  // namespace

std::string_view name_of(Isa isa) { return kEntries[static_cast<size_t>(isa)].name; }

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
  const bool avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  switch (isa) {
    case Isa::scalar:
      return true;
    case Isa::avx2:
      return avx2;
    case Isa::avxvnni:
      return avx2 && has_avx_vnni();
    case Isa::avx512:
      return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vnni");
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

Isa base_of(Isa isa) { return kEntries[static_cast<size_t>(isa)].base; }

}  // namespace qvl
