// How much there is to compute: multiplications and additions by stage. Norms and pointwise functions are not
// counted.
#pragma once

#include <cstdint>

#include "files/model_config.h"

namespace qvl {

/// Operations on one picture or one temporal step of a video.
struct VisionWork {
  double linear = 0, attention = 0;
};
VisionWork vision_work(const VisionConfig& config, int64_t patches);

/// Weights of all decoder layers, without the output head: a token of a prompt takes two operations for each.
double layer_weights(const TextConfig& config);
/// Operations of one token's attention over `keys` tokens.
double attention_work(const TextConfig& config, int64_t keys);

}  // namespace qvl
