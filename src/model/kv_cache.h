// Keys and values of the tokens computed so far.
#pragma once

#include <cstdint>
#include <vector>

#include "files/model_config.h"
#include "tensor/tensor.h"

namespace qvl {

/// Float32 keys (already rotated) and values per decoder layer, for one sequence. Grows in steps by copying;
/// thread-compatible.
class KvCache {
 public:
  explicit KvCache(const TextConfig& config);

  int64_t size() const { return size_; }
  /// Forgets all tokens from `size` on.
  void truncate(int64_t size);
  /// Makes room for `tokens` more; may throw std::bad_alloc before anything is changed.
  void reserve(int64_t tokens);
  /// Counts `tokens` rows, written by the layers, as held.
  void commit(int64_t tokens);

  float* keys(int64_t layer);  // [capacity, kv_heads, head_dim]
  float* values(int64_t layer);
  static uint64_t bytes_per_token(const TextConfig& config);

 private:
  int64_t width_, size_ = 0, capacity_ = 0;
  std::vector<Tensor> keys_, values_;  // per layer [capacity, kv_heads * head_dim]
};

}  // namespace qvl
