#include "model/text_decoder.h"

#include <algorithm>

#include "base/error.h"
#include "model/text_rotary.h"

namespace qvl {
namespace {

uint64_t u(int64_t value) {
  QVL_CHECK(value >= 0);
  return static_cast<uint64_t>(value);
}

// Calls body(row in the chunk, features, row in the features) for each visual token of the chunk.
template <typename Body>
void each_visual_row(const Chunk& chunk, int64_t first, Body body) {
  const int64_t last = first + std::ssize(chunk.ids);
  for (const VisualSpan& span : chunk.visual) {
    const int64_t begin = std::max(first, span.position), end = std::min(last, span.position + span.count);
    for (int64_t position = begin; position < end; ++position) {
      body(u(position - first), *span.features, u(span.first_row + position - span.position));
    }
  }
}

void add_row(float* x, const float* y, uint64_t width) {
  for (uint64_t i = 0; i < width; ++i) x[i] += y[i];
}

}  // namespace

TextDecoder::TextDecoder(const TextConfig& config, WeightBinder& binder)
    : config_(config),
      head_(config.tie_word_embeddings ? "model.language_model.embed_tokens" : "lm_head",
            u(config.vocab_size), u(config.hidden_size), binder) {
  const uint64_t vocabulary = u(config.vocab_size), hidden = u(config.hidden_size);
  if (const TensorView* found =
          binder.view("model.language_model.embed_tokens.weight", {vocabulary, hidden})) {
    embedding_ = *found;
  }
  norm_ = binder.rms_norm("model.language_model.norm", hidden);
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) layers_.push_back(bind_layer(i, binder));
}

TextDecoder::Layer TextDecoder::bind_layer(int64_t index, WeightBinder& binder) const {
  const std::string name = fmt::format("model.language_model.layers.{}.", index);
  const uint64_t hidden = u(config_.hidden_size), intermediate = u(config_.intermediate_size);
  const uint64_t q = u(config_.query_width()), kv = u(config_.kv_width()), head = u(config_.head_dim);
  return {
      .input_norm = binder.rms_norm(name + "input_layernorm", hidden),
      .post_attention_norm = binder.rms_norm(name + "post_attention_layernorm", hidden),
      .q_norm = binder.rms_norm(name + "self_attn.q_norm", head),
      .k_norm = binder.rms_norm(name + "self_attn.k_norm", head),
      .qkv = binder.joined(
          {{name + "self_attn.q_proj", q}, {name + "self_attn.k_proj", kv}, {name + "self_attn.v_proj", kv}},
          hidden),
      .o = binder.linear(name + "self_attn.o_proj", hidden, q),
      .gate_up = binder.joined({{name + "mlp.gate_proj", intermediate}, {name + "mlp.up_proj", intermediate}},
                               hidden),
      .down = binder.linear(name + "mlp.down_proj", hidden, intermediate)};
}

Tensor TextDecoder::embed(const Chunk& chunk, int64_t first) const {
  const uint64_t hidden = u(config_.hidden_size);
  Tensor x(chunk.ids.size(), hidden);
  const DecodeRow decode = decoder(embedding_.dtype);
  const uint64_t row_bytes = embedding_.bytes.size() / embedding_.shape[0];
  for (size_t i = 0; i < chunk.ids.size(); ++i) {
    const int64_t id = chunk.ids[i];
    if (id < 0 || id >= config_.vocab_size) {
      fail(ErrorCode::usage, "token {}: found id {}, expected 0 to {}", u(first) + i, id,
           config_.vocab_size - 1);
    }
    decode(embedding_.bytes.data() + u(id) * row_bytes, hidden, x.row(i));
  }
  each_visual_row(chunk, first, [&](uint64_t row, const VisionFeatures& features, uint64_t feature_row) {
    std::copy_n(features.merged.row(feature_row), hidden, x.row(row));
  });
  return x;
}

Tensor TextDecoder::forward(const Chunk& chunk, KvCache& cache, Ops& ops) const {
  QVL_CHECK(chunk.ids.size() == chunk.positions.size());
  const int64_t tokens = std::ssize(chunk.ids);
  Tensor x = embed(chunk, cache.size());
  cache.reserve(tokens);
  const RotaryTable rotary = text_rotary(config_, chunk.positions);
  const LayerRun run{chunk, rotary, cache};
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) layer(i, run, x, ops);
  cache.commit(tokens);
  ops.rms_norm(
      {.x = x.data(), .rows = tokens, .weight = norm_.weight, .eps = config_.rms_norm_eps, .y = x.data()});
  return x;
}

void TextDecoder::layer(int64_t index, const LayerRun& run, Tensor& x, Ops& ops) const {
  const Layer& weights = layers_[u(index)];
  attention(weights, index, run, x, ops);
  mlp(weights, x, ops);
  each_visual_row(run.chunk, run.cache.size(),
                  [&](uint64_t row, const VisionFeatures& features, uint64_t feature_row) {
                    if (u(index) >= features.deepstack.size()) return;
                    add_row(x.row(row), features.deepstack[u(index)].row(feature_row), x.columns());
                  });
}

// x += o(attention(rope(norm(q)), rope(norm(k)), v))
void TextDecoder::attention(const Layer& layer, int64_t index, const LayerRun& run, Tensor& x,
                            Ops& ops) const {
  const auto tokens = static_cast<int64_t>(x.rows());
  const int64_t q_width = config_.query_width(), kv_width = config_.kv_width();
  const int64_t width = q_width + 2 * kv_width;
  float* qkv = ops.scratch(Ops::Slot::wide, tokens * width);
  float* rows = ops.scratch(Ops::Slot::rows, tokens * config_.hidden_size);
  const LinearInput input = ops.rms_norm_input({.x = x.data(),
                                                .rows = tokens,
                                                .weight = layer.input_norm.weight,
                                                .eps = config_.rms_norm_eps,
                                                .y = rows},
                                               layer.qkv.form());
  ops.linear(input, {.weights = layer.qkv.parts, .bias = {}, .y = qkv});
  normalise_heads(layer, run, qkv, ops);
  float* attended = ops.scratch(Ops::Slot::heads, tokens * q_width);
  attend(index, run, qkv, attended, ops);
  ops.linear(ops.input(attended, tokens, q_width, layer.o.form()),
             {.weights = layer.o.parts, .bias = {}, .y = x.data(), .epilogue = Epilogue::add});
}

// QK-norm and rotation, in place. qkv: [tokens, query_width + 2 kv_width]
void TextDecoder::normalise_heads(const Layer& layer, const LayerRun& run, float* qkv, Ops& ops) const {
  const int64_t stride = config_.query_width() + 2 * config_.kv_width();
  const auto tokens = std::ssize(run.chunk.ids);
  ops.head_norm(qkv, {.heads = config_.num_attention_heads, .stride = stride, .tokens = tokens},
                layer.q_norm.weight, config_.rms_norm_eps);
  ops.head_norm(qkv + config_.query_width(),
                {.heads = config_.num_key_value_heads, .stride = stride, .tokens = tokens},
                layer.k_norm.weight, config_.rms_norm_eps);
  ops.rope(qkv, config_.num_attention_heads, stride, run.rotary);
  ops.rope(qkv + config_.query_width(), config_.num_key_value_heads, stride, run.rotary);
}

void TextDecoder::attend(int64_t index, const LayerRun& run, float* qkv, float* out, Ops& ops) const {
  const int64_t q_width = config_.query_width(), kv_width = config_.kv_width();
  const int64_t stride = q_width + 2 * kv_width;
  const int64_t tokens = std::ssize(run.chunk.ids), held = run.cache.size();
  const float* k = qkv + q_width;
  const float* v = k + kv_width;
  if (run.cache.form() == KvForm::i16) {
    const KvBlocks blocks = run.cache.blocks(index);
    ops.write_kv(blocks, {.k = k,
                          .v = v,
                          .tokens = tokens,
                          .first = held,
                          .kv_heads = config_.num_key_value_heads,
                          .stride = stride});
    ops.attention(BlockedAttentionArgs{.q = qkv,
                                       .kv = blocks,
                                       .out = out,
                                       .queries = tokens,
                                       .keys = held + tokens,
                                       .first = held,
                                       .heads = config_.num_attention_heads,
                                       .kv_heads = config_.num_key_value_heads,
                                       .q_stride = stride,
                                       .mask = AttentionArgs::Mask::causal});
    return;
  }
  for (int64_t t = 0; t < tokens; ++t) {
    std::copy_n(k + t * stride, kv_width, run.cache.keys(index) + (held + t) * kv_width);
    std::copy_n(v + t * stride, kv_width, run.cache.values(index) + (held + t) * kv_width);
  }
  ops.attention(AttentionArgs{.q = qkv,
                              .k = run.cache.keys(index),
                              .v = run.cache.values(index),
                              .out = out,
                              .queries = tokens,
                              .keys = held + tokens,
                              .first = held,
                              .heads = config_.num_attention_heads,
                              .kv_heads = config_.num_key_value_heads,
                              .head_dim = config_.head_dim,
                              .q_stride = stride,
                              .kv_stride = kv_width,
                              .mask = AttentionArgs::Mask::causal});
}

// x += down(silu(gate(norm(x))) * up(norm(x)))
void TextDecoder::mlp(const Layer& layer, Tensor& x, Ops& ops) const {
  const auto tokens = static_cast<int64_t>(x.rows());
  float* rows = ops.scratch(Ops::Slot::rows, tokens * config_.hidden_size);
  float* gate_up = ops.scratch(Ops::Slot::wide, tokens * 2 * config_.intermediate_size);
  const LinearInput input = ops.rms_norm_input({.x = x.data(),
                                                .rows = tokens,
                                                .weight = layer.post_attention_norm.weight,
                                                .eps = config_.rms_norm_eps,
                                                .y = rows},
                                               layer.gate_up.form());
  ops.linear(input, {.weights = layer.gate_up.parts, .bias = {}, .y = gate_up});
  ops.linear(ops.silu_input(gate_up, tokens, config_.intermediate_size, layer.down.form()),
             {.weights = layer.down.parts, .bias = {}, .y = x.data(), .epilogue = Epilogue::add});
}

}  // namespace qvl
