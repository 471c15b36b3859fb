// What outcomes of an answer are called in JSON, in Python and on the command line.
#include "base/error.h"
#include "qvl/qvl.h"

namespace qvl {

std::string_view name_of(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop:
      return "stop";
    case FinishReason::length:
      return "length";
    case FinishReason::cancelled:
      return "cancelled";
    case FinishReason::deadline:
      return "deadline";
  }
  QVL_CHECK(false);
}

std::string_view name_of(FeatureOrigin origin) {
  switch (origin) {
    case FeatureOrigin::computed:
      return "computed";
    case FeatureOrigin::memory:
      return "memory";
    case FeatureOrigin::disk:
      return "disk";
    case FeatureOrigin::not_needed:
      return "not_needed";
  }
  QVL_CHECK(false);
}

}  // namespace qvl
