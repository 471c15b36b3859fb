// One video to patches: frames counted, sampled, resized as they come, cut. Only the sampled frames are kept,
// at their final size.
#include "media/video.h"

#include <algorithm>
#include <new>
#include <optional>
#include <utility>

#include "base/error.h"
#include "media/media_file.h"
#include "media/video_stream.h"

namespace qvl {
namespace {

struct SampledVideo {
  int64_t frames_decoded = 0;
  std::vector<int64_t> frame_numbers;
  Size size;                  ///< of the first of them
  std::vector<Image> frames;  ///< resized
};

// Decodes to the end, so that the number of frames is known for certain, and keeps those that the sampling of
// `total` frames asks for.
SampledVideo decode_sampled(const VideoSource& source, int64_t total, const PatchOptions& options,
                            const VideoSampling& sampling) {
  VideoStream stream(source);
  SampledVideo video;
  video.frame_numbers = sample_frames(total, stream.frames_per_second(), sampling);
  std::optional<Size> target;
  auto wanted = video.frame_numbers.begin();
  for (; stream.next_frame(); ++video.frames_decoded) {
    if (wanted == video.frame_numbers.end() || *wanted != video.frames_decoded) continue;
    Image image = stream.image();
    if (!target) {
      // A clip that changes its resolution keeps the size chosen for its first frame.
      auto count = static_cast<int64_t>(video.frame_numbers.size());
      video.size = {.height = image.height, .width = image.width};
      target = video_resize(count, video.size, options, source.name);
    }
    video.frames.push_back(resize_bicubic(image, *target));
    ++wanted;
  }
  return video;
}

// What the container tells of its frames; the stream is gone then, with all it held.
std::pair<int64_t, double> count_and_rate(const VideoSource& source) {
  VideoStream counting(source);
  const int64_t count = counting.count_packets();
  return {count, counting.frames_per_second()};
}

// A container's count of packets is normally the number of frames. Where decoding shows another number,
// sampling starts again with the true one.
PatchedVideo decode_all(const VideoSource& source, const PatchOptions& options,
                        const VideoSampling& sampling) {
  const auto [total, fps] = count_and_rate(source);
  if (total == 0) fail(ErrorCode::media, "{}: the video has no frames", source.name);
  SampledVideo video = decode_sampled(source, total, options, sampling);
  if (video.frames_decoded != total) {
    if (video.frames_decoded == 0) fail(ErrorCode::media, "{}: the video has no frames", source.name);
    video = decode_sampled(source, video.frames_decoded, options, sampling);
  }
  return {.size = video.size,
          .patches = frames_to_patches(video.frames, options),
          .timestamps = pair_timestamps(video.frame_numbers, fps, options.temporal_patch_size)};
}

}  // namespace

PatchedVideo decode_video(std::span<const std::byte> file, std::string_view name,
                          const VideoOptions& options) {
  VideoLimits limits = options.limits;
  // Not a number counts as no time at all.
  limits.max_seconds_spent = limits.max_seconds_spent >= 0 ? std::min(limits.max_seconds_spent, 86'400.0) : 0;
  auto patience = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(limits.max_seconds_spent));
  VideoSource source{.bytes = file,
                     .name = printable(name, 4096),
                     .limits = limits,
                     .deadline = std::chrono::steady_clock::now() + patience,
                     .memory = options.memory};
  if (file.size() > source.limits.max_file_bytes) {
    fail(ErrorCode::limit, "{}: {} bytes, at most {} allowed", source.name, file.size(),
         source.limits.max_file_bytes);
  }
  if (file.empty()) fail(ErrorCode::media, "{}: empty, expected a video", source.name);
  try {
    return decode_all(source, options.patches, options.sampling);
  } catch (const MemoryRefused& refused) {
    fail_short_of_memory("{}: {}", source.name, refused.what());
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::limit, "{}: not enough memory to decode this video", source.name);
  }
}

PatchedVideo read_video(const std::filesystem::path& path, const VideoOptions& options) {
  const MediaFile file(path, options.limits.max_file_bytes, options.memory);
  return decode_video(file.bytes(), path.string(), options);
}

}  // namespace qvl
