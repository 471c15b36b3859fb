// One picture or video of a request, from its file to its features.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "media/image.h"
#include "media/video.h"
#include "model/qwen3_vl.h"
#include "pipeline/cache/content_key.h"
#include "pipeline/cache/feature_cache.h"
#include "qvl/picture.h"
#include "qvl/qvl.h"

namespace qvl {

namespace detail {
struct Runtime;
}

/// Its size in the prompt is known; pixels and features come when the prompt is known to fit. Movable.
struct Medium {
  enum class Kind { image, video };
  Kind kind = Kind::image;
  std::filesystem::path path = {};         ///< the name of a picture that is no file
  std::string name = {};                   ///< the path, for messages
  std::optional<Picture> in_memory = {};   ///< a picture that is no file
  std::optional<int64_t> max_tokens = {};  ///< what made it smaller: Turn::max_image_tokens
  Size size = {};                          ///< of the file's pixels; of a picture before it is turned upright
  PatchGrid grid = {};
  std::vector<std::string> step_times = {};  ///< "<0.2 seconds>" per temporal step of a video

  ContentKey key = {};           ///< of its bytes and all else that its features depend on
  uint64_t cutting_bytes = 0;    ///< of a picture: the most that decoding and cutting it hold
  PatchedMedia patches = {};     ///< until they are encoded
  SharedFeatures features = {};  ///< null until they are known
  FeatureOrigin origin = FeatureOrigin::not_needed;  ///< of features, the last time they were needed

  int64_t tokens(int64_t merge) const { return grid.t * grid.tokens_per_step(merge); }

  /// Frees patches that can be cut again: those given as tensors have no file.
  void drop_patches() {
    if (!path.empty()) patches = {};
  }
};

/// Reads the header of a picture, or its pixels where it has none. `max_tokens` that it may take at most:
/// Turn::max_image_tokens.
Medium read_image_medium(const Picture& picture, std::optional<int64_t> max_tokens, detail::Runtime& runtime);
/// Decodes a video: no header tells for certain how many frames it has.
Medium read_video_medium(const std::filesystem::path& path, std::optional<int64_t> max_tokens,
                         detail::Runtime& runtime);

/// Takes features that are kept of an earlier request: then nothing needs to be cut or computed.
void find_features(Medium& medium, detail::Runtime& runtime);
/// Puts `features` in place, computed or found, and drops patches.
void take_features(Medium& medium, SharedFeatures features, FeatureOrigin origin);

/// Decodes, resizes and cuts a picture, of which nothing but the header has been looked at, or a video whose
/// patches are gone; else it has its patches already. Throws Error{media} where the file is another one by
/// now.
void cut_patches(Medium& medium, detail::Runtime& runtime);

/// Computes the features of cut patches, keeps them for later requests, and drops the patches. `progress` may
/// stop the work by returning false: then the medium stays as it was, and the result is false.
bool encode_medium(Medium& medium, detail::Runtime& runtime, const std::function<bool(double)>& progress);

/// What became of each of `media` in a request.
std::vector<MediumReport> reports_of(const std::vector<std::shared_ptr<Medium>>& media);

}  // namespace qvl
