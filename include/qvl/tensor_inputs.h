// Prompts as a processor of Hugging Face makes them: ids and patches in place of texts and files.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace qvl {

/// One picture or video, cut: values of the shape beside them, row-major.
struct PatchValues {
  std::vector<float> values = {};  ///< [patches, values_per_patch], patches of a merged token side by side
  int64_t patches = 0, values_per_patch = 0;
  int64_t grid_t = 0, grid_h = 0, grid_w = 0;
};

/// One prompt: its ids, which have a placeholder for each token of the media.
struct TensorInputs {
  std::vector<int32_t> ids = {};
  std::vector<PatchValues> images = {}, videos = {};  ///< each in the order of their placeholders
};

/// All pictures or all videos of a batch, one behind another. Borrowed.
struct PatchBatch {
  std::span<const float> values = {};  ///< [patches, values_per_patch]: pixel_values, pixel_values_videos
  int64_t patches = 0, values_per_patch = 0;
  std::span<const int64_t> grids = {};  ///< [media, 3], each t, h, w: image_grid_thw, video_grid_thw
};

/// What a processor returns for several prompts. Borrowed.
struct TensorBatch {
  int64_t rows = 0, columns = 0;
  std::span<const int64_t> ids = {};             ///< [rows, columns]: input_ids
  std::span<const int64_t> attention_mask = {};  ///< the same, 1 a token, 0 padding; empty: no padding
  PatchBatch images = {}, videos = {};
};

/// A prompt of a batch.
struct BatchedPrompt {
  TensorInputs inputs = {};  ///< without padding
  int64_t first = 0;         ///< the column of its first token
};

}  // namespace qvl
