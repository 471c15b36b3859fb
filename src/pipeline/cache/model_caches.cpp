#include "pipeline/cache/model_caches.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <system_error>

#include "ops/source_record.h"

namespace qvl {
namespace {

// Counts changes of the code after which the same input gives other numbers.
constexpr int kComputation = 4;

std::string preprocessing(const PreprocessorConfig& config) {
  return fmt::format("{} {} {} {} {} {} {} fps {} {} {}", config.patch_size, config.temporal_patch_size,
                     config.merge_size, config.min_pixels, config.max_pixels,
                     fmt::join(config.image_mean, " "), fmt::join(config.image_std, " "), config.fps,
                     config.min_frames, config.max_frames);
}

// What a network computes hangs on its configuration too: files with the same weights may differ in it.
std::string description(const VisionConfig& config) {
  return fmt::format("{} {} {} {} {} {} {} {} {} {} levels {} eps {}", config.hidden_size,
                     config.intermediate_size, config.depth, config.num_heads, config.out_hidden_size,
                     config.in_channels, config.patch_size, config.temporal_patch_size,
                     config.spatial_merge_size, config.num_position_embeddings,
                     fmt::join(config.deepstack_visual_indexes, ","), config.layer_norm_eps);
}

std::string description(const TextConfig& config) {
  return fmt::format("{} {} {} {} {} {} {} eps {} theta {} sections {} tied {}", config.hidden_size,
                     config.intermediate_size, config.num_hidden_layers, config.num_attention_heads,
                     config.num_key_value_heads, config.head_dim, config.vocab_size, config.rms_norm_eps,
                     config.rope_theta, fmt::join(config.mrope_section, ","), config.tie_word_embeddings);
}

std::string at_most(std::optional<int64_t> max_tokens) {
  return max_tokens ? fmt::format(" at most {} tokens", *max_tokens) : "";
}

// Of what the decoder depends on, or of what the vision tower does too.
std::string context_of(const CacheSetup& setup, ComputationField::Concerns whose) {
  std::string context;
  for (const auto& field : computation_fields(setup.files.config, setup.forms, setup.weights)) {
    if (whose == ComputationField::Concerns::decoder || field.concerns == whose) {
      context += fmt::format("{} {} ", field.name, field.value);
    }
  }
  return context;
}

DiskCacheOptions disk_options(const CacheSetup& setup) {
  return {.folder = setup.folder, .budget_bytes = setup.plan.disk_feature_cache_bytes};
}

}  // namespace

// Results differ by weights, their form and the instruction set, not by the number of threads.
std::vector<ComputationField> computation_fields(const ModelConfig& config, const ModelForms& forms,
                                                 const std::string& weights) {
  const auto decoder = ComputationField::Concerns::decoder;
  return {{"computation", std::to_string(kComputation)},
          {"isa", std::string(name_of(forms.isa))},
          {"vision-weights", std::string(name_of(forms.vision))},
          {"weights", std::string(name_of(forms.text)), decoder},
          {"kv", std::string(name_of(forms.kv)), decoder},
          {"vision-network", description(config.vision)},
          {"network", description(config.text), decoder},
          {"checkpoint", weights}};
}

ModelCaches::ModelCaches(const CacheSetup& setup)
    : disk(disk_options(setup), setup.io),
      features(setup.files.config.vision, setup.plan.feature_cache_bytes,
               {.pool = &setup.memory.pool(), .part = MemoryPart::caches}, disk),
      prefixes(context_of(setup, ComputationField::Concerns::decoder), setup.plan.prefix_cache_bytes,
               {.pool = &setup.memory.pool(), .part = MemoryPart::kv}, disk),
      image_context_(context_of(setup, ComputationField::Concerns::everything) + "image " +
                     preprocessing(setup.files.image_preprocessor)),
      video_context_(context_of(setup, ComputationField::Concerns::everything) + "video " +
                     preprocessing(setup.files.video_preprocessor)),
      reclaimer_(setup.memory.ledger().reclaimers().add(
          ReclaimStage::caches, [this](uint64_t wanted) { return reclaim(wanted); })) {}

// Prefixes first: what they save is computed in half a second a piece, a picture takes longer. What is being
// written to the disk is in use until then.
uint64_t ModelCaches::reclaim(uint64_t wanted) noexcept {
  uint64_t freed = 0;
  const auto ask_both = [&] {
    if (freed < wanted) freed += prefixes.reclaim(wanted - freed);
    if (freed < wanted) freed += features.reclaim(wanted - freed);
  };
  ask_both();
  if (freed >= wanted) return freed;
  disk.wait();
  ask_both();
  return freed;
}

ContentKey ModelCaches::image_key(std::span<const std::byte> file, std::optional<int64_t> max_tokens) const {
  return key_of(image_context_ + at_most(max_tokens) + " of " + key_of(file).text());
}

ContentKey ModelCaches::pixels_key(Size size, const ContentKey& pixels,
                                   std::optional<int64_t> max_tokens) const {
  return key_of(fmt::format("{}{} pixels {} {} of {}", image_context_, at_most(max_tokens), size.height,
                            size.width, pixels.text()));
}

ContentKey ModelCaches::video_key(std::span<const std::byte> file, std::optional<int64_t> max_tokens) const {
  return key_of(video_context_ + at_most(max_tokens) + " of " + key_of(file).text());
}

ContentKey ModelCaches::patches_key(const PatchGrid& grid, std::span<const float> values) const {
  return key_of(fmt::format("{} cut {} {} {} of {}", image_context_, grid.t, grid.h, grid.w,
                            key_of(std::as_bytes(values)).text()));
}

std::filesystem::path kept_features_folder(const std::filesystem::path& cache_folder) {
  return cache_folder.empty() ? cache_folder : cache_folder / "features";
}

std::string weights_identity(const WeightsToTell& weights, ThreadPool& pool) {
  const auto record = weights.folder / key_of(weights.state + weights.packed_contents).text();
  if (!weights.folder.empty()) {
    if (const auto known = recorded_contents(record, weights.state)) return *known;
  }
  const std::string found =
      key_of(weights.packed_contents + weights.network.hash_unpacked(pool, weights.stop)).text();
  if (!weights.folder.empty() && !weights.stop.stop_requested()) {
    std::error_code refused;  // then there is no record, and no file of features either
    std::filesystem::create_directories(weights.folder, refused);
    record_contents(record, weights.state, found);
  }
  return found;
}

}  // namespace qvl
