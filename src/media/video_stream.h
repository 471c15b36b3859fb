// The frames of one video in memory, in the order they are shown, through FFmpeg's libraries. Opens no file
// and no socket: containers that point elsewhere (playlists, lists of pictures) are refused.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "media/video.h"

namespace qvl {

/// The bytes of one video, its name for messages, and what is refused. Borrowed: it and its
/// bytes outlive the stream.
struct VideoSource {
  std::span<const std::byte> bytes;
  std::string name;
  VideoLimits limits;
  std::chrono::steady_clock::time_point deadline;
  MemoryHome memory = {};  ///< of the pixels
};

/// Reads a video once from its beginning. Thread-compatible. Every member throws Error{media} for damage (a
/// packet the decoder refuses, a frame it marks as damaged, data that ends too early) and Error{limit} beyond
/// a limit.
class VideoStream {
 public:
  explicit VideoStream(const VideoSource& source);
  ~VideoStream();
  VideoStream(const VideoStream&) = delete;
  VideoStream& operator=(const VideoStream&) = delete;

  double frames_per_second() const;  ///< the average the container tells; 24 where it tells nothing usable
  int64_t count_packets();           ///< to the end, without decoding: normally the number of frames
  bool next_frame();                 ///< decodes one more frame; false after the last one
  Image image();                     ///< the frame last decoded, turned as the container says

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qvl
