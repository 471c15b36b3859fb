#include "argument_names.h"

#include <string_view>

namespace qvl::python {
namespace {

struct Wording {
  std::string_view option, argument;
};

// Ends of messages, so that nothing a user wrote is taken for one.
constexpr Wording kEnds[] = {{" (--memory-limit)", " (memory_limit)"}, {" with --mmproj", " with mmproj"}};
constexpr Wording kBegins[] = {{"disable-pass: ", "disabled_passes: "}};
// Before the end of the message that it begins.
constexpr Wording kLimitTooHigh = {" (--memory-limit asks for ", " (memory_limit asks for "};

}  // namespace

std::string with_argument_names(std::string message) {
  for (const Wording& each : kBegins) {
    if (message.starts_with(each.option)) message.replace(0, each.option.size(), each.argument);
  }
  for (const Wording& each : kEnds) {
    if (!message.ends_with(each.option)) continue;
    message.replace(message.size() - each.option.size(), each.option.size(), each.argument);
  }
  const size_t at = message.rfind(kLimitTooHigh.option);
  if (at != std::string::npos) message.replace(at, kLimitTooHigh.option.size(), kLimitTooHigh.argument);
  return message;
}

}  // namespace qvl::python
