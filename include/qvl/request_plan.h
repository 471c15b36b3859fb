// What a request would take, before anything of it is done: OptimizedInferencePipeline::plan(). Plain data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace qvl {

/// In pixels.
struct PixelSize {
  int64_t width = 0, height = 0;
};

/// One picture or video of a planned request.
struct MediumPlan {
  enum class Kind { image, video };
  std::filesystem::path path = {};
  Kind kind = Kind::image;
  PixelSize size = {};                         ///< in the file; of a picture before it is turned upright
  PixelSize resized = {};                      ///< for the vision tower, likewise
  int64_t grid_t = 0, grid_h = 0, grid_w = 0;  ///< patches along time, height and width, before merging
  int64_t tokens = 0;                          ///< in the prompt
  /// Memory has its features, or keeps all of its tokens: it would not be looked at. What lies on disk alone
  /// is not looked for.
  bool kept = false;
};

/// Seconds, if nothing else runs meanwhile; nothing where no request has shown yet what such work takes here.
struct PlannedSeconds {
  std::optional<double> prepare = {};      ///< reading, resizing, cutting, tokenising
  std::optional<double> encode = {};       ///< of pictures that are not kept
  std::optional<double> prefill = {};      ///< of tokens that are not kept
  std::optional<double> decode = {};       ///< of the longest answer it may have
  std::optional<double> first_token = {};  ///< prepare, encode and prefill together
};

struct RequestPlan {
  std::vector<MediumPlan> media = {};  ///< pictures, then videos
  int64_t prompt_tokens = 0;
  int64_t image_tokens = 0;                                   ///< of these, tokens of pictures and videos
  int64_t cached_tokens = 0;                                  ///< of these, whose keys and values memory has
  int64_t context_tokens = 0;                                 ///< that prompt and answer may have together
  int64_t answer_tokens = 0;                                  ///< at most
  std::vector<std::pair<std::string, uint64_t>> memory = {};  ///< part, bytes, when it takes most
  uint64_t memory_bytes = 0;                                  ///< of all parts
  uint64_t memory_free_bytes = 0;   ///< under the limit now, with what would be given up for it
  uint64_t memory_limit_bytes = 0;  ///< of the process
  bool fits = false;                ///< it would be admitted now, if no other request waits
  PlannedSeconds seconds = {};
};

/// Lines for people.
std::string to_text(const RequestPlan& plan);
/// One JSON object on one line, with everything: null for what is not known.
std::string to_json(const RequestPlan& plan);

}  // namespace qvl
