#include "model/text_decoder.h"

#include <algorithm>

#include "base/error.h"
#include "model/text_rotary.h"
#include "optimizer/model_facts.h"

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
      source_(binder.source()),
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

uint64_t TextDecoder::weight_bytes() const {
  uint64_t bytes = head_.bytes();
  for (const Layer& layer : layers_) {
    for (const Linear* linear : {&layer.qkv, &layer.o, &layer.gate_up, &layer.down}) bytes += linear->bytes();
  }
  return bytes;
}

void TextDecoder::embed(const Chunk& chunk, int64_t first, float* x) const {
  const uint64_t hidden = u(config_.hidden_size);
  const DecodeRow decode = decoder(embedding_.dtype);
  const uint64_t row_bytes = embedding_.bytes.size() / embedding_.shape[0];
  for (size_t i = 0; i < chunk.ids.size(); ++i) {
    const int64_t id = chunk.ids[i];
    if (id < 0 || id >= config_.vocab_size) {
      fail(ErrorCode::usage, "token {}: found id {}, expected 0 to {}", u(first) + i, id,
           config_.vocab_size - 1);
    }
    decode(embedding_.bytes.data() + u(id) * row_bytes, hidden, x + i * hidden);
    if ((i + 1) % kMostMappedRows == 0) source_.release(embedding_.bytes);
  }
  each_visual_row(chunk, first, [&](uint64_t row, const VisionFeatures& features, uint64_t feature_row) {
    std::copy_n(features.merged.row(feature_row), hidden, x + row * hidden);
  });
}

void TextDecoder::begin(std::span<const SequenceStep> steps, DecoderPass& pass) const {
  uint64_t tokens = 0;
  for (const SequenceStep& step : steps) tokens += step.chunk.ids.size();
  pass.x.resize(tokens, u(config_.hidden_size));
  pass.rotary.cos.resize(tokens, u(config_.head_dim / 2));
  pass.rotary.sin.resize(tokens, u(config_.head_dim / 2));
  uint64_t row = 0;
  for (const SequenceStep& step : steps) {
    QVL_CHECK(step.chunk.ids.size() == step.chunk.positions.size());
    embed(step.chunk, step.cache->size(), pass.x.row(row));
    step.cache->reserve(std::ssize(step.chunk.ids));
    write_text_rotary(config_, step.chunk.positions, row, pass.rotary);
    row += step.chunk.ids.size();
  }
}

void TextDecoder::forward(std::span<const SequenceStep> steps, DecoderPass& pass, Ops& ops) const {
  begin(steps, pass);
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) layer(i, steps, pass, ops);
  for (const SequenceStep& step : steps) step.cache->commit(std::ssize(step.chunk.ids));
  ops.rms_norm({.x = pass.x.data(),
                .rows = static_cast<int64_t>(pass.x.rows()),
                .weight = norm_.weight,
                .eps = config_.rms_norm_eps,
                .y = pass.x.data()});
}

void TextDecoder::layer(int64_t index, std::span<const SequenceStep> steps, DecoderPass& pass,
                        Ops& ops) const {
  attention(index, steps, pass, ops);
  mlp(layers_[u(index)], pass.x, ops);
  uint64_t first = 0;
  for (const SequenceStep& step : steps) {
    each_visual_row(step.chunk, step.cache->size(),
                    [&](uint64_t row, const VisionFeatures& features, uint64_t feature_row) {
                      if (u(index) >= features.deepstack.size()) return;
                      add_row(pass.x.row(first + row), features.deepstack[u(index)].row(feature_row),
                              pass.x.columns());
                    });
    first += step.chunk.ids.size();
  }
}

// x += o(attention(rope(norm(q)), rope(norm(k)), v))
void TextDecoder::attention(int64_t index, std::span<const SequenceStep> steps, DecoderPass& pass,
                            Ops& ops) const {
  const Layer& layer = layers_[u(index)];
  const auto tokens = static_cast<int64_t>(pass.x.rows());
  const int64_t q_width = config_.query_width(), width = q_width + 2 * config_.kv_width();
  float* qkv = ops.scratch(Ops::Slot::wide, tokens * width);
  float* rows = ops.scratch(Ops::Slot::rows, tokens * config_.hidden_size);
  const LinearInput input = ops.rms_norm_input({.x = pass.x.data(),
                                                .rows = tokens,
                                                .weight = layer.input_norm.weight,
                                                .eps = config_.rms_norm_eps,
                                                .y = rows},
                                               layer.qkv.reader());
  ops.linear(input, {.weights = layer.qkv.parts, .bias = {}, .y = qkv});
  normalise_heads(layer, pass.rotary, qkv, ops);
  float* attended = ops.scratch(Ops::Slot::heads, tokens * q_width);
  int64_t first = 0;
  for (const SequenceStep& step : steps) {
    attend(index, step, qkv + first * width, attended + first * q_width, ops);
    first += std::ssize(step.chunk.ids);
  }
  ops.linear(ops.input(attended, tokens, layer.o.reader()),
             {.weights = layer.o.parts, .bias = {}, .y = pass.x.data(), .epilogue = Epilogue::add});
}

// QK-norm and rotation, in place. qkv: [tokens, query_width + 2 kv_width]
void TextDecoder::normalise_heads(const Layer& layer, const RotaryTable& rotary, float* qkv, Ops& ops) const {
  const int64_t stride = config_.query_width() + 2 * config_.kv_width();
  const auto tokens = static_cast<int64_t>(rotary.cos.rows());
  ops.head_norm(qkv, {.heads = config_.num_attention_heads, .stride = stride, .tokens = tokens},
                layer.q_norm.weight, config_.rms_norm_eps);
  ops.head_norm(qkv + config_.query_width(),
                {.heads = config_.num_key_value_heads, .stride = stride, .tokens = tokens},
                layer.k_norm.weight, config_.rms_norm_eps);
  ops.rope(qkv, config_.num_attention_heads, stride, rotary);
  ops.rope(qkv + config_.query_width(), config_.num_key_value_heads, stride, rotary);
}

void TextDecoder::attend(int64_t index, const SequenceStep& step, float* qkv, float* out, Ops& ops) const {
  KvCache& cache = *step.cache;
  const int64_t q_width = config_.query_width(), kv_width = config_.kv_width();
  const int64_t stride = q_width + 2 * kv_width;
  const int64_t tokens = std::ssize(step.chunk.ids), held = cache.size();
  const float* k = qkv + q_width;
  const float* v = k + kv_width;
  if (cache.form() != KvForm::f32) {
    const KvBlocks blocks = cache.blocks(index);
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
    std::copy_n(k + t * stride, kv_width, cache.key(index, held + t));
    std::copy_n(v + t * stride, kv_width, cache.value(index, held + t));
  }
  ops.attention(AttentionArgs{.q = qkv,
                              .k = nullptr,
                              .v = nullptr,
                              .out = out,
                              .queries = tokens,
                              .keys = held + tokens,
                              .first = held,
                              .heads = config_.num_attention_heads,
                              .kv_heads = config_.num_key_value_heads,
                              .head_dim = config_.head_dim,
                              .q_stride = stride,
                              .kv_stride = kv_width,
                              .mask = AttentionArgs::Mask::causal,
                              .paged = cache.rows(index)});
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
                                               layer.gate_up.reader());
  ops.linear(input, {.weights = layer.gate_up.parts, .bias = {}, .y = gate_up});
  ops.linear(ops.silu_input(gate_up, tokens, layer.down.reader()),
             {.weights = layer.down.parts, .bias = {}, .y = x.data(), .epilogue = Epilogue::add});
}

}  // namespace qvl
