#include "optimizer/passes/huge_page_advice.h"

namespace qvl {

std::optional<std::string> why_no_huge_page_advice(const HardwareFacts& hardware) {
  switch (hardware.huge_pages) {
    case HugePageSupport::never:
      return "the system gives none";
    case HugePageSupport::always:
      return "the system gives them without advice";
    case HugePageSupport::on_advice:
      break;
  }
  return std::nullopt;
}

}  // namespace qvl
