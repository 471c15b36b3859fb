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

TextDecoder::TextDecoder(const TextConfig& config, WeightBinder& binder) : config_(config) {
  const uint64_t vocabulary = u(config.vocab_size), hidden = u(config.hidden_size);
  embedding_ = binder.linear("model.language_model.embed_tokens", vocabulary, hidden).weight;
  head_ = config.tie_word_embeddings ? embedding_ : binder.linear("lm_head", vocabulary, hidden).weight;
  norm_ = binder.rms_norm("model.language_model.norm", hidden);
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) layers_.push_back(bind_layer(i, binder));
}

TextDecoder::Layer TextDecoder::bind_layer(int64_t index, WeightBinder& binder) const {
  const std::string name = fmt::format("model.language_model.layers.{}.", index);
  const uint64_t hidden = u(config_.hidden_size), intermediate = u(config_.intermediate_size);
  const uint64_t q = u(config_.query_width()), kv = u(config_.kv_width()), head = u(config_.head_dim);
  return {.input_norm = binder.rms_norm(name + "input_layernorm", hidden),
          .post_attention_norm = binder.rms_norm(name + "post_attention_layernorm", hidden),
          .q_norm = binder.rms_norm(name + "self_attn.q_norm", head),
          .k_norm = binder.rms_norm(name + "self_attn.k_norm", head),
          .q = binder.linear(name + "self_attn.q_proj", q, hidden),
          .k = binder.linear(name + "self_attn.k_proj", kv, hidden),
          .v = binder.linear(name + "self_attn.v_proj", kv, hidden),
          .o = binder.linear(name + "self_attn.o_proj", hidden, q),
          .gate = binder.linear(name + "mlp.gate_proj", intermediate, hidden),
          .up = binder.linear(name + "mlp.up_proj", intermediate, hidden),
          .down = binder.linear(name + "mlp.down_proj", hidden, intermediate)};
}

Tensor TextDecoder::embed(const Chunk& chunk, int64_t first) const {
  const uint64_t hidden = u(config_.hidden_size);
  Tensor x(chunk.ids.size(), hidden);
  const DecodeRow decode = decoder(embedding_.dtype);
  for (size_t i = 0; i < chunk.ids.size(); ++i) {
    const int64_t id = chunk.ids[i];
    if (id < 0 || id >= config_.vocab_size) {
      fail(ErrorCode::usage, "token {}: found id {}, expected 0 to {}", u(first) + i, id,
           config_.vocab_size - 1);
    }
    decode(embedding_.data + u(id) * embedding_.row_bytes, hidden, x.row(i));
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
  const int64_t held = run.cache.size(), q_width = config_.query_width(), kv_width = config_.kv_width();
  const double eps = config_.rms_norm_eps;
  Tensor normed(x.rows(), x.columns()), q(x.rows(), u(q_width)), attended(x.rows(), u(q_width));
  float* k = run.cache.keys(index) + held * kv_width;
  float* v = run.cache.values(index) + held * kv_width;
  ops.rms_norm(
      {.x = x.data(), .rows = tokens, .weight = layer.input_norm.weight, .eps = eps, .y = normed.data()});
  ops.linear({.x = normed.data(), .rows = tokens, .weight = &layer.q.weight, .bias = {}, .y = q.data()});
  ops.linear({.x = normed.data(), .rows = tokens, .weight = &layer.k.weight, .bias = {}, .y = k});
  ops.linear({.x = normed.data(), .rows = tokens, .weight = &layer.v.weight, .bias = {}, .y = v});
  const int64_t q_rows = tokens * config_.num_attention_heads, k_rows = tokens * config_.num_key_value_heads;
  ops.rms_norm({.x = q.data(), .rows = q_rows, .weight = layer.q_norm.weight, .eps = eps, .y = q.data()});
  ops.rms_norm({.x = k, .rows = k_rows, .weight = layer.k_norm.weight, .eps = eps, .y = k});
  ops.rope(q.data(), config_.num_attention_heads, q_width, run.rotary);
  ops.rope(k, config_.num_key_value_heads, kv_width, run.rotary);
  ops.attention({.q = q.data(),
                 .k = run.cache.keys(index),
                 .v = run.cache.values(index),
                 .out = attended.data(),
                 .queries = tokens,
                 .keys = held + tokens,
                 .first = held,
                 .heads = config_.num_attention_heads,
                 .kv_heads = config_.num_key_value_heads,
                 .head_dim = config_.head_dim,
                 .q_stride = q_width,
                 .kv_stride = kv_width,
                 .mask = AttentionArgs::Mask::causal});
  ops.linear(
      {.x = attended.data(), .rows = tokens, .weight = &layer.o.weight, .bias = {}, .y = normed.data()});
  ops.add(x.values(), normed.values());
}

// x += down(silu(gate(norm(x))) * up(norm(x)))
void TextDecoder::mlp(const Layer& layer, Tensor& x, Ops& ops) const {
  const auto tokens = static_cast<int64_t>(x.rows());
  Tensor normed(x.rows(), x.columns());
  Tensor gate(x.rows(), u(config_.intermediate_size)), up(x.rows(), u(config_.intermediate_size));
  ops.rms_norm({.x = x.data(),
                .rows = tokens,
                .weight = layer.post_attention_norm.weight,
                .eps = config_.rms_norm_eps,
                .y = normed.data()});
  ops.linear(
      {.x = normed.data(), .rows = tokens, .weight = &layer.gate.weight, .bias = {}, .y = gate.data()});
  ops.linear({.x = normed.data(), .rows = tokens, .weight = &layer.up.weight, .bias = {}, .y = up.data()});
  ops.silu_multiply(gate.values(), up.values());
  ops.linear(
      {.x = gate.data(), .rows = tokens, .weight = &layer.down.weight, .bias = {}, .y = normed.data()});
  ops.add(x.values(), normed.values());
}

void TextDecoder::logits(const float* hidden, int64_t rows, float* out, Ops& ops) const {
  ops.linear({.x = hidden, .rows = rows, .weight = &head_, .bias = {}, .y = out});
}

}  // namespace qvl
