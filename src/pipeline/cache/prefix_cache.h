// Keys and values of prompts that were computed before, in blocks of tokens, in memory and on disk.
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
  uint64_t reused_tokens = 0;  ///< copied into a request
  uint64_t disk_tokens = 0;    ///< read from the disk into memory
  uint64_t bytes = 0;          ///< in memory
};

/// Blocks are copied, not shared: what a row computes depends on the row and what it sees alone, so a copy is
/// as good as computing it again, bit for bit. Thread-safe.
class PrefixCache {
 public:
  /// Keeps at most `budget_bytes` in memory; 0: nothing, on disk neither. `identity` tells apart what else
  /// keys and values depend on. `disk` outlives it.
  PrefixCache(std::string identity, uint64_t budget_bytes, MemoryHome home, DiskCache& disk);

  bool enabled() const { return memory_.budget_bytes() > 0; }

  /// Of `sequence`, without the block its last token would be in: that one is always computed. None where
  /// nothing is kept.
  PrefixKeys keys_of(const Sequence& sequence) const;

  /// Reads blocks from the disk that memory lacks, up to the first that neither has. `block_bytes`:
  /// KvCache::block_bytes().
  void fetch(const PrefixKeys& keys, uint64_t block_bytes);
  /// Tokens of the beginning that memory has.
  int64_t kept_tokens(const PrefixKeys& keys) const;
  /// Takes blocks behind those that `cache`, which has room for all that `keys` name and holds a beginning of
  /// them, holds whole. A block held in part is taken whole: what both have is the same. Tokens it holds more
  /// than before; 0 where memory has none to add, and nothing was changed.
  int64_t extend(const PrefixKeys& keys, KvCache& cache);
  /// Keeps those whole blocks of `cache`, the beginning of whose tokens `keys` name, that are not kept yet.
  /// What memory has no room to spare for is left out.
  void keep(const PrefixKeys& keys, const KvCache& cache);

  /// As a reclaimer.
  uint64_t reclaim(uint64_t wanted) noexcept { return memory_.reclaim(wanted); }
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
