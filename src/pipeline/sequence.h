// The tokens of one prompt with the places of its pictures and videos.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "files/model_config.h"
#include "model/positions.h"
#include "model/qwen3_vl.h"
#include "pipeline/medium.h"

namespace qvl {

using Media = std::vector<std::shared_ptr<Medium>>;

/// The tokens of one picture, or of one temporal step of a video.
struct VisualBlock {
  int64_t position = 0;
  int64_t count = 0;
  std::shared_ptr<const Medium> medium = {};
  int64_t first_row = 0;  ///< of the medium's features
  bool operator==(const VisualBlock&) const = default;
};

struct Sequence {
  std::vector<int32_t> ids = {};
  std::vector<VisualBlock> blocks = {};  ///< in order of position

  int64_t size() const { return std::ssize(ids); }
  int64_t visual_tokens() const;
  /// Forgets what comes from `size` on; a block cut by it stays with the tokens before.
  void truncate(int64_t size);
  /// Adds the tokens of `other`, which begins with this one, up to `size`, with the blocks that begin there.
  void extend(const Sequence& other, int64_t size);
};

/// Finds the placeholder tokens of `media` among `ids`: pictures and videos each in their order, all of their
/// tokens together per block. Throws Error{usage} where counts differ. Without media placeholders are
/// ordinary tokens.
Sequence place_media(std::vector<int32_t> ids, const Media& media, const ModelConfig& config);

/// Tokens both begin with, the same pictures behind the same placeholders.
int64_t common_prefix(const Sequence& a, const Sequence& b);

/// Those of `media` that have tokens from `first` on: their features are needed to compute them.
Media media_from(const Sequence& sequence, const Media& media, int64_t first);

/// One position for each token; `counter` then stands behind the sequence.
std::vector<Position> positions_of(const Sequence& sequence, int64_t merge, PositionCounter& counter);

/// Those with tokens from `first` on. Borrowed from their media, which are encoded.
std::vector<VisualSpan> visual_spans(const Sequence& sequence, int64_t first);

}  // namespace qvl
