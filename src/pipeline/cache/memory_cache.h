// Results kept in memory under their keys, within a budget, the least recently used out first.
#pragma once

#include <cstdint>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "pipeline/cache/content_key.h"

namespace qvl {

/// Thread-safe; the lock is held for a few assignments, never while memory is given back. Whoever has got an
/// entry keeps it, whatever becomes of it here.
template <typename Value>
class MemoryCache {
 public:
  using Entry = std::shared_ptr<Value>;

  /// Keeps at most `budget_bytes`; 0: nothing.
  explicit MemoryCache(uint64_t budget_bytes) : budget_(budget_bytes) {}
  MemoryCache(const MemoryCache&) = delete;
  MemoryCache& operator=(const MemoryCache&) = delete;

  uint64_t budget_bytes() const { return budget_; }
  uint64_t bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
  }
  /// Of entries that nobody uses: what all of them given back would free.
  uint64_t idle_bytes() const {
    const std::lock_guard lock(mutex_);
    uint64_t idle = 0;
    for (const Item& item : items_) idle += item.entry.use_count() > 1 ? 0 : item.bytes;
    return idle;
  }

  /// Null where there is none. It is the most recently used one then.
  Entry find(const ContentKey& key) {
    const std::lock_guard lock(mutex_);
    const auto found = places_.find(key);
    if (found == places_.end()) return nullptr;
    items_.splice(items_.begin(), items_, found->second);
    return found->second->entry;
  }
  /// The same, without counting as a use of it.
  Entry look_at(const ContentKey& key) const {
    const std::lock_guard lock(mutex_);
    const auto found = places_.find(key);
    return found == places_.end() ? nullptr : found->second->entry;
  }
  bool has(const ContentKey& key) const {
    const std::lock_guard lock(mutex_);
    return places_.contains(key);
  }

  /// Keeps `entry`, which takes `bytes`, in place of what was there; not where it is larger than the budget.
  void put(const ContentKey& key, Entry entry, uint64_t bytes) {
    if (bytes > budget_) return;
    Items out, in;  // given back without the lock
    in.push_back({.key = key, .entry = std::move(entry), .bytes = bytes});
    const std::lock_guard lock(mutex_);
    if (const auto there = places_.find(key); there != places_.end()) take_out(there->second, out);
    while (bytes_ + bytes > budget_) take_out(std::prev(items_.end()), out);
    places_[key] = in.begin();
    items_.splice(items_.begin(), in);
    bytes_ += bytes;
  }

  /// Drops entries that nobody uses, the least recently used first, until `wanted` bytes are free. Bytes
  /// given back. `wanted`: at most all there is.
  uint64_t reclaim(uint64_t wanted) noexcept {
    Items out;
    uint64_t freed = 0;
    const std::lock_guard lock(mutex_);
    for (auto item = items_.end(); item != items_.begin() && freed < wanted;) {
      --item;
      if (item->entry.use_count() > 1) continue;  // dropping it would free nothing
      freed += item->bytes;
      const auto victim = item++;
      take_out(victim, out);
    }
    return freed;
  }

 private:
  struct Item {
    ContentKey key;
    Entry entry;
    uint64_t bytes;
  };
  using Items = std::list<Item>;

  // With the lock held.
  void take_out(typename Items::iterator item, Items& out) noexcept {
    bytes_ -= item->bytes;
    places_.erase(item->key);
    out.splice(out.begin(), items_, item);
  }

  const uint64_t budget_;
  mutable std::mutex mutex_;
  Items items_;  // the most recently used first
  std::map<ContentKey, typename Items::iterator> places_;
  uint64_t bytes_ = 0;
};

}  // namespace qvl
