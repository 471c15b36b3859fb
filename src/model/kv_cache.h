// Keys and values of the tokens computed so far.
#pragma once

#include <cstdint>
#include <vector>

#include "files/model_config.h"
#include "kernels/attention/kv_block.h"
#include "optimizer/forms.h"
#include "tensor/tensor.h"

namespace qvl {

/// Keys (already rotated) and values per decoder layer, for one sequence, in float32 or as blocks of 16- or
/// 8-bit integers. Grows in steps by copying; thread-compatible.
class KvCache {
 public:
  KvCache(const TextConfig& config, KvForm form);

  KvForm form() const { return form_; }
  int64_t size() const { return size_; }
  /// Forgets all tokens from `size` on.
  void truncate(int64_t size);
  bool has_room(int64_t tokens) const { return size_ + tokens <= capacity_; }
  /// Makes room for `tokens` more. May throw std::bad_alloc; what is held stays as it was.
  void reserve(int64_t tokens);
  /// Counts `tokens` rows, written by the layers, as held.
  void commit(int64_t tokens);

  float* keys(int64_t layer);      ///< KvForm::f32: [capacity, kv_heads, head_dim]
  float* values(int64_t layer);    ///< as keys
  KvBlocks blocks(int64_t layer);  ///< of all kv heads, where the form is not f32

  static uint64_t bytes_per_token(const TextConfig& config, KvForm form);

 private:
  void grow_floats(int64_t capacity);
  void grow_blocks(int64_t capacity);

  KvForm form_;
  int64_t heads_, head_dim_, size_ = 0, capacity_ = 0;
  std::vector<Tensor> keys_, values_;  // f32: per layer [capacity, kv_heads * head_dim]
  std::vector<Tensor> blocks_;         // else: per layer [kv_heads, floats of the blocks of a head]
};

}  // namespace qvl
