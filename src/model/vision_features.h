// What the vision tower makes of one picture or video.
#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace qvl {

struct VisionFeatures {
  Tensor merged;                  // [tokens, out_hidden_size]
  std::vector<Tensor> deepstack;  // per level [tokens, out_hidden_size]
};

}  // namespace qvl
