#include "memory/admission.h"

#include <string>
#include <utility>

#include "base/error.h"

namespace qvl {
namespace {

struct Unit {
  std::string_view name;
  double bytes;
};

// The largest that gives at least 1.
Unit unit_of(uint64_t bytes) {
  if (bytes >= uint64_t{1} << 30) return {"GiB", 1 << 30};
  if (bytes >= uint64_t{1} << 20) return {"MiB", 1 << 20};
  return {"KiB", 1 << 10};
}

std::string number_in(const Unit& unit, uint64_t bytes) {
  return fmt::format("{:.2f}", static_cast<double>(bytes) / unit.bytes);
}

std::string amount(uint64_t bytes) {
  const Unit unit = unit_of(bytes);
  return fmt::format("{} {}", number_in(unit, bytes), unit.name);
}

}  // namespace

std::string shortage_of(std::string_view who, std::span<const MemoryNeed> needs, uint64_t free,
                        uint64_t cap) {
  const uint64_t asked = sum_of(needs);
  std::string parts;
  for (const MemoryNeed& need : needs) {
    if (need.bytes == 0) continue;
    parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", name_of(need.part),
                         number_in(unit_of(asked), need.bytes));
  }
  return fmt::format("{} {} ({}), {} are free of the limit of {} (--memory-limit)", who, amount(asked), parts,
                     amount(free), amount(cap));
}

std::vector<Reservation> admit(Ledger& ledger, std::string_view who, std::span<const MemoryNeed> needs) {
  auto granted = ledger.reserve(needs);
  if (granted) return *std::move(granted);
  fail_short_of_memory("{}", shortage_of(who, needs, granted.refusal().free_bytes, ledger.cap_bytes()));
}

}  // namespace qvl
