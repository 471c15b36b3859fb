#include "model/vision_tower.h"

#include <algorithm>

#include "base/error.h"
#include "model/vision_positions.h"
#include "optimizer/forms.h"

namespace qvl {
namespace {

uint64_t u(int64_t value) {
  QVL_CHECK(value >= 0);
  return static_cast<uint64_t>(value);
}

// Queries of one piece of attention: so many that their products with all keys stay below a bound, and whole
// blocks of those that are computed together.
int64_t piece_queries(int64_t keys) {
  constexpr int64_t kProducts = int64_t{512} * 4096, kLeast = 64;
  return std::max(kProducts / keys / kLeast * kLeast, kLeast);
}

}  // namespace

VisionTower::VisionTower(const VisionConfig& config, WeightBinder& binder) : config_(config) {
  bind_patch_embedding(binder);
  position_table_ = binder.values("model.visual.pos_embed.weight",
                                  {u(config.num_position_embeddings), u(config.hidden_size)});
  KnownStream stream(position_table_, u(config.hidden_size));
  stream.add(patch_bias_);
  const auto& levels = config.deepstack_visual_indexes;
  std::vector<KnownStream> behind;  // each block
  for (int64_t i = 0; i < config.depth; ++i) {
    blocks_.push_back(bind_block(i, binder, stream));
    behind.push_back(stream);
  }
  const bool quantised = !blocks_.empty() && !blocks_.front().qkv.parts.empty() &&
                         blocks_.front().qkv.reader().form != WeightForm::stored;
  integer_attention_ = quantised && fits_blocks(config.head_dim());
  merger_ = bind_merger("model.visual.merger", u(config.hidden_size), stream, binder);
  for (size_t level = 0; level < levels.size(); ++level) {
    deepstack_.push_back(bind_merger(fmt::format("model.visual.deepstack_merger_list.{}", level),
                                     u(config.merged_width()), behind.at(u(levels[level])), binder));
  }
}

// A GGUF file keeps one kernel per frame of the temporal patch, Hugging Face one kernel over both.
void VisionTower::bind_patch_embedding(WeightBinder& binder) {
  const std::string name = "model.visual.patch_embed.proj";
  const uint64_t hidden = u(config_.hidden_size), channels = u(config_.in_channels);
  const uint64_t frames = u(config_.temporal_patch_size), patch = u(config_.patch_size);
  const uint64_t plane = patch * patch;
  if (binder.has(name + ".weight.0")) {
    patch_weight_.resize(hidden * u(config_.patch_values()));
    for (uint64_t t = 0; t < frames; ++t) {
      const auto kernel =
          binder.values(fmt::format("{}.weight.{}", name, t), {hidden, channels, patch, patch});
      if (kernel.empty()) continue;
      for (uint64_t row = 0; row < hidden * channels; ++row) {
        std::copy_n(kernel.data() + row * plane, plane, patch_weight_.data() + (row * frames + t) * plane);
      }
    }
    patch_embedding_ = binder.stored({.dtype = DType::f32,
                                      .shape = {hidden, u(config_.patch_values())},
                                      .bytes = std::as_bytes(std::span(patch_weight_))});
  } else if (const auto* view = binder.view(name + ".weight", {hidden, channels, frames, patch, patch})) {
    patch_embedding_ = binder.stored(*view);
  }
  patch_bias_ = binder.values(name + ".bias", {hidden});
}

// Weights that read outlying channels are kept more finely. stream: what is known of x before the block, and
// behind it afterwards.
VisionTower::Block VisionTower::bind_block(int64_t index, WeightBinder& binder, KnownStream& stream) const {
  const std::string name = fmt::format("model.visual.blocks.{}.", index);
  const uint64_t hidden = u(config_.hidden_size), intermediate = u(config_.intermediate_size);
  Block block;
  block.norm1 = binder.layer_norm(name + "norm1", hidden);
  block.qkv =
      binder.linear_with_bias(name + "attn.qkv", 3 * hidden, hidden,
                              {.outlying = outlying(normed_sizes(block.norm1, stream.sizes(), hidden))});
  block.proj = binder.linear_with_bias(name + "attn.proj", hidden, hidden);
  stream.add(block.proj.bias);
  block.norm2 = binder.layer_norm(name + "norm2", hidden);
  const std::vector<float> normed = normed_sizes(block.norm2, stream.sizes(), hidden);
  block.fc1 =
      binder.linear_with_bias(name + "mlp.linear_fc1", intermediate, hidden, {.outlying = outlying(normed)});
  block.fc2 = binder.linear_with_bias(name + "mlp.linear_fc2", hidden, intermediate,
                                      binder.outputs_of(name + "mlp.linear_fc1", normed, block.fc1.bias));
  stream.add(block.fc2.bias);
  return block;
}

VisionTower::Merger VisionTower::bind_merger(const std::string& name, uint64_t norm_width,
                                             const KnownStream& stream, WeightBinder& binder) const {
  const uint64_t width = u(config_.merged_width());
  Merger merger;
  merger.norm = binder.layer_norm(name + ".norm", norm_width);
  const std::vector<float> normed = normed_sizes(merger.norm, stream.sizes(), width);
  merger.fc1 = binder.linear_with_bias(name + ".linear_fc1", width, width, {.outlying = outlying(normed)});
  merger.fc2 = binder.linear_with_bias(name + ".linear_fc2", u(config_.out_hidden_size), width,
                                       binder.outputs_of(name + ".linear_fc1", normed, merger.fc1.bias));
  return merger;
}

VisionRun VisionTower::begin(const PatchedMedia& media, Ops& ops, BetweenPieces between) const {
  const PatchGrid& grid = media.grid;
  const int64_t merge = config_.spatial_merge_size;
  QVL_CHECK(grid.t > 0 && grid.h > 0 && grid.w > 0 && grid.h % merge == 0 && grid.w % merge == 0);
  QVL_CHECK(media.pixels.rows() == u(grid.patches()) && media.pixels.columns() == u(config_.patch_values()));
  VisionRun run{.grid = grid,
                .x = Tensor(media.pixels.rows(), u(config_.hidden_size), ops.memory(MemoryPart::vision)),
                .rotary = vision_rotary(config_, grid, ops.memory(MemoryPart::vision)),
                .next_block = 0,
                .features = {}};
  for (int64_t first = 0; first < grid.patches(); first += kVisionRows) {
    const int64_t count = std::min(kVisionRows, grid.patches() - first);
    ops.linear(ops.input(media.pixels.row(u(first)), count, patch_embedding_),
               {.weights = {&patch_embedding_, 1}, .bias = patch_bias_, .y = run.x.row(u(first))});
    between();
  }
  add_position_embedding(position_table_, config_, grid, run.x);
  return run;
}

void VisionTower::step(VisionRun& run, Ops& ops, BetweenPieces between) const {
  QVL_CHECK(!done(run));
  const Block& block = blocks_[u(run.next_block)];
  attention(block, run, ops, between);
  mlp(block, run, ops, between);
  const auto& levels = config_.deepstack_visual_indexes;
  for (size_t level = 0; level < levels.size(); ++level) {
    if (levels[level] != run.next_block) continue;
    run.features.deepstack.resize(levels.size());
    run.features.deepstack[level] = merge(deepstack_[level], NormPlace::after_concat, run.x, ops, between);
  }
  ++run.next_block;
}

VisionFeatures VisionTower::finish(VisionRun run, Ops& ops, BetweenPieces between) const {
  QVL_CHECK(done(run));
  run.features.merged = merge(merger_, NormPlace::before_concat, run.x, ops, between);
  return std::move(run.features);
}

// x += proj(attention(norm1(x))); patches attend within their own temporal step.
void VisionTower::attention(const Block& block, VisionRun& run, Ops& ops, BetweenPieces between) const {
  const int64_t hidden = config_.hidden_size, rows = run.grid.patches();
  float* attended = ops.scratch(Ops::Slot::rows, rows * hidden);
  float* qkv = ops.scratch(Ops::Slot::wide, rows * 3 * hidden);
  for (int64_t first = 0; first < rows; first += kVisionRows) {
    const LinearInput input = ops.layer_norm_input({.x = run.x.row(u(first)),
                                                    .rows = std::min(kVisionRows, rows - first),
                                                    .weight = block.norm1.weight,
                                                    .bias = block.norm1.bias,
                                                    .eps = config_.layer_norm_eps,
                                                    .y = attended + first * hidden},
                                                   block.qkv.reader());
    ops.linear(input, {.weights = block.qkv.parts, .bias = block.qkv.bias, .y = qkv + first * 3 * hidden});
    between();
  }
  integer_attention_ ? attend_blocked(run, qkv, attended, ops, between) : attend(run, qkv, attended, ops);
  for (int64_t first = 0; first < rows; first += kVisionRows) {
    const int64_t count = std::min(kVisionRows, rows - first);
    ops.linear(ops.input(attended + first * hidden, count, block.proj.reader()), {.weights = block.proj.parts,
                                                                                  .bias = block.proj.bias,
                                                                                  .y = run.x.row(u(first)),
                                                                                  .epilogue = Epilogue::add});
    between();
  }
}

void VisionTower::attend(const VisionRun& run, float* qkv, float* out, Ops& ops) const {
  const int64_t hidden = config_.hidden_size, step_rows = run.grid.h * run.grid.w;
  for (int64_t t = 0; t < run.grid.t; ++t) {
    float* q = qkv + t * step_rows * 3 * hidden;
    ops.rope(q, config_.num_heads, 3 * hidden, run.rotary);
    ops.rope(q + hidden, config_.num_heads, 3 * hidden, run.rotary);
    ops.attention(AttentionArgs{.q = q,
                                .k = q + hidden,
                                .v = q + 2 * hidden,
                                .out = out + t * step_rows * hidden,
                                .queries = step_rows,
                                .keys = step_rows,
                                .first = 0,
                                .heads = config_.num_heads,
                                .kv_heads = config_.num_heads,
                                .head_dim = config_.head_dim(),
                                .q_stride = 3 * hidden,
                                .kv_stride = 3 * hidden,
                                .mask = AttentionArgs::Mask::none});
  }
}

void VisionTower::attend_blocked(const VisionRun& run, float* qkv, float* out, Ops& ops,
                                 BetweenPieces between) const {
  const int64_t hidden = config_.hidden_size, step_rows = run.grid.h * run.grid.w;
  const int64_t block_bytes = KvBlockLayout{config_.head_dim()}.bytes();
  const int64_t blocks = (step_rows + kBlockKeys - 1) / kBlockKeys;
  const int64_t floats = config_.num_heads * blocks * block_bytes / static_cast<int64_t>(sizeof(float));
  float* memory = ops.scratch(Ops::Slot::kv_blocks, floats);
  const KvBlocks kv{.data = std::as_writable_bytes(std::span(memory, u(floats))).data(),
                    .head_stride = blocks * block_bytes,
                    .width = config_.head_dim()};
  for (int64_t t = 0; t < run.grid.t; ++t) {
    float* q = qkv + t * step_rows * 3 * hidden;
    ops.rope(q, config_.num_heads, 3 * hidden, run.rotary);
    ops.rope(q + hidden, config_.num_heads, 3 * hidden, run.rotary);
    ops.write_kv(kv, {.k = q + hidden,
                      .v = q + 2 * hidden,
                      .tokens = step_rows,
                      .first = 0,
                      .kv_heads = config_.num_heads,
                      .stride = 3 * hidden});
    between();
    const int64_t piece = piece_queries(step_rows);
    for (int64_t first = 0; first < step_rows; first += piece) {
      ops.attention(BlockedAttentionArgs{.q = q + first * 3 * hidden,
                                         .kv = kv,
                                         .out = out + (t * step_rows + first) * hidden,
                                         .queries = std::min(piece, step_rows - first),
                                         .keys = step_rows,
                                         .first = 0,
                                         .heads = config_.num_heads,
                                         .kv_heads = config_.num_heads,
                                         .q_stride = 3 * hidden,
                                         .mask = AttentionArgs::Mask::none});
      between();
    }
  }
}

// x += fc2(gelu(fc1(norm2(x))))
void VisionTower::mlp(const Block& block, VisionRun& run, Ops& ops, BetweenPieces between) const {
  const int64_t hidden = config_.hidden_size, rows = run.grid.patches();
  const int64_t share = std::min(rows, kVisionRows);
  float* normed = ops.scratch(Ops::Slot::rows, share * hidden);
  float* inner = ops.scratch(Ops::Slot::wide, share * config_.intermediate_size);
  for (int64_t first = 0; first < rows; first += kVisionRows) {
    const int64_t count = std::min(kVisionRows, rows - first);
    float* x = run.x.row(u(first));
    const LinearInput input = ops.layer_norm_input({.x = x,
                                                    .rows = count,
                                                    .weight = block.norm2.weight,
                                                    .bias = block.norm2.bias,
                                                    .eps = config_.layer_norm_eps,
                                                    .y = normed},
                                                   block.fc1.reader());
    ops.linear(
        input,
        {.weights = block.fc1.parts, .bias = block.fc1.bias, .y = inner, .epilogue = Epilogue::gelu_tanh});
    between();
    ops.linear(ops.input(inner, count, block.fc2.reader()),
               {.weights = block.fc2.parts, .bias = block.fc2.bias, .y = x, .epilogue = Epilogue::add});
    between();
  }
}

// Four neighbouring patches (consecutive rows) become one token. The main merger normalises patches, the
// DeepStack mergers the joined rows.
Tensor VisionTower::merge(const Merger& merger, NormPlace place, const Tensor& x, Ops& ops,
                          BetweenPieces between) const {
  const int64_t width = config_.merged_width(), patches = width / config_.hidden_size;
  const int64_t tokens = static_cast<int64_t>(x.rows()) / patches;
  const int64_t share = std::min(tokens, kVisionRows / 4);
  const bool by_patch = place == NormPlace::before_concat;
  float* normed = ops.scratch(Ops::Slot::rows, share * width);
  float* inner = ops.scratch(Ops::Slot::wide, share * width);
  Tensor out(u(tokens), u(config_.out_hidden_size), ops.memory(MemoryPart::caches));
  for (int64_t first = 0; first < tokens; first += share) {
    const int64_t count = std::min(share, tokens - first);
    ops.layer_norm({.x = x.row(u(first * patches)),
                    .rows = by_patch ? count * patches : count,
                    .weight = merger.norm.weight,
                    .bias = merger.norm.bias,
                    .eps = config_.layer_norm_eps,
                    .y = normed});
    ops.linear(
        ops.input(normed, count, merger.fc1.reader()),
        {.weights = merger.fc1.parts, .bias = merger.fc1.bias, .y = inner, .epilogue = Epilogue::gelu_erf});
    ops.linear(ops.input(inner, count, merger.fc2.reader()),
               {.weights = merger.fc2.parts, .bias = merger.fc2.bias, .y = out.row(u(first))});
    between();
  }
  return out;
}

}  // namespace qvl
