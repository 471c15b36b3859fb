// The numbers of a normalisation.
#pragma once

#include <vector>

namespace qvl {

/// The bias is empty for RMS norms.
struct Norm {
  std::vector<float> weight, bias;  // [width]
};

}  // namespace qvl
