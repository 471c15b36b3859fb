#include "pipeline/medium.h"

#include <span>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "media/media_file.h"
#include "pipeline/memory_guard.h"
#include "pipeline/picture.h"
#include "pipeline/runtime.h"
#include "pipeline/stopwatch.h"

namespace qvl {
namespace {

void check_vision(const std::filesystem::path& path, const detail::Runtime& runtime) {
  if (!runtime.files.config.has_vision) {
    fail(ErrorCode::media, "{}: the model was loaded without its vision file; give it with --mmproj",
         path_name(path));
  }
}

MediaFile read_file(const std::filesystem::path& path, uint64_t most_bytes, detail::Runtime& runtime) {
  const StageZone zone = runtime.layer.zone(Stage::read);
  return MediaFile(path, most_bytes, runtime.layer.home(MemoryPart::pixels));
}

// Of a picture that has a file, on disk or in memory.
MediaFile read_file(const Medium& medium, const ImageLimits& limits, detail::Runtime& runtime) {
  if (!medium.in_memory) return read_file(medium.path, limits.max_file_bytes, runtime);
  const FileBytes* file = medium.in_memory->file_bytes();
  QVL_CHECK(file != nullptr);
  const StageZone zone = runtime.layer.zone(Stage::read);
  return MediaFile({.name = medium.path.string(), .file = file->bytes}, limits.max_file_bytes,
                   runtime.layer.home(MemoryPart::pixels));
}

const PixelSource* pixels_of(const Medium& medium) {
  return medium.in_memory ? medium.in_memory->pixels() : nullptr;
}

// A picture that lies on its side takes as many tokens: cut_patches turns the grid with it.
void settle_size(Medium& medium, const ImageHeader& header, detail::Runtime& runtime) {
  const PatchOptions options = patch_options(runtime.files.image_preprocessor, medium.max_tokens);
  const Size size = smart_resize(header.size, options, medium.name);
  // A budget that changes nothing: its features are those of a picture without one.
  const PatchOptions unlimited = patch_options(runtime.files.image_preprocessor);
  if (size == smart_resize(header.size, unlimited, medium.name)) medium.max_tokens.reset();
  medium.size = header.size;
  medium.cutting_bytes = pixel_bytes(header, size, options);
  medium.grid = {.t = 1, .h = size.height / options.patch_size, .w = size.width / options.patch_size};
}

// Sizes are judged before pixels are looked at.
void look_at(Medium& medium, const PixelSource& pixels, detail::Runtime& runtime) {
  settle_size(medium, {.size = {.height = pixels.height(), .width = pixels.width()}}, runtime);
  const StageZone zone = runtime.layer.zone(Stage::read);
  medium.key = runtime.caches->pixels_key(medium.size, key_of(pixels), medium.max_tokens);
}

void look_at(Medium& medium, detail::Runtime& runtime) {
  const ImageLimits limits;
  const MediaFile file = read_file(medium, limits, runtime);
  settle_size(medium, image_header(file.bytes(), medium.path.string(), limits), runtime);
  medium.key = runtime.caches->image_key(file.bytes(), medium.max_tokens);
}

void check_same(const Medium& medium, const ContentKey& key) {
  if (key == medium.key) return;
  fail(ErrorCode::media, "{}: became another picture while it was read", medium.name);
}

// The key is that of the copy: whatever happens to the source, what is cut is what the key stands for.
Image read_same_pixels(const Medium& medium, const PixelSource& pixels, detail::Runtime& runtime) {
  const StageZone zone = runtime.layer.zone(Stage::decode_picture);
  Image image = read_pixels(pixels, runtime.layer.home(MemoryPart::pixels));
  const ContentKey contents = key_of(std::as_bytes(std::span(image.rgb)));
  check_same(medium, runtime.caches->pixels_key(medium.size, contents, medium.max_tokens));
  return image;
}

// Its pixels; the bytes of the file are gone then.
Image read_same_image(const Medium& medium, detail::Runtime& runtime) {
  if (const PixelSource* pixels = pixels_of(medium)) return read_same_pixels(medium, *pixels, runtime);
  const ImageLimits limits;
  const MemoryHome home = runtime.layer.home(MemoryPart::pixels);
  const MediaFile file = read_file(medium, limits, runtime);
  check_same(medium, runtime.caches->image_key(file.bytes(), medium.max_tokens));
  const StageZone zone = runtime.layer.zone(Stage::decode_picture);
  return decode_image(file.bytes(), medium.path.string(), limits, home);
}

}  // namespace

Medium read_image_medium(const Picture& picture, std::optional<int64_t> max_tokens,
                         detail::Runtime& runtime) {
  const std::filesystem::path& path = picture.path();
  check_vision(path, runtime);
  return with_memory_for(
      [&] { return fmt::format("to read the picture {}", path_name(path)); },
      [&] {
        Medium medium{
            .kind = Medium::Kind::image, .path = path, .name = path_name(path), .max_tokens = max_tokens};
        if (!picture.is_file()) medium.in_memory = picture;
        if (const PixelSource* pixels = picture.pixels()) {
          look_at(medium, *pixels, runtime);
        } else {
          look_at(medium, runtime);
        }
        return medium;
      });
}

Medium read_video_medium(const std::filesystem::path& path, std::optional<int64_t> max_tokens,
                         detail::Runtime& runtime) {
  check_vision(path, runtime);
  return with_memory_for([&] { return fmt::format("to read the video {}", path_name(path)); },
                         [&] {
                           const PreprocessorConfig& config = runtime.files.video_preprocessor;
                           const VideoOptions options{.patches = patch_options(config, max_tokens),
                                                      .sampling = video_sampling(config),
                                                      .memory = runtime.layer.home(MemoryPart::pixels)};
                           const MediaFile file = read_file(path, options.limits.max_file_bytes, runtime);
                           PatchedVideo video = [&] {  // its frames are resized as they are decoded
                             const StageZone zone = runtime.layer.zone(Stage::decode_picture);
                             return decode_video(file.bytes(), path.string(), options);
                           }();
                           Medium medium{.kind = Medium::Kind::video,
                                         .path = path,
                                         .name = path_name(path),
                                         .max_tokens = max_tokens,
                                         .size = video.size,
                                         .grid = video.patches.grid};
                           medium.key = runtime.caches->video_key(file.bytes(), max_tokens);
                           QVL_CHECK(std::ssize(video.timestamps) == medium.grid.t);
                           for (double seconds : video.timestamps)
                             medium.step_times.push_back(timestamp_text(seconds));
                           medium.patches = std::move(video.patches);
                           return medium;
                         });
}

void find_features(Medium& medium, detail::Runtime& runtime) {
  if (medium.features) return;
  auto [features, origin] = runtime.caches->features.find(
      medium.key, medium.tokens(runtime.files.config.vision.spatial_merge_size));
  if (features) take_features(medium, std::move(features), origin);
}

void take_features(Medium& medium, SharedFeatures features, FeatureOrigin origin) {
  medium.grid = features->grid;
  medium.features = std::move(features);
  medium.origin = origin;
  medium.patches = {};
}

// The same bytes as when it was read first: their hash is compared, so what is cut is what the key stands
// for.
void cut_patches(Medium& medium, detail::Runtime& runtime) {
  if (medium.features || medium.patches.pixels.rows() > 0) return;
  if (medium.kind == Medium::Kind::video) {
    Medium again = read_video_medium(medium.path, medium.max_tokens, runtime);
    if (again.key != medium.key) {
      fail(ErrorCode::media, "{}: became another video since it was asked about", medium.name);
    }
    medium.patches = std::move(again.patches);
    return;
  }
  with_memory_for([&] { return fmt::format("for the patches of {}", medium.name); },
                  [&] {
                    const Stopwatch watch;
                    const PatchOptions options =
                        patch_options(runtime.files.image_preprocessor, medium.max_tokens);
                    const Image image = read_same_image(medium, runtime);
                    {
                      const StageZone zone = runtime.layer.zone(Stage::resize);
                      medium.patches = image_to_patches(image, options, medium.name);
                    }
                    medium.grid = medium.patches.grid;
                    runtime.media_costs.learn_cutting(image.width * image.height, watch.seconds());
                  });
}

bool encode_medium(Medium& medium, detail::Runtime& runtime, const std::function<bool(double)>& progress) {
  return with_memory_for(
      [&] { return fmt::format("to look at {} ({} patches)", medium.name, medium.grid.patches()); },
      [&] {
        const StageZone zone = runtime.layer.zone(Stage::vision);
        const auto between_blocks = [&](double share) {
          runtime.after_step();
          return !progress || progress(share);
        };
        const Stopwatch watch;
        VisionFeatures features = runtime.network.encode(medium.patches, runtime.ops, between_blocks);
        if (features.merged.rows() == 0) return false;
        runtime.media_costs.learn_encoding(medium.grid.patches() * runtime.files.config.vision.depth,
                                           watch.seconds());
        auto computed = std::make_shared<MediumFeatures>();
        computed->grid = medium.grid;
        computed->features = std::move(features);
        runtime.network.check_undamaged();
        runtime.caches->features.keep(medium.key, computed);
        take_features(medium, std::move(computed), FeatureOrigin::computed);
        return true;
      });
}

std::vector<MediumReport> reports_of(const std::vector<std::shared_ptr<Medium>>& media) {
  std::vector<MediumReport> reports;
  for (const auto& medium : media) reports.push_back({.path = medium->path, .features = medium->origin});
  return reports;
}

}  // namespace qvl
