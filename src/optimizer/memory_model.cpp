#include "optimizer/memory_model.h"

#include <algorithm>
#include <iterator>
#include <numeric>

#include "base/error.h"
#include "kernels/attention/kv_block.h"
#include "kernels/matmul/packed_weight.h"
#include "kernels/matmul/tile.h"
#include "kernels/quantise/quantised_rows.h"
#include "memory/memory_home.h"

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

uint64_t taken(int64_t floats) { return MemoryHome::taken_bytes(u(floats * kFloat)); }

// What Ops keeps: the largest of each that any operation asked for, in blocks of the pool.
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
    const uint64_t plane = MemoryHome::taken_bytes(u(group_rows * kGroup)) + 2 * taken(group_rows) +
                           taken(group_rows * (kGroup / kSubgroup));
    return taken(rows) + taken(wide) + taken(heads) + taken(kv_blocks) + u(threads) * taken(worker) +
           2 * plane + MemoryHome::taken_bytes(u(group_rows));
  }
};

// Any quantised form stands for all: their inputs are alike.
WeightForm form_of(const ModelFacts& model, const ModelForms& forms, WeightPlace place) {
  return is_quantised(model, forms, place) ? WeightForm::q8 : WeightForm::stored;
}

// A chunk of `tokens`, with `keys` tokens in the cache then.
void add_decoder(const ModelFacts& model, const ModelForms& forms, const DecoderWork& work,
                 Scratch& scratch) {
  const TextConfig& config = model.text;
  const int64_t tokens = work.chunk_tokens, hidden = config.hidden_size, q = config.query_width();
  if (tokens == 0) return;
  const WeightForm form = form_of(model, forms, WeightPlace::text);
  scratch.rows = std::max(scratch.rows, tokens * hidden);
  scratch.wide =
      std::max({scratch.wide, tokens * (q + 2 * config.kv_width()), tokens * 2 * config.intermediate_size});
  scratch.heads = std::max(scratch.heads, tokens * q);
  for (int64_t inputs : {hidden, q, config.intermediate_size}) scratch.product(tokens, inputs, form);
  if (forms.kv == KvForm::f32) scratch.worker = std::max(scratch.worker, work.keys);
}

void add_tower(const ModelFacts& model, const ModelForms& forms, const MediumWork& work, Scratch& scratch) {
  const VisionConfig& config = model.vision;
  const int64_t patches = work.patches, hidden = config.hidden_size;
  if (patches == 0) return;
  const int64_t share = std::min(patches, kVisionRows);
  const int64_t merge = config.spatial_merge_size * config.spatial_merge_size;
  const WeightForm form = form_of(model, forms, WeightPlace::vision);
  scratch.rows = std::max(scratch.rows, patches * hidden);
  scratch.wide = std::max({scratch.wide, patches * 3 * hidden, share * config.intermediate_size});
  scratch.product(share, config.patch_values(), WeightForm::stored);
  scratch.product(share, hidden, form);
  scratch.product(share, config.intermediate_size, form);
  scratch.product(std::min(patches / merge, kVisionRows / 4), config.merged_width(), form);
  if (form == WeightForm::stored || !fits_blocks(config.head_dim())) {
    scratch.worker = std::max(scratch.worker, work.step_patches);
    return;
  }
  const int64_t blocks = (work.step_patches + kBlockKeys - 1) / kBlockKeys;
  const int64_t floats = config.num_heads * blocks * KvBlockLayout{config.head_dim()}.bytes() / kFloat;
  scratch.kv_blocks = std::max(scratch.kv_blocks, floats);
}

// Hidden states and rotation of a chunk, and rows of logits.
uint64_t sequence_bytes(const TextConfig& config, int64_t tokens, int64_t logit_rows) {
  return taken(tokens * config.hidden_size) + 2 * taken(tokens * (config.head_dim / 2)) +
         taken(logit_rows * config.vocab_size);
}

// What encoding holds besides scratch and features.
uint64_t state_bytes(const VisionConfig& config, const MediumWork& work) {
  return taken(work.patches * config.hidden_size) + 2 * taken(work.step_patches * (config.head_dim() / 2));
}

// The decoded picture, the resized one, and the rows cut from it. The decoded one is taken to be as large as
// the resized one: a larger file takes three bytes a pixel more while it is read.
uint64_t planned_pixel_bytes(const VisionConfig& config, int64_t patches) {
  const int64_t rgb = patches * config.patch_size * config.patch_size * kRgb;
  return 2 * MemoryHome::taken_bytes(u(rgb)) + taken(patches * config.patch_values());
}

MediumWork picture_of(const Plan& plan) {
  return {.patches = plan.picture_patches, .step_patches = plan.picture_patches};
}

// What is touched of a tensor of scratch ends somewhere in a huge page. Pages of keys and values begin with
// one and are used whole.
uint64_t page_rounding(const Plan& plan) {
  constexpr int64_t kScratchTensors = 16;
  uint64_t bytes = plan.huge_weights ? kHugePage : 0;
  if (plan.huge_pages) bytes += u(kScratchTensors + plan.threads) * kHugePage;
  return bytes;
}

}  // namespace

uint64_t kv_bytes(const TextConfig& config, KvForm form, int64_t tokens) {
  const int64_t pages = (tokens + kBlockKeys - 1) / kBlockKeys;
  if (form == KvForm::f32) {
    return u(pages) * taken(2 * config.num_hidden_layers * kBlockKeys * config.kv_width());
  }
  const KvBlockLayout layout{config.head_dim, form == KvForm::i16 ? KvInteger::i16 : KvInteger::i8};
  return u(pages) *
         MemoryHome::taken_bytes(u(config.num_hidden_layers * config.num_key_value_heads * layout.bytes()));
}

uint64_t feature_bytes(const VisionConfig& config, int64_t patches) {
  const int64_t tokens = patches / (config.spatial_merge_size * config.spatial_merge_size);
  return taken(tokens * config.out_hidden_size) * (1 + config.deepstack_visual_indexes.size());
}

uint64_t scratch_bytes(const ModelFacts& model, const Plan& plan) {
  Scratch scratch{.isa = plan.forms.isa};
  add_decoder(model, plan.forms, {.chunk_tokens = plan.prefill_chunk, .keys = plan.context_tokens}, scratch);
  if (model.has_vision) add_tower(model, plan.forms, picture_of(plan), scratch);
  return scratch.bytes(plan.threads);
}

uint64_t tokenizer_bytes(int64_t vocabulary) { return u(vocabulary) * kVocabularyEntryBytes; }

std::vector<MemoryNeed> request_needs(const ModelFacts& model, const ModelForms& forms,
                                      const RequestWork& work) {
  using enum MemoryPart;
  BytesByPart now{}, most{};
  const auto at = [&](MemoryPart part) -> uint64_t& { return now[index_of(part)]; };
  const auto sum = [](const BytesByPart& bytes) {
    return std::accumulate(bytes.begin(), bytes.end(), uint64_t{0});
  };
  const auto look = [&] {
    if (sum(now) > sum(most)) most = now;
  };
  Scratch held{.isa = forms.isa};
  for (const MediumWork& medium : work.media) {
    at(pixels) = medium.cutting_bytes;
    look();
    add_tower(model, forms, medium, held);
    at(pixels) = medium.cutting_bytes == 0 ? 0 : medium.patch_bytes;
    at(vision) = state_bytes(model.vision, medium);
    at(scratch) = held.bytes(work.threads);
    at(caches) += feature_bytes(model.vision, medium.patches);
    look();
    at(pixels) = at(vision) = 0;
  }
  add_decoder(model, forms, work.decoder, held);
  at(kv) = work.kv_bytes;
  at(scratch) =
      held.bytes(work.threads) + sequence_bytes(model.text, work.decoder.chunk_tokens, work.logit_rows);
  look();
  std::vector<MemoryNeed> needs;
  for (const MemoryPart part : {kv, vision, pixels, scratch, caches}) {
    needs.push_back({.part = part, .bytes = most[index_of(part)]});
  }
  return needs;
}

PlannedMemory predict_memory(const ModelFacts& model, const Plan& plan) {
  PlannedMemory use;
  use.packed_weights = packed_bytes(model, plan.forms);
  use.stored_weights = stored_in_use_bytes(model, plan.forms);
  use.float_values = model.float_bytes;
  use.keys_and_values = kv_bytes(model.text, plan.forms.kv, plan.context_tokens);
  use.scratch = scratch_bytes(model, plan);
  use.sequence = sequence_bytes(model.text, plan.prefill_chunk, 1);
  if (model.has_vision) {
    use.picture =
        state_bytes(model.vision, picture_of(plan)) + feature_bytes(model.vision, plan.picture_patches);
    use.pixels = planned_pixel_bytes(model.vision, plan.picture_patches);
  }
  use.pool = plan.pool_bytes;
  use.feature_cache = plan.feature_cache_bytes;
  use.prefix_cache = plan.prefix_cache_bytes;
  use.page_rounding = page_rounding(plan);
  use.program = kProgramBytes + tokenizer_bytes(model.text.vocab_size) + u(plan.threads) * kThreadBytes;
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
