// The golden values: questions about pictures and videos, and what the reference implementation computed for
// them, stage by stage. tools/make_golden.py makes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "media/image.h"
#include "model/positions.h"
#include "qvl/qvl.h"

namespace qvl::golden {

/// Some rows of one stage of the computation.
struct Stage {
  uint64_t rows = 0;  ///< of the whole stage
  uint64_t width = 0;
  std::vector<uint64_t> kept;  ///< the rows there are values for
  std::vector<float> values;   // [kept.size(), width]
};

struct Case {
  Turn turn;
  std::vector<int32_t> ids;
  std::vector<Position> positions;
  std::vector<PatchGrid> grids;  ///< of the pictures, then of the videos
  std::vector<int32_t> greedy;   ///< 32 tokens, or less where one ended the answer
  bool ended = false;            ///< whether one did
  std::vector<double> margins;   ///< by how much each token's logit beat the next best, the ending one's too
  uint32_t pixels_crc32 = 0;     ///< of all rows of the stage "pixels"
  std::map<std::string, Stage> stages;
};

/// A checkpoint with golden values: "tiny" or "shapes".
std::filesystem::path checkpoint_folder(const std::string& checkpoint);
/// Loads it in float32, as the reference computes.
LoadOptions exact_load_options(const std::string& checkpoint);

/// Throws std::runtime_error naming the file that is missing or that does not fit, above all weights that are
/// not those the values were made from.
Case read_case(const std::string& checkpoint, const std::string& name);

/// The largest difference from the kept rows, divided by the largest value among them. `found` are all rows
/// of the stage. Throws std::runtime_error where the shape is another.
double relative_difference(const Stage& stage, std::span<const float> found);

uint32_t crc32(std::span<const std::byte> bytes);

}  // namespace qvl::golden
