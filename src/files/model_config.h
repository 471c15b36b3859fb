// The dimensions of a checkpoint, checked: everything the model, the optimizer and the planner need to know.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace qvl {

/// Fields of text_config. Names as in config.json.
struct TextConfig {
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab_size = 0;
  int64_t max_position_embeddings = 0;
  double rms_norm_eps = 1e-6;
  double rope_theta = 0;
  std::vector<int64_t> mrope_section;  ///< [t, h, w], sum = head_dim / 2
  bool tie_word_embeddings = false;

  int64_t query_width() const { return num_attention_heads * head_dim; }
  int64_t kv_width() const { return num_key_value_heads * head_dim; }
};

/// Fields of vision_config. Names as in config.json.
struct VisionConfig {
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t depth = 0;
  int64_t num_heads = 0;
  int64_t out_hidden_size = 0;
  int64_t in_channels = 3;
  int64_t patch_size = 16;
  int64_t temporal_patch_size = 2;
  int64_t spatial_merge_size = 2;
  int64_t num_position_embeddings = 0;  ///< a square number
  std::vector<int64_t>
      deepstack_visual_indexes;  ///< vision blocks, in the order of the decoder layers they feed
  double layer_norm_eps = 1e-6;  ///< not in config.json; mmproj files carry it

  int64_t head_dim() const { return hidden_size / num_heads; }
  int64_t patch_values() const { return in_channels * temporal_patch_size * patch_size * patch_size; }
  int64_t merged_width() const { return hidden_size * spatial_merge_size * spatial_merge_size; }
};

/// Token ids the prompt is built from.
struct SpecialTokens {
  int64_t image = 0;
  int64_t video = 0;
  int64_t vision_start = 0;
  int64_t vision_end = 0;
};

struct ModelConfig {
  TextConfig text;
  VisionConfig vision;
  bool has_vision = true;  ///< false for a text GGUF without its vision file
  SpecialTokens tokens;
};

/// Defaults for sampling and the tokens that end an answer.
struct GenerationConfig {
  bool do_sample = false;
  double temperature = 1.0;
  int64_t top_k = 0;  ///< 0: no limit
  double top_p = 1.0;
  double repetition_penalty = 1.0;
  std::vector<int64_t> eos_token_ids;
};

/// Pixel budget of preprocessor_config.json / video_preprocessor_config.json, and the normalisation.
struct PreprocessorConfig {
  int64_t min_pixels = 0;  ///< images: of one picture; videos: of all frames together
  int64_t max_pixels = 0;
  int64_t patch_size = 16;
  int64_t temporal_patch_size = 2;
  int64_t merge_size = 2;
  std::vector<double> image_mean = {0.5, 0.5, 0.5};
  std::vector<double> image_std = {0.5, 0.5, 0.5};
  double fps = 2.0;  ///< videos only, as are the frame limits
  int64_t min_frames = 4;
  int64_t max_frames = 768;
};

}  // namespace qvl
