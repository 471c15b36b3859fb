// The vision tower: patches to features, one block at a time so that other work can come between.
#pragma once

#include <vector>

#include "base/function_ref.h"
#include "files/model_config.h"
#include "media/image.h"
#include "model/channel_sizes.h"
#include "model/vision_features.h"
#include "model/weight_binder.h"
#include "ops/ops.h"

namespace qvl {

/// A picture or video on its way through the tower. Plain data.
struct VisionRun {
  PatchGrid grid;
  Tensor x;            // [patches, hidden], merge-block order
  RotaryTable rotary;  // of one temporal step
  int64_t next_block = 0;
  VisionFeatures features;
};

/// Called between the pieces of a step, some tens of milliseconds apart on a few cores whatever the size of
/// the picture: what cannot wait for the whole step is done there, on other Ops. May throw; the run is then
/// lost.
using BetweenPieces = FunctionRef<void()>;
inline constexpr auto kNothingBetween = [] {};

/// Immutable, thread-safe; computation runs on the caller's Ops.
class VisionTower {
 public:
  VisionTower(const VisionConfig& config, WeightBinder& binder);

  /// Patch and position embedding. Throws Error{media} where the grid does not fit the configuration.
  VisionRun begin(const PatchedMedia& media, Ops& ops, BetweenPieces between = kNothingBetween) const;
  /// Computes the next block, and its DeepStack level where it has one.
  void step(VisionRun& run, Ops& ops, BetweenPieces between = kNothingBetween) const;
  bool done(const VisionRun& run) const { return run.next_block == config_.depth; }
  /// The merged features, once done.
  VisionFeatures finish(VisionRun run, Ops& ops, BetweenPieces between = kNothingBetween) const;

 private:
  struct Block {
    Norm norm1, norm2;
    Linear qkv, proj, fc1, fc2;
  };
  struct Merger {
    Norm norm;
    Linear fc1, fc2;
  };
  enum class NormPlace { before_concat, after_concat };

  Block bind_block(int64_t index, WeightBinder& binder, KnownStream& stream) const;
  Merger bind_merger(const std::string& name, uint64_t norm_width, const KnownStream& stream,
                     WeightBinder& binder) const;
  void bind_patch_embedding(WeightBinder& binder);
  void attention(const Block& block, VisionRun& run, Ops& ops, BetweenPieces between) const;
  /// Attention within each temporal step, queries and keys rotated in place.
  /// qkv: [patches, 3 hidden]; out: [patches, hidden]
  void attend(const VisionRun& run, float* qkv, float* out, Ops& ops) const;
  void attend_blocked(const VisionRun& run, float* qkv, float* out, Ops& ops, BetweenPieces between) const;
  void mlp(const Block& block, VisionRun& run, Ops& ops, BetweenPieces between) const;
  Tensor merge(const Merger& merger, NormPlace place, const Tensor& x, Ops& ops, BetweenPieces between) const;

  VisionConfig config_;
  bool integer_attention_ = false;     // with integer weights, where the heads fit blocks
  std::vector<float> patch_weight_;    // [hidden, patch_values], where the file keeps it in pieces
  PackedWeight patch_embedding_;       // reads patch_weight_ or the mapped file
  std::vector<float> patch_bias_;      // [hidden]
  std::vector<float> position_table_;  // [side * side, hidden]
  std::vector<Block> blocks_;
  Merger merger_;
  std::vector<Merger> deepstack_;  // in the order of deepstack_visual_indexes
};

}  // namespace qvl
