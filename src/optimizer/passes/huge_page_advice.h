// Whether advice for huge pages changes anything on a machine.
#pragma once

#include <optional>
#include <string>

#include "optimizer/hardware_facts.h"

namespace qvl {

/// Why it changes nothing; nothing where it does.
std::optional<std::string> why_no_huge_page_advice(const HardwareFacts& hardware);

}  // namespace qvl
