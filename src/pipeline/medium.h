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

/// Its size in the prompt is known; pixels and features come when the prompt is known to fit. Movable.
struct Medium {
  enum class Kind { image, video };
  Kind kind = Kind::image;
  std::filesystem::path path = {};
  std::string name = {};  ///< the path, for messages
  PatchGrid grid = {};
  std::vector<std::string> step_times = {};  ///< "<0.2 seconds>" per temporal step of a video

  uint64_t cutting_bytes = 0;  ///< of a picture: the most that decoding and cutting it hold
  PatchedMedia patches = {};   ///< until they are encoded
  VisionFeatures features = {};
  bool encoded = false;
};

/// Reads the header of a picture.
Medium read_image_medium(const std::filesystem::path& path, detail::Runtime& runtime);
/// Decodes a video: no header tells for certain how many frames it has.
Medium read_video_medium(const std::filesystem::path& path, detail::Runtime& runtime);

/// Decodes, resizes and cuts a picture, of which nothing but the header has been looked at, or a video whose
/// features were forgotten; else it has its patches already. Throws Error{media} where the file is another
/// one by now.
void cut_patches(Medium& medium, detail::Runtime& runtime);

/// Computes the features of cut patches and drops those. `progress` may stop the work by returning false:
/// then the medium stays as it was, and the result is false.
bool encode_medium(Medium& medium, detail::Runtime& runtime, const std::function<bool(double)>& progress);

/// Bytes of memory that its features take.
uint64_t feature_bytes(const Medium& medium) noexcept;
/// Drops its features, to be computed again where they are needed. Bytes given back.
uint64_t forget_features(Medium& medium) noexcept;

}  // namespace qvl
