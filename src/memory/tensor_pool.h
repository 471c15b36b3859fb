// Blocks of memory for tensors, kept for reuse within a bound, every byte of them in the ledger.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>

#include "memory/kept_blocks.h"
#include "memory/ledger.h"
#include "memory/system_memory.h"

namespace qvl {

class TensorPool;

/// A block of a pool, which goes back to it at the end. Contents are undefined at the start: a block may have
/// been used before. Movable; thread-compatible. Outlived by its pool.
class [[nodiscard]] PooledBlock {
 public:
  /// Of nothing, from no pool.
  PooledBlock() = default;
  ~PooledBlock() { release(); }
  PooledBlock(PooledBlock&& other) noexcept;
  PooledBlock& operator=(PooledBlock&& other) noexcept;

  /// As many bytes as were asked for, aligned to 64. What the block has beyond is nobody's.
  std::span<std::byte> bytes() const { return {data_, size_}; }
  /// What the block takes: the bytes of its size class.
  uint64_t reserved_bytes() const { return charge_.bytes(); }
  /// Hands the memory over to somebody who keeps but its address and size, and gives it to
  /// TensorPool::adopt in the end.
  std::byte* detach();

 private:
  friend class TensorPool;
  PooledBlock(TensorPool* pool, std::byte* data, uint64_t size, Reservation charge);
  void release();

  TensorPool* pool_ = nullptr;
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
  Reservation charge_;
};

/// The pool at one moment. All figures belong together.
struct TensorPoolStats {
  uint64_t hits = 0;      ///< requests that a kept block served
  uint64_t misses = 0;    ///< requests for which a block came from the system
  uint64_t refusals = 0;  ///< requests that got nothing
  uint64_t kept_bytes = 0, kept_blocks = 0;
  uint64_t in_use_bytes = 0, in_use_blocks = 0;
  uint64_t peak_in_use_bytes = 0;
  uint64_t system_allocations = 0, system_releases = 0;  ///< blocks

  /// Share of granted requests that a kept block served, 0 to 1; 0 where there was none.
  double hit_rate() const {
    return hits + misses == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(hits + misses);
  }
};

/// Thread-safe; the lock is held for a few assignments, never while the system is asked. Blocks in use are in
/// the ledger for whoever uses them, kept ones as MemoryPart::pool.
class TensorPool {
 public:
  /// Keeps at most `kept_bytes_limit` bytes of blocks that nobody uses; what comes back beyond pushes the
  /// oldest out, to the system. Gives kept blocks back when the ledger asks. Borrows both.
  TensorPool(Ledger& ledger, SystemMemory& system, uint64_t kept_bytes_limit);
  ~TensorPool();
  TensorPool(const TensorPool&) = delete;
  TensorPool& operator=(const TensorPool&) = delete;

  /// A block of at least `bytes`, set down for `part`. Of 0 bytes: an empty one.
  Grant<PooledBlock> allocate(uint64_t bytes, MemoryPart part);
  /// The same, set down in `budget`'s place: it shrinks by what the block takes. What it lacks is asked of
  /// the ledger. So memory that was reserved when a request was admitted is not counted twice.
  Grant<PooledBlock> allocate(uint64_t bytes, Reservation& budget);
  /// The block of `bytes` > 0 for `part` that was detached at `data`.
  PooledBlock adopt(std::byte* data, uint64_t bytes, MemoryPart part);
  Ledger& ledger() { return ledger_; }

  /// Returns kept blocks to the system, the oldest first, until `bytes` are back or none is left. Bytes
  /// returned.
  uint64_t trim(uint64_t bytes);
  /// From now on; what is kept beyond goes back to the system, the oldest first.
  void set_kept_limit(uint64_t bytes);
  /// Returns kept blocks that nobody has used since the call before.
  uint64_t trim_idle();
  TensorPoolStats stats() const;

 private:
  friend class PooledBlock;
  struct Request {
    uint64_t bytes;
    MemoryPart part;
    Reservation* budget;  // nullptr: the ledger pays all
  };
  // Blocks on their way to the system, and what the ledger holds for them until they are there.
  struct Evicted {
    KeptBlocks::Block* chain = nullptr;
    Reservation charge;
  };
  Grant<PooledBlock> allocate(const Request& request);
  std::optional<PooledBlock> reuse(const Request& request);
  Grant<PooledBlock> allocate_new(const Request& request);
  std::byte* ask_system(uint64_t bytes);
  MemoryRefusal refuse(MemoryRefusal refusal);
  MemoryRefusal refuse(const Request& request, MemoryRefusal::Cause cause, std::string_view why);
  void put_back(std::byte* data, Reservation charge) noexcept;
  uint64_t return_to_system(Evicted evicted);
  // With the lock held.
  Evicted evict(KeptBlocks::Block* chain);
  PooledBlock hand_out(std::byte* data, const Request& request, Reservation charge);

  Ledger& ledger_;
  SystemMemory& system_;
  mutable std::mutex mutex_;
  uint64_t kept_bytes_limit_;
  KeptBlocks kept_;
  Reservation kept_charge_;  // as many bytes as kept_ has
  TensorPoolStats stats_;    // but for what kept_ knows
  uint64_t stamp_ = 0;       // counts calls of trim_idle
  Reclaimers::Registration reclaimer_;
};

}  // namespace qvl
