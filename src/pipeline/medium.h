// One picture or video of a request, from its file to its features.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "media/image.h"
#include "media/video.h"
#include "model/qwen3_vl.h"

namespace qvl {

namespace detail {
struct Runtime;
}

/// Read, its size in the prompt known; features come later, when the prompt is known to fit. Movable.
struct Medium {
  enum class Kind { image, video };
  Kind kind = Kind::image;
  std::string name = {};  ///< the file, for messages
  PatchGrid grid = {};
  std::vector<std::string> step_times = {};  ///< "<0.2 seconds>" per temporal step of a video

  Image image = {};           ///< pixels of a picture until they are cut: an eighth of its patches
  PatchedMedia patches = {};  ///< until they are encoded
  VisionFeatures features = {};
  bool encoded = false;
};

Medium read_image_medium(const std::filesystem::path& path, const detail::Runtime& runtime);
Medium read_video_medium(const std::filesystem::path& path, const detail::Runtime& runtime);

/// Resizes and cuts a picture; a video has its patches already.
void cut_patches(Medium& medium, const detail::Runtime& runtime);

/// Computes the features of cut patches and drops those. `progress` may stop the work by returning false:
/// then the medium stays as it was, and the result is false.
bool encode_medium(Medium& medium, detail::Runtime& runtime, const std::function<bool(double)>& progress);

}  // namespace qvl
