// Which frames of a video are taken, at which size, and when they are shown: numbers only, no decoding.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "media/pixel_budget.h"
#include "media/video.h"

namespace qvl {
namespace {

void check_sampling(double source_fps, const VideoSampling& sampling) {
  if (!(std::isfinite(sampling.fps) && sampling.fps > 0)) {
    fail(ErrorCode::usage, "video sampling: fps is {}, expected a number above 0", sampling.fps);
  }
  if (sampling.min_frames < 1 || sampling.max_frames < 1) {
    fail(ErrorCode::usage, "video sampling: {} to {} frames, expected at least 1", sampling.min_frames,
         sampling.max_frames);
  }
  QVL_CHECK(std::isfinite(source_fps) && source_fps > 0);
}

}  // namespace

std::vector<int64_t> sample_frames(int64_t total, double source_fps, const VideoSampling& sampling) {
  check_sampling(source_fps, sampling);
  QVL_CHECK(total > 0);
  double wanted = std::trunc(static_cast<double>(total) / source_fps * sampling.fps);
  wanted = std::max(wanted, static_cast<double>(sampling.min_frames));
  auto count = static_cast<int64_t>(
      std::min({wanted, static_cast<double>(sampling.max_frames), static_cast<double>(total)}));
  double last = static_cast<double>(total - 1);
  double step = count > 1 ? last / static_cast<double>(count - 1) : 0;
  std::vector<int64_t> frames;
  for (int64_t i = 0; i < count; ++i) {
    bool is_end = count > 1 && i == count - 1;
    frames.push_back(is_end ? total - 1 : static_cast<int64_t>(std::rint(static_cast<double>(i) * step)));
  }
  return frames;
}

Size video_resize(int64_t frames, Size size, const PatchOptions& options, std::string_view name) {
  QVL_CHECK(frames > 0);
  int64_t factor = options.factor();
  if (size.height < factor || size.width < factor) {
    fail(ErrorCode::media, "{}: video of {}x{} pixels, expected at least {} on each side", name, size.width,
         size.height, factor);
  }
  int64_t temporal = options.temporal_patch_size;
  return fit_pixel_budget({.size = size,
                           .frames = frames,
                           .padded_frames = (frames + temporal - 1) / temporal * temporal,
                           .factor = factor,
                           .min_pixels = options.min_pixels,
                           .max_pixels = options.max_pixels,
                           .max_tokens = options.max_tokens},
                          name);
}

std::vector<double> pair_timestamps(std::span<const int64_t> frame_numbers, double source_fps,
                                    int64_t temporal_patch_size) {
  QVL_CHECK(std::isfinite(source_fps) && source_fps > 0 && temporal_patch_size > 0);
  auto group = static_cast<size_t>(temporal_patch_size);
  std::vector<double> timestamps;
  for (size_t first = 0; first < frame_numbers.size(); first += group) {
    size_t last = std::min(first + group, frame_numbers.size()) - 1;  // the last frame fills the last group
    double begin = static_cast<double>(frame_numbers[first]) / source_fps;
    double end = static_cast<double>(frame_numbers[last]) / source_fps;
    timestamps.push_back((begin + end) / 2);
  }
  return timestamps;
}

std::string timestamp_text(double seconds) { return fmt::format("<{:.1f} seconds>", seconds); }

}  // namespace qvl
