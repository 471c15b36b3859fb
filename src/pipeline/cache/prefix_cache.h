// Keys and values of prompts that were computed before, in pages of tokens, in memory and on disk.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/kv_cache.h"
#include "pipeline/cache/disk_cache.h"
#include "pipeline/cache/memory_cache.h"
#include "pipeline/sequence.h"

namespace qvl {

/// Names of the whole blocks of kBlockKeys tokens of a sequence: each stands for its own tokens and all
/// before it, and for the pictures behind placeholders.
using PrefixKeys = std::vector<ContentKey>;

/// Tokens since it was made that were not computed, by where their keys and values came from.
struct PrefixCacheStats {
  uint64_t reused_tokens = 0;  ///< taken over by a request
  uint64_t disk_tokens = 0;    ///< read from the disk into memory
  uint64_t bytes = 0;          ///< in memory
};

/// Of `pages` that were just looked up, what those take that nobody holds but the cache.
uint64_t newly_held_bytes(std::span<const KvPage> pages);

/// The pages are those of the sequences that computed them, shared with whoever begins alike: nothing is
/// copied on the way in or out. All of them count as MemoryPart::kv, whoever holds them, so that each is
/// counted once. Thread-safe.
class PrefixCache {
 public:
  /// Keeps at most `budget_bytes` of pages in memory; 0: nothing, on disk neither. `identity` tells apart
  /// what else keys and values depend on. `disk` outlives it.
  PrefixCache(std::string identity, uint64_t budget_bytes, MemoryHome home, DiskCache& disk);

  bool enabled() const { return memory_.budget_bytes() > 0; }

  /// Of `sequence`, without the block its last token would be in: that one is always computed. None where
  /// nothing is kept.
  PrefixKeys keys_of(const Sequence& sequence) const;

  /// Reads blocks from the disk that memory lacks, up to the first that neither has. `block_bytes`:
  /// KvCache::block_bytes().
  void fetch(const PrefixKeys& keys, uint64_t block_bytes);
  /// The pages that memory has behind the whole ones among the first `held` tokens, up to the first that it
  /// has not; none where they reach no further than those tokens. Whoever has them keeps them.
  std::vector<KvPage> look_up(const PrefixKeys& keys, int64_t held) const;
  /// Gives `pages`, which were looked up for `cache`, to it. Tokens it holds more than before. Throws
  /// std::bad_alloc; then nothing has changed.
  int64_t extend(const PrefixKeys& keys, std::span<const KvPage> pages, KvCache& cache);
  /// Keeps those whole pages of `cache`, the beginning of whose tokens `keys` name, that are not kept yet.
  /// Where others have computed the same, `cache` holds theirs from then on.
  void keep(const PrefixKeys& keys, KvCache& cache);

  /// As a reclaimer: of pages that nobody else holds.
  uint64_t reclaim(uint64_t wanted) noexcept { return memory_.reclaim(wanted); }
  uint64_t idle_bytes() const { return memory_.idle_bytes(); }
  PrefixCacheStats stats() const;

 private:
  void touch(const PrefixKeys& keys, int64_t blocks);

  const std::string identity_;
  MemoryHome home_;
  DiskCache& disk_;
  MemoryCache<Tensor> memory_;
  std::atomic<uint64_t> reused_{0}, read_{0};
};

}  // namespace qvl
