// Whether there is room for all that something will take, told in one line where there is not.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "memory/ledger.h"

namespace qvl {

/// "WHO 2.31 GiB (kv 0.90, vision 1.10, pixels 0.31), 1.75 GiB are free of the limit of 2.00 GiB
/// (--memory-limit)": the sum of `needs`, every part, what is left for them of `cap` bytes. `who` ends with
/// its verb: "request: needs".
std::string shortage_of(std::string_view who, std::span<const MemoryNeed> needs, uint64_t free, uint64_t cap);

/// Sets all of `needs` down, after reclaimers were asked, or throws MemoryShortage with what
/// shortage_of tells.
std::vector<Reservation> admit(Ledger& ledger, std::string_view who, std::span<const MemoryNeed> needs);

}  // namespace qvl
