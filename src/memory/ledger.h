// One account and one hard cap for all large memory of the process: asked before memory is taken.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "memory/grant.h"
#include "memory/memory_part.h"
#include "memory/reclaimers.h"

namespace qvl {

class Ledger;

/// Bytes set down in a ledger for one part until it ends. Movable; thread-compatible. Outlived by its ledger.
class [[nodiscard]] Reservation {
 public:
  /// Of nothing, in no ledger.
  Reservation() = default;
  ~Reservation() { release(); }
  Reservation(Reservation&& other) noexcept;
  Reservation& operator=(Reservation&& other) noexcept;

  MemoryPart part() const { return part_; }
  uint64_t bytes() const { return bytes_; }

  /// Takes `more` bytes, or changes nothing and says why.
  [[nodiscard]] std::optional<MemoryRefusal> grow(uint64_t more);
  /// Gives `less` bytes back, at most bytes().
  void shrink(uint64_t less);
  /// Moves `bytes`, at most bytes(), into a reservation for `part`. The sum stays, so this is never refused.
  Reservation split(uint64_t bytes, MemoryPart part);
  /// Takes over all that `other` of the same ledger holds, for the part of this one. Never refused.
  void absorb(Reservation&& other);
  /// Forgets what it holds: somebody else answers for it, until Ledger::adopt takes it back.
  void detach() { bytes_ = 0; }

 private:
  friend class Ledger;
  Reservation(Ledger* ledger, MemoryPart part, uint64_t bytes)
      : ledger_(ledger), part_(part), bytes_(bytes) {}
  void release();

  Ledger* ledger_ = nullptr;
  MemoryPart part_ = MemoryPart::other;
  uint64_t bytes_ = 0;
};

struct MemoryNeed {
  MemoryPart part = MemoryPart::other;
  uint64_t bytes = 0;
};
/// The sum, the largest number there is where it would be more.
uint64_t sum_of(std::span<const MemoryNeed> needs);

/// The account at one moment. All figures belong together.
struct LedgerReport {
  struct Part {
    uint64_t held_bytes = 0;
    uint64_t peak_bytes = 0;  ///< the most it has held
    uint64_t refusals = 0;
  };
  uint64_t cap_bytes = 0;
  uint64_t held_bytes = 0;  ///< the sum of all parts; above the cap only where that was lowered
  uint64_t peak_bytes = 0;
  uint64_t refusals = 0;
  std::array<Part, kMemoryParts> parts;  ///< by index_of

  const Part& of(MemoryPart part) const { return parts[index_of(part)]; }
  /// Below the cap; 0 where more is held than the cap allows.
  uint64_t free_bytes() const { return cap_bytes > held_bytes ? cap_bytes - held_bytes : 0; }
};

/// The account. Thread-safe: every answer is exact, the lock is held for a few additions. Outlives its
/// reservations.
class Ledger {
 public:
  explicit Ledger(uint64_t cap_bytes) : cap_(cap_bytes) {}
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  /// `bytes` for `part`. Where they do not fit, the reclaimers are asked for the missing ones first. Nothing
  /// is always granted.
  Grant<Reservation> reserve(MemoryPart part, uint64_t bytes);
  /// All of `needs`, in their order, or none.
  Grant<std::vector<Reservation>> reserve(std::span<const MemoryNeed> needs);
  /// Whether `bytes` are free, after the reclaimers were asked for what is missing. Holds nothing, and counts
  /// no refusal.
  bool make_room(uint64_t bytes);
  /// Bytes that a reservation for `part` held until it was detached.
  Reservation adopt(MemoryPart part, uint64_t bytes) { return Reservation(this, part, bytes); }

  /// From now on. What is held stays; nothing is granted until enough of it was given back.
  void set_cap(uint64_t bytes);
  /// The same where the cap holds all that is held, after the reclaimers were asked for what it does not.
  /// Otherwise nothing changes: one line that lists what each part holds.
  std::optional<std::string> try_set_cap(uint64_t bytes);
  uint64_t cap_bytes() const;
  /// Bytes below the cap; 0 where more is held than the cap allows.
  uint64_t free_bytes() const;
  LedgerReport report() const;

  /// Who is asked before a request is refused.
  Reclaimers& reclaimers() { return reclaimers_; }

 private:
  friend class Reservation;
  // What stood in the account when something did not fit.
  struct Shortage {
    uint64_t missing_bytes, free_bytes, cap_bytes;
    std::array<LedgerReport::Part, kMemoryParts> parts;
  };
  // Sets all of `needs` down, after reclaiming where it must; or says why not.
  std::optional<MemoryRefusal> take(std::span<const MemoryNeed> needs);
  // The same at once; nothing where all of them, `asked` bytes, were set down.
  std::optional<Shortage> try_take(std::span<const MemoryNeed> needs, uint64_t asked);
  // Of what a cap of `bytes` lacks; nothing where it was set.
  uint64_t set_cap_or_missing(uint64_t bytes);
  MemoryRefusal refuse(std::span<const MemoryNeed> needs, uint64_t asked, const Shortage& shortage);
  void give_back(MemoryPart part, uint64_t bytes);
  void move(MemoryPart from, MemoryPart to, uint64_t bytes);
  // With the lock held.
  uint64_t free_now() const { return cap_ > held_ ? cap_ - held_ : 0; }
  void add(MemoryPart part, uint64_t bytes);

  mutable std::mutex mutex_;
  uint64_t cap_;
  uint64_t held_ = 0, peak_ = 0, refusals_ = 0;
  std::array<LedgerReport::Part, kMemoryParts> parts_;
  Reclaimers reclaimers_;
};

}  // namespace qvl
