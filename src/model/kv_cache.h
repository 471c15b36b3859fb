// Keys and values of the tokens computed so far, in pages that sequences share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "files/model_config.h"
#include "kernels/attention/attention.h"
#include "kernels/attention/kv_block.h"
#include "optimizer/forms.h"
#include "tensor/tensor.h"

namespace qvl {

/// The memory of kBlockKeys tokens of all layers, [1, floats]. Also what a file has of them:
///   KvForm::f32  keys [layers][kBlockKeys][kv_heads * head_dim], then values in the same way
///   else         blocks [layers][kv_heads], as in KvBlockLayout
/// Nobody writes into a page that several may hold.
using KvPage = std::shared_ptr<Tensor>;

/// What a sequence begins with: tokens of its own, and whole pages of others behind the whole pages of those.
struct KvKept {
  int64_t tokens = 0, pages = 0;

  int64_t all_tokens() const { return pages == 0 ? tokens : (tokens / kBlockKeys + pages) * kBlockKeys; }
};

/// Keys (already rotated) and values of one sequence, in float32 or as blocks of 16- or 8-bit integers. Grows
/// by pages, without copying; a page that is held in part and that others may hold as well is copied before
/// more is written into it. Thread-compatible; its pages may be read by other threads.
class KvCache {
 public:
  /// With all memory from the pool of `memory`.
  KvCache(const TextConfig& config, KvForm form, MemoryHome memory = {});
  KvCache(KvCache&&) = default;
  KvCache& operator=(KvCache&&) = default;
  KvCache(const KvCache&) = delete;  // pages must be known to be shared
  KvCache& operator=(const KvCache&) = delete;

  KvForm form() const { return form_; }
  int64_t size() const { return size_; }
  /// Tokens it has memory for.
  int64_t capacity() const { return std::ssize(pages_) * kBlockKeys; }
  /// Forgets all tokens from `size` on, and lets go of pages of others behind them.
  void truncate(int64_t size);
  /// Whether `tokens` more may be written.
  bool has_room(int64_t tokens) const;
  /// Makes room for `tokens` more. Throws as MemoryHome::allocate; then nothing has changed.
  void reserve(int64_t tokens);
  /// What it takes to have room for `tokens` in all, where nothing but `kept` is left by then.
  uint64_t growth_bytes(const KvKept& kept, int64_t tokens) const;
  /// Gives back what is beyond `capacity` tokens, at least those held.
  void shrink(int64_t capacity) noexcept;
  /// Counts `tokens` rows, written by the layers, as held.
  void commit(int64_t tokens);

  /// The page of tokens [index * kBlockKeys, (index + 1) * kBlockKeys), all of them held, for others to hold
  /// too.
  KvPage share_page(int64_t index);
  /// Holds `page`, which has the same in it, instead of the one at `index`.
  void replace_page(int64_t index, KvPage page);
  /// Holds the tokens of `pages`, of caches of the same form, behind its own whole pages; what it holds of a
  /// page in part is forgotten. Throws std::bad_alloc; then nothing has changed.
  void append_pages(std::span<const KvPage> pages);

  // Valid until it grows, shrinks or gets other pages.
  KvBlocks blocks(int64_t layer) const;        ///< of all kv heads, where the form is not f32
  RowPages rows(int64_t layer) const;          ///< of keys and values, where it is
  float* key(int64_t layer, int64_t token);    ///< there, for writing: [kv_heads, head_dim]
  float* value(int64_t layer, int64_t token);  ///< as key

  /// Bytes of kBlockKeys tokens of all layers: what read_block and append_block move, and a page has.
  uint64_t block_bytes() const { return block_bytes_; }
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
  uint64_t page_bytes() const { return MemoryHome::taken_bytes(block_bytes_); }
  int64_t row_floats() const { return heads_ * head_dim_; }
  bool ends_in_shared_page() const { return size_ < shared_ * kBlockKeys; }
  float* row(int64_t rows_before, int64_t token);
  void make_places(int64_t more);

  KvForm form_;
  int64_t layers_, heads_, head_dim_;
  uint64_t block_bytes_;
  MemoryHome memory_;
  int64_t size_ = 0;
  std::vector<KvPage> pages_;
  std::vector<std::byte*> table_;  // where each begins
  int64_t shared_ = 0;             // of the first pages, those that others may hold; all hold tokens
};

}  // namespace qvl
