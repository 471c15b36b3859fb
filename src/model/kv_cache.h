// Keys and values of the tokens computed so far.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
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
  /// With all memory from the pool of `memory`.
  KvCache(const TextConfig& config, KvForm form, MemoryHome memory = {});

  KvForm form() const { return form_; }
  int64_t size() const { return size_; }
  /// Tokens it has memory for.
  int64_t capacity() const { return capacity_; }
  /// Forgets all tokens from `size` on.
  void truncate(int64_t size);
  bool has_room(int64_t tokens) const { return size_ + tokens <= capacity_; }
  enum class Growth {
    needed,  ///< room for what is asked for
    ahead,   ///< half as much again as before, where the ledger has that to spare
  };
  /// Makes room for `tokens` more. Throws as MemoryHome::allocate; what is held stays as it was.
  void reserve(int64_t tokens, Growth growth = Growth::ahead);
  /// The most that room for `tokens` more takes while it is made, where there is none to spare.
  uint64_t growth_bytes(int64_t tokens) const;
  /// Gives back what is beyond `capacity` tokens, at least those held. Layers for whose copy there is no
  /// memory stay as they are.
  void shrink(int64_t capacity) noexcept;
  /// Counts `tokens` rows, written by the layers, as held.
  void commit(int64_t tokens);

  float* keys(int64_t layer);      ///< KvForm::f32: [capacity, kv_heads, head_dim]
  float* values(int64_t layer);    ///< as keys
  KvBlocks blocks(int64_t layer);  ///< of all kv heads, where the form is not f32

  /// Bytes of kBlockKeys tokens of all layers: what read_block and append_block move.
  uint64_t block_bytes() const { return tensors_.size() * tensor_block_bytes(); }
  /// Copies the tokens from `index` * kBlockKeys on, at least one of which is held, as they are stored. What
  /// lies at the places of tokens that are not there is zero, or was written for tokens forgotten since.
  void read_block(int64_t index, std::span<std::byte> out) const;
  /// Holds the first `tokens` of one block more, as read_block gave it of a cache of the same form. Only
  /// behind whole blocks, where there is room.
  void append_block(std::span<const std::byte> block, int64_t tokens = kBlockKeys);
  /// Whether a block of block_bytes() from outside holds nothing attention cannot compute with.
  bool accepts(std::span<const std::byte> block) const;

  static uint64_t bytes_per_token(const TextConfig& config, KvForm form);

 private:
  // Bytes of one tensor for a block of tokens, and how many pieces of the tensor they lie in.
  uint64_t tensor_block_bytes() const;
  uint64_t block_pieces() const { return form_ == KvForm::f32 ? 1 : static_cast<uint64_t>(heads_); }
  // Where piece `piece` of block `index` begins, in floats from the start of a tensor.
  uint64_t piece_offset(const Tensor& tensor, uint64_t piece, int64_t index) const;
  uint64_t held_bytes() const;
  uint64_t growth_to(int64_t capacity) const;
  int64_t filled_capacity(int64_t tokens) const;
  bool is_free(int64_t capacity) const;
  void move_to(int64_t capacity, Tensor& tensor);

  KvForm form_;
  int64_t heads_, head_dim_, size_ = 0, capacity_ = 0;
  MemoryHome memory_;
  // f32: keys of all layers, then values [capacity, kv_heads * head_dim]
  // else: a layer's blocks [kv_heads, floats of the blocks of a head]
  std::vector<Tensor> tensors_;
};

}  // namespace qvl
