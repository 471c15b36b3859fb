#include "memory/reclaimers.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace qvl {

Reclaimers::Registration::~Registration() {
  if (list_ != nullptr) list_->remove(id_);
}

Reclaimers::Registration::Registration(Registration&& other) noexcept
    : list_(std::exchange(other.list_, nullptr)), id_(other.id_) {}

Reclaimers::Registration& Reclaimers::Registration::operator=(Registration&& other) noexcept {
  std::swap(list_, other.list_);
  std::swap(id_, other.id_);
  return *this;
}

Reclaimers::~Reclaimers() { QVL_CHECK(entries_.empty()); }

Reclaimers::Registration Reclaimers::add(ReclaimStage stage, Reclaim reclaim) {
  const std::lock_guard lock(mutex_);
  const auto behind =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.stage > stage; });
  const uint64_t id = next_id_++;
  entries_.insert(behind, Entry{.stage = stage, .id = id, .reclaim = std::move(reclaim)});
  return Registration(this, id);
}

void Reclaimers::remove(uint64_t id) {
  QVL_CHECK(!running_here());
  const std::lock_guard lock(mutex_);
  std::erase_if(entries_, [&](const Entry& entry) { return entry.id == id; });
}

Reclaimed Reclaimers::run(FunctionRef<uint64_t(uint64_t released)> still_wanted) noexcept {
  Reclaimed done;
  if (running_here()) return done;
  const std::lock_guard lock(mutex_);
  runner_ = std::this_thread::get_id();
  for (const Entry& entry : entries_) {
    if (entry.stage == ReclaimStage::heap && done.total() == 0) break;
    const uint64_t wanted = still_wanted(done.total());
    if (wanted == 0) break;
    uint64_t& bytes = entry.stage == ReclaimStage::caches ? done.caches
                      : entry.stage == ReclaimStage::pool ? done.pool
                                                          : done.heap;
    bytes += entry.reclaim(wanted);
  }
  runner_ = ThreadId();
  return done;
}

}  // namespace qvl
