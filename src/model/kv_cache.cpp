#include "model/kv_cache.h"

#include <algorithm>

#include "base/error.h"

namespace qvl {
namespace {

KvBlockLayout layout_of(KvForm form, int64_t head_dim) {
  QVL_CHECK(form != KvForm::f32);
  return {head_dim, form == KvForm::i16 ? KvInteger::i16 : KvInteger::i8};
}

}  // namespace

KvCache::KvCache(const TextConfig& config, KvForm form)
    : form_(form), heads_(config.num_key_value_heads), head_dim_(config.head_dim) {
  const auto layers = static_cast<size_t>(config.num_hidden_layers);
  keys_.resize(form == KvForm::f32 ? layers : 0);
  values_.resize(keys_.size());
  blocks_.resize(form == KvForm::f32 ? 0 : layers);
}

void KvCache::truncate(int64_t size) {
  QVL_CHECK(size >= 0 && size <= size_);
  size_ = size;
}

void KvCache::reserve(int64_t tokens) {
  QVL_CHECK(tokens >= 0);
  if (size_ + tokens <= capacity_) return;
  const int64_t wanted = std::max(size_ + tokens, capacity_ + capacity_ / 2);
  const int64_t capacity = (wanted + kBlockKeys - 1) / kBlockKeys * kBlockKeys;
  form_ == KvForm::f32 ? grow_floats(capacity) : grow_blocks(capacity);
  capacity_ = capacity;
}

// Layer by layer, so that only one is held twice. What throws half way leaves larger layers behind: harmless,
// since `capacity_` counts.
void KvCache::grow_floats(int64_t capacity) {
  const int64_t width = heads_ * head_dim_;
  const auto grow = [&](Tensor& rows) {
    Tensor grown(static_cast<uint64_t>(capacity), static_cast<uint64_t>(width));
    std::copy_n(rows.data(), size_ * width, grown.data());
    rows = std::move(grown);
  };
  for (Tensor& keys : keys_) grow(keys);
  for (Tensor& values : values_) grow(values);
}

void KvCache::grow_blocks(int64_t capacity) {
  const int64_t block_floats = layout_of(form_, head_dim_).bytes() / static_cast<int64_t>(sizeof(float));
  const int64_t head_floats = capacity / kBlockKeys * block_floats;
  const int64_t held = (size_ + kBlockKeys - 1) / kBlockKeys * block_floats;
  for (Tensor& layer : blocks_) {
    Tensor grown(static_cast<uint64_t>(heads_), static_cast<uint64_t>(head_floats));
    for (int64_t head = 0; head < heads_ && held > 0; ++head) {
      std::copy_n(layer.row(static_cast<uint64_t>(head)), held, grown.row(static_cast<uint64_t>(head)));
    }
    layer = std::move(grown);
  }
}

void KvCache::commit(int64_t tokens) {
  QVL_CHECK(tokens >= 0 && size_ + tokens <= capacity_);
  size_ += tokens;
}

float* KvCache::keys(int64_t layer) { return keys_[static_cast<size_t>(layer)].data(); }
float* KvCache::values(int64_t layer) { return values_[static_cast<size_t>(layer)].data(); }

KvBlocks KvCache::blocks(int64_t layer) {
  Tensor& blocks = blocks_[static_cast<size_t>(layer)];
  return {.data = std::as_writable_bytes(blocks.values()).data(),
          .head_stride = static_cast<int64_t>(blocks.columns() * sizeof(float)),
          .width = head_dim_,
          .integer = layout_of(form_, head_dim_).integer};
}

uint64_t KvCache::bytes_per_token(const TextConfig& config, KvForm form) {
  if (form == KvForm::f32) {
    return static_cast<uint64_t>(2 * config.num_hidden_layers * config.kv_width()) * sizeof(float);
  }
  // Rounded up: a block holds factors, scales and padding besides the integers.
  const int64_t heads = config.num_hidden_layers * config.num_key_value_heads;
  return static_cast<uint64_t>((heads * layout_of(form, config.head_dim).bytes() + kBlockKeys - 1) /
                               kBlockKeys);
}

}  // namespace qvl
