// What one loaded checkpoint keeps of requests for later ones, and what tells whether it is the same again.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "files/model_files.h"
#include "memory/memory_manager.h"
#include "model/qwen3_vl.h"
#include "optimizer/plan.h"
#include "pipeline/cache/disk_cache.h"
#include "pipeline/cache/feature_cache.h"
#include "pipeline/cache/prefix_cache.h"
#include "threads/task_pool.h"

namespace qvl {

/// One of the things besides tokens and pictures that keys and values depend on.
struct ComputationField {
  enum class Concerns { everything, decoder };  ///< decoder: features of pictures do not depend on it
  std::string_view name;
  std::string value;
  Concerns concerns = Concerns::everything;
};
/// All of them. The hash of weights is last: it differs with their form too, and whoever compares one by one
/// is to name the form. `weights`: weights_identity().
std::vector<ComputationField> computation_fields(const ModelConfig& config, const ModelForms& forms,
                                                 const std::string& weights);

/// What the caches of a checkpoint are made from. Borrowed for the call but for memory and pool.
struct CacheSetup {
  const ModelFiles& files;
  const Plan& plan;
  const ModelForms& forms;       ///< as they were bound
  std::filesystem::path folder;  ///< for files; empty: none
  std::string weights;           ///< tells weights apart: weights_identity()
  MemoryManager& memory;
  TaskPool& io;
};

/// Thread-safe.
class ModelCaches {
 public:
  explicit ModelCaches(const CacheSetup& setup);

  /// Of the bytes of a picture's or a video's file, and the tokens it may take at most: everything its
  /// features depend on.
  ContentKey image_key(std::span<const std::byte> file, std::optional<int64_t> max_tokens) const;
  /// The same of a picture whose pixels, not its file, have the key `pixels`.
  ContentKey pixels_key(Size size, const ContentKey& pixels, std::optional<int64_t> max_tokens) const;
  ContentKey video_key(std::span<const std::byte> file, std::optional<int64_t> max_tokens) const;
  /// The same of patches that were cut elsewhere. values: [grid.patches(), patch values]
  ContentKey patches_key(const PatchGrid& grid, std::span<const float> values) const;

  /// Of memory, whoever else holds it.
  uint64_t bytes() const { return features.stats().bytes + prefixes.stats().bytes; }
  /// Of these, what they give back when it is needed: nobody else holds it.
  uint64_t idle_bytes() const { return features.idle_bytes() + prefixes.idle_bytes(); }

  DiskCache disk;
  FeatureCache features;
  PrefixCache prefixes;

 private:
  uint64_t reclaim(uint64_t wanted) noexcept;

  const std::string image_context_, video_context_;
  Reclaimers::Registration reclaimer_;
};

/// Where the files of a cache folder lie that are no packed weights. Empty for an empty one.
std::filesystem::path kept_features_folder(const std::filesystem::path& cache_folder);

/// A hash of all weights: of those packed as `packed_contents` has it, of the others as they are read, or as
/// they were read when the checkpoint's files were in the same `state`: a record in `folder` says so.
struct WeightsToTell {
  const Qwen3Vl& network;
  std::string packed_contents;
  std::string state;             ///< TensorSource::fingerprint()
  std::filesystem::path folder;  ///< empty: no record
  std::stop_token stop;
};
std::string weights_identity(const WeightsToTell& weights, ThreadPool& pool);

}  // namespace qvl
