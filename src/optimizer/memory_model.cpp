#include "optimizer/memory_model.h"

#include <algorithm>
#include <iterator>

#include "base/error.h"
#include "kernels/attention/kv_block.h"
#include "kernels/matmul/packed_weight.h"
#include "kernels/matmul/tile.h"
#include "kernels/quantise/quantised_rows.h"

namespace qvl {
namespace {

constexpr int64_t kFloat = sizeof(float);
constexpr uint64_t kHugePage = 2 << 20;
// Measured: what qvl has resident before it opens a model.
constexpr uint64_t kProgramBytes = 30 << 20;
// Measured too: an entry as text, in two tables and with a merge.
constexpr uint64_t kVocabularyEntryBytes = 256;
constexpr uint64_t kThreadBytes = 128
                                  << 10;  // the part of a stack that is touched, and its allocator's pages
constexpr int64_t kRgb = 3;

uint64_t u(int64_t value) {
  QVL_CHECK(value >= 0);
  return static_cast<uint64_t>(value);
}

// What Ops keeps: the largest of each that any operation asked for.
struct Scratch {
  int64_t rows = 0, wide = 0, heads = 0, kv_blocks = 0;  // floats
  int64_t group_rows = 0;                                // groups of quantised activations
  int64_t worker = 0;                                    // floats for each thread
  Isa isa = Isa::scalar;

  // Inputs of a product with the weights of a place.
  void product(int64_t count, int64_t inputs, WeightForm form) {
    if (form == WeightForm::stored) {
      const PackedWeight weight{.inputs = inputs};
      worker = std::max(worker, matmul_kernel(form, isa).scratch_floats(weight, count));
      return;
    }
    group_rows = std::max(group_rows, count * groups_of(inputs));
    worker = std::max({worker, inputs, std::min(count, kMostTileRows) * kTileOutputs});
  }
  uint64_t bytes(int threads) const {
    // Two planes of values, scales, sums and pairs, and a byte that says whether there is a second.
    constexpr int64_t plane = kGroup + 2 * 4 + kGroup / kSubgroup * 4;
    return u((rows + wide + heads + kv_blocks + threads * worker) * kFloat + group_rows * (2 * plane + 1));
  }
};

// Any quantised form stands for all: their inputs are alike.
WeightForm form_of(const ModelFacts& model, const ModelForms& forms, WeightPlace place) {
  return is_quantised(model, forms, place) ? WeightForm::q8 : WeightForm::stored;
}

void add_decoder(const ModelFacts& model, const Plan& plan, Scratch& scratch) {
  const TextConfig& config = model.text;
  const int64_t tokens = plan.prefill_chunk, hidden = config.hidden_size, q = config.query_width();
  const WeightForm form = form_of(model, plan.forms, WeightPlace::text);
  scratch.rows = std::max(scratch.rows, tokens * hidden);
  scratch.wide =
      std::max({scratch.wide, tokens * (q + 2 * config.kv_width()), tokens * 2 * config.intermediate_size});
  scratch.heads = std::max(scratch.heads, tokens * q);
  for (int64_t inputs : {hidden, q, config.intermediate_size}) scratch.product(tokens, inputs, form);
  if (plan.forms.kv == KvForm::f32) scratch.worker = std::max(scratch.worker, plan.context_tokens);
}

void add_tower(const ModelFacts& model, const Plan& plan, Scratch& scratch) {
  const VisionConfig& config = model.vision;
  const int64_t patches = plan.picture_patches, hidden = config.hidden_size;
  const int64_t share = std::min(patches, kVisionMlpRows);
  const int64_t merge = config.spatial_merge_size * config.spatial_merge_size;
  const WeightForm form = form_of(model, plan.forms, WeightPlace::vision);
  scratch.rows = std::max(scratch.rows, patches * hidden);
  scratch.wide = std::max({scratch.wide, patches * 3 * hidden, share * config.intermediate_size});
  scratch.product(patches, config.patch_values(), WeightForm::stored);
  scratch.product(patches, hidden, form);
  scratch.product(share, config.intermediate_size, form);
  scratch.product(patches / merge, config.merged_width(), form);
  if (form == WeightForm::stored || !fits_blocks(config.head_dim())) {
    scratch.worker = std::max(scratch.worker, patches);
    return;
  }
  const int64_t blocks = (patches + kBlockKeys - 1) / kBlockKeys;
  scratch.kv_blocks = config.num_heads * blocks * KvBlockLayout{config.head_dim()}.bytes() / kFloat;
}

uint64_t sequence_bytes(const TextConfig& config, int64_t tokens) {
  return u((tokens * (config.hidden_size + config.head_dim) + config.vocab_size) * kFloat);
}

uint64_t picture_bytes(const VisionConfig& config, int64_t patches) {
  return u(patches * (config.hidden_size + config.head_dim()) * kFloat) + feature_bytes(config, patches);
}

// The decoded picture, the resized one, and the rows cut from it. The decoded one is taken to be as large as
// the resized one: a larger file takes three bytes a pixel more while it is read.
uint64_t pixel_bytes(const VisionConfig& config, int64_t patches) {
  const int64_t rgb = patches * config.patch_size * config.patch_size * kRgb;
  return u(2 * rgb + patches * config.patch_values() * kFloat);
}

// Each tensor begins and ends somewhere in a huge page.
uint64_t page_rounding(const ModelFacts& model, const Plan& plan) {
  constexpr int64_t kScratchTensors = 16;
  uint64_t bytes = plan.huge_weights ? kHugePage : 0;
  if (plan.huge_pages) bytes += u(model.text.num_hidden_layers + kScratchTensors + plan.threads) * kHugePage;
  return bytes;
}

}  // namespace

uint64_t kv_bytes(const TextConfig& config, KvForm form, int64_t tokens) {
  const int64_t blocks = (tokens + kBlockKeys - 1) / kBlockKeys;
  if (form == KvForm::f32) {
    return u(blocks * kBlockKeys * 2 * config.num_hidden_layers * config.kv_width() * kFloat);
  }
  const KvBlockLayout layout{config.head_dim, form == KvForm::i16 ? KvInteger::i16 : KvInteger::i8};
  return u(blocks * config.num_hidden_layers * config.num_key_value_heads * layout.bytes());
}

uint64_t feature_bytes(const VisionConfig& config, int64_t patches) {
  const int64_t tokens = patches / (config.spatial_merge_size * config.spatial_merge_size);
  return u(tokens * config.out_hidden_size * (1 + std::ssize(config.deepstack_visual_indexes)) * kFloat);
}

uint64_t scratch_bytes(const ModelFacts& model, const Plan& plan) {
  Scratch scratch{.isa = plan.forms.isa};
  add_decoder(model, plan, scratch);
  if (model.has_vision && plan.picture_patches > 0) add_tower(model, plan, scratch);
  return scratch.bytes(plan.threads);
}

PlannedMemory predict_memory(const ModelFacts& model, const Plan& plan) {
  PlannedMemory use;
  use.packed_weights = packed_bytes(model, plan.forms);
  use.stored_weights = stored_in_use_bytes(model, plan.forms);
  use.float_values = model.float_bytes;
  use.keys_and_values = kv_bytes(model.text, plan.forms.kv, plan.context_tokens);
  use.scratch = scratch_bytes(model, plan);
  use.sequence = sequence_bytes(model.text, plan.prefill_chunk);
  if (model.has_vision) {
    use.picture = picture_bytes(model.vision, plan.picture_patches);
    use.pixels = pixel_bytes(model.vision, plan.picture_patches);
  }
  use.pool = plan.pool_bytes;
  use.feature_cache = plan.feature_cache_bytes;
  use.prefix_cache = plan.prefix_cache_bytes;
  use.page_rounding = page_rounding(model, plan);
  use.program =
      kProgramBytes + u(model.text.vocab_size) * kVocabularyEntryBytes + u(plan.threads) * kThreadBytes;
  return use;
}

std::vector<std::pair<std::string_view, uint64_t>> PlannedMemory::parts() const {
  const std::pair<std::string_view, uint64_t> all[] = {{"packed weights", packed_weights},
                                                       {"stored weights", stored_weights},
                                                       {"float values", float_values},
                                                       {"keys and values", keys_and_values},
                                                       {"scratch", scratch},
                                                       {"sequence", sequence},
                                                       {"picture", picture},
                                                       {"pixels", pixels},
                                                       {"pool", pool},
                                                       {"feature cache", feature_cache},
                                                       {"prefix cache", prefix_cache},
                                                       {"page rounding", page_rounding},
                                                       {"program", program}};
  std::vector<std::pair<std::string_view, uint64_t>> out;
  std::copy_if(std::begin(all), std::end(all), std::back_inserter(out),
               [](const auto& part) { return part.second > 0; });
  return out;
}

uint64_t PlannedMemory::total() const {
  uint64_t sum = 0;
  for (const auto& [name, bytes] : parts()) sum += bytes;
  return sum;
}

}  // namespace qvl
