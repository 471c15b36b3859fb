#include "optimizer/work.h"

namespace qvl {

VisionWork vision_work(const VisionConfig& config, int64_t patches) {
  const auto hidden = static_cast<double>(config.hidden_size), n = static_cast<double>(patches);
  const double block = 4 * hidden * hidden + 2 * hidden * static_cast<double>(config.intermediate_size);
  const auto merged = static_cast<double>(config.merged_width());
  const double merger = merged * merged + merged * static_cast<double>(config.out_hidden_size);
  const double mergers = 1 + static_cast<double>(config.deepstack_visual_indexes.size());
  const auto depth = static_cast<double>(config.depth);
  const double linear = static_cast<double>(config.patch_values()) * hidden + depth * block +
                        mergers * merger * hidden / merged;
  return {.linear = 2 * n * linear, .attention = depth * 4 * hidden * n * n};
}

double layer_weights(const TextConfig& config) {
  const auto hidden = static_cast<double>(config.hidden_size);
  const auto attention = static_cast<double>(2 * config.query_width() + 2 * config.kv_width());
  return hidden * (attention + 3 * static_cast<double>(config.intermediate_size)) *
         static_cast<double>(config.num_hidden_layers);
}

double attention_work(const TextConfig& config, int64_t keys) {
  return 4 * static_cast<double>(config.query_width()) * static_cast<double>(config.num_hidden_layers) *
         static_cast<double>(keys);
}

}  // namespace qvl
