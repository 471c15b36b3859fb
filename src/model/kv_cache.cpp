#include "model/kv_cache.h"

#include <algorithm>

#include "base/error.h"

namespace qvl {

KvCache::KvCache(const TextConfig& config)
    : width_(config.kv_width()),
      keys_(static_cast<size_t>(config.num_hidden_layers)),
      values_(static_cast<size_t>(config.num_hidden_layers)) {}

void KvCache::truncate(int64_t size) {
  QVL_CHECK(size >= 0 && size <= size_);
  size_ = size;
}

void KvCache::reserve(int64_t tokens) {
  QVL_CHECK(tokens >= 0);
  if (size_ + tokens <= capacity_) return;
  const int64_t capacity = std::max(size_ + tokens, capacity_ + capacity_ / 2);
  const auto rows = static_cast<uint64_t>(capacity), width = static_cast<uint64_t>(width_);
  std::vector<Tensor> keys, values;
  for (size_t layer = 0; layer < keys_.size(); ++layer) {
    keys.emplace_back(rows, width);
    values.emplace_back(rows, width);
    std::copy_n(keys_[layer].data(), size_ * width_, keys.back().data());
    std::copy_n(values_[layer].data(), size_ * width_, values.back().data());
  }
  keys_ = std::move(keys);
  values_ = std::move(values);
  capacity_ = capacity;
}

void KvCache::commit(int64_t tokens) {
  QVL_CHECK(tokens >= 0 && size_ + tokens <= capacity_);
  size_ += tokens;
}

float* KvCache::keys(int64_t layer) { return keys_[static_cast<size_t>(layer)].data(); }
float* KvCache::values(int64_t layer) { return values_[static_cast<size_t>(layer)].data(); }

uint64_t KvCache::bytes_per_token(const TextConfig& config) {
  return static_cast<uint64_t>(2 * config.num_hidden_layers * config.kv_width()) * sizeof(float);
}

}  // namespace qvl
