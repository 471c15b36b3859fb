// Videos: local files through FFmpeg's libraries, sampled as the reference samples them.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "media/image.h"

namespace qvl {

struct VideoLimits {
  uint64_t max_file_bytes = 64ull << 20;
  int64_t max_frame_pixels = 16'000'000;
  int64_t max_frames_decoded = 100'000;
  double max_seconds_spent = 20;  ///< wall clock for one video
  int decoder_threads = 1;        ///< the frames do not depend on it
};

struct VideoSampling {
  double fps = 2.0;
  int64_t min_frames = 4;
  int64_t max_frames = 768;
};

/// Frame numbers to take from `total` frames at `source_fps`: evenly spaced, ties to even, the last one
/// included.
std::vector<int64_t> sample_frames(int64_t total, double source_fps, const VideoSampling& sampling);

/// The size each of `frames` frames is resized to, within the budget of the whole video.
Size video_resize(int64_t frames, Size size, const PatchOptions& options, std::string_view name);

/// Middle of each pair of sampled frames, in seconds.
std::vector<double> pair_timestamps(std::span<const int64_t> frame_numbers, double source_fps,
                                    int64_t temporal_patch_size);

/// "<0.2 seconds>": one decimal, halves (exact in binary) to even.
std::string timestamp_text(double seconds);

struct PatchedVideo {
  Size size;  ///< of the first frame that was sampled
  PatchedMedia patches;
  std::vector<double> timestamps;  ///< seconds, one for each temporal step
};

struct VideoOptions {
  PatchOptions patches{};  ///< with the pixel budget of the whole video
  VideoSampling sampling{};
  VideoLimits limits{};
  MemoryHome memory{};  ///< of the file, of frames and patches
};

/// Decodes, samples, resizes and cuts one video in memory. No playlists, no network, no files. The number of
/// frames is the number that decode, the rate is the container's average (24 where it tells none); damage
/// anywhere refuses the video. Throws Error{media} or Error{limit}, beginning with `name`; Error{usage} for
/// an impossible sampling and for `patches.max_tokens` that its min_pixels does not allow.
PatchedVideo decode_video(std::span<const std::byte> file, std::string_view name,
                          const VideoOptions& options);
/// The same for a local file.
PatchedVideo read_video(const std::filesystem::path& path, const VideoOptions& options);

}  // namespace qvl
