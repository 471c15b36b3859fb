#include "pipeline/medium.h"

#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "pipeline/memory_guard.h"
#include "pipeline/runtime.h"

namespace qvl {
namespace {

void check_vision(const std::filesystem::path& path, const detail::Runtime& runtime) {
  if (!runtime.files.config.has_vision) {
    fail(ErrorCode::media, "{}: the model was loaded without its vision file; give it with --mmproj",
         path_name(path));
  }
}

}  // namespace

Medium read_image_medium(const std::filesystem::path& path, detail::Runtime& runtime) {
  check_vision(path, runtime);
  return with_memory_for(fmt::format("to read the picture {}", path_name(path)), [&] {
    Medium medium{.kind = Medium::Kind::image, .path = path, .name = path_name(path)};
    const PatchOptions options = patch_options(runtime.files.image_preprocessor);
    // A picture that lies on its side takes as many tokens: cut_patches turns the grid with it.
    const ImageHeader header = read_image_header(path, {}, runtime.layer.home(MemoryPart::pixels));
    const Size size = smart_resize(header.size, options, medium.name);
    medium.cutting_bytes = pixel_bytes(header, size, options);
    medium.grid = {.t = 1, .h = size.height / options.patch_size, .w = size.width / options.patch_size};
    return medium;
  });
}

Medium read_video_medium(const std::filesystem::path& path, detail::Runtime& runtime) {
  check_vision(path, runtime);
  return with_memory_for(fmt::format("to read the video {}", path_name(path)), [&] {
    const PreprocessorConfig& config = runtime.files.video_preprocessor;
    PatchedVideo video = read_video(path, {.patches = patch_options(config),
                                           .sampling = video_sampling(config),
                                           .memory = runtime.layer.home(MemoryPart::pixels)});
    Medium medium{
        .kind = Medium::Kind::video, .path = path, .name = path_name(path), .grid = video.patches.grid};
    QVL_CHECK(std::ssize(video.timestamps) == medium.grid.t);
    for (double seconds : video.timestamps) medium.step_times.push_back(timestamp_text(seconds));
    medium.patches = std::move(video.patches);
    return medium;
  });
}

void cut_patches(Medium& medium, detail::Runtime& runtime) {
  if (medium.patches.pixels.rows() > 0) return;
  if (medium.kind == Medium::Kind::video) {
    Medium again = read_video_medium(medium.path, runtime);
    if (again.grid != medium.grid || again.step_times != medium.step_times) {
      fail(ErrorCode::media, "{}: became another video since it was asked about", medium.name);
    }
    medium.patches = std::move(again.patches);
    return;
  }
  with_memory_for(fmt::format("for the patches of {}", medium.name), [&] {
    PatchedMedia patches =
        image_to_patches(read_image(medium.path, {}, runtime.layer.home(MemoryPart::pixels)),
                         patch_options(runtime.files.image_preprocessor), medium.name);
    const PatchGrid& found = patches.grid;
    const PatchGrid turned{.t = found.t, .h = found.w, .w = found.h};
    if (found != medium.grid && turned != medium.grid) {
      fail(ErrorCode::media, "{}: became another picture while it was read", medium.name);
    }
    medium.grid = found;
    medium.patches = std::move(patches);
  });
}

bool encode_medium(Medium& medium, detail::Runtime& runtime, const std::function<bool(double)>& progress) {
  return with_memory_for(fmt::format("to look at {} ({} patches)", medium.name, medium.grid.patches()), [&] {
    const StageZone zone(runtime.layer.stages(), runtime.layer.tracer(), Stage::vision);
    const auto between_blocks = [&](double share) {
      runtime.after_step();
      return !progress || progress(share);
    };
    VisionFeatures features = runtime.network.encode(medium.patches, runtime.ops, between_blocks);
    if (features.merged.rows() == 0) return false;
    medium.features = std::move(features);
    medium.patches = {};
    medium.encoded = true;
    return true;
  });
}

uint64_t feature_bytes(const Medium& medium) noexcept {
  uint64_t bytes = MemoryHome::taken_bytes(medium.features.merged.values().size_bytes());
  for (const Tensor& level : medium.features.deepstack) {
    bytes += MemoryHome::taken_bytes(level.values().size_bytes());
  }
  return bytes;
}

uint64_t forget_features(Medium& medium) noexcept {
  if (!medium.encoded) return 0;
  const uint64_t bytes = feature_bytes(medium);
  medium.features = {};
  medium.encoded = false;
  return bytes;
}

}  // namespace qvl
