#include "optimizer/passes/huge_page_advice.h"

namespace qvl {

std::optional<std::string> why_no_huge_page_advice(const HardwareFacts& hardware) {
  switch (hardware.huge_pages) {
    case HugePages::never:
      return "the system gives none";
    case HugePages::always:
      return "the system gives them without advice";
    case HugePages::on_advice:
      break;
  }
  return std::nullopt;
}

}  // namespace qvl
