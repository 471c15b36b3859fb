// What makes a set of dimensions a Qwen3-VL this program can run, whatever file they came from. The limits
// keep every later product of dimensions within 64 bits.
#pragma once

#include <cstdint>
#include <string>

#include "files/model_config.h"

namespace qvl {

struct IntegerRange {
  int64_t min;
  int64_t max;
};

namespace allowed {
inline constexpr IntegerRange width{1, 65536};  ///< hidden sizes
inline constexpr IntegerRange intermediate_size{1, 1 << 20};
inline constexpr IntegerRange layers{1, 1024};
inline constexpr IntegerRange heads{1, 1024};
inline constexpr IntegerRange head_dim{2, 1024};
inline constexpr IntegerRange vocab_size{1, 1 << 22};
inline constexpr IntegerRange positions{1, 1 << 24};
inline constexpr IntegerRange section{0, 512};
inline constexpr IntegerRange in_channels{3, 3};  ///< pictures are decoded to RGB
inline constexpr IntegerRange patch_size{4, 64};
inline constexpr IntegerRange temporal_patch_size{2, 2};
inline constexpr IntegerRange merge_size{2, 2};
inline constexpr IntegerRange position_embeddings{1, 1 << 20};
inline constexpr double min_eps = 1e-12, max_eps = 0.1;
inline constexpr double min_theta = 1, max_theta = 1e12;
}  // namespace allowed

/// Under which names a file keeps the fields that are compared with one another, for messages.
struct TextKeys {
  std::string file;
  std::string num_attention_heads, num_key_value_heads, head_dim, mrope_section;
};
struct VisionKeys {
  std::string file;
  std::string hidden_size, num_heads, out_hidden_size, num_position_embeddings, deepstack_visual_indexes;
};

/// Relations between fields that are each within their range. Throw Error{model_file} "FILE: KEY: ...".
void check_text(const TextConfig& text, const TextKeys& keys);
void check_vision(const VisionConfig& vision, const TextConfig& text, const VisionKeys& keys);

}  // namespace qvl
