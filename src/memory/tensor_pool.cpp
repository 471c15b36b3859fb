#include "memory/tensor_pool.h"

#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "memory/memory_size.h"

namespace qvl {

PooledBlock::PooledBlock(TensorPool* pool, std::byte* data, uint64_t size, Reservation charge)
    : pool_(pool), data_(data), size_(size), charge_(std::move(charge)) {
  ASAN_POISON_MEMORY_REGION(data_ + size_, charge_.bytes() - size_);
}

PooledBlock::PooledBlock(PooledBlock&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      charge_(std::move(other.charge_)) {}

PooledBlock& PooledBlock::operator=(PooledBlock&& other) noexcept {
  if (this == &other) return *this;
  release();
  pool_ = std::exchange(other.pool_, nullptr);
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  charge_ = std::move(other.charge_);
  return *this;
}

void PooledBlock::release() {
  if (pool_ == nullptr) return;
  size_ = 0;
  std::exchange(pool_, nullptr)->put_back(std::exchange(data_, nullptr), std::move(charge_));
}

std::byte* PooledBlock::detach() {
  charge_.detach();
  pool_ = nullptr;
  size_ = 0;
  return std::exchange(data_, nullptr);
}

TensorPool::TensorPool(Ledger& ledger, SystemMemory& system, uint64_t kept_bytes_limit)
    : ledger_(ledger),
      system_(system),
      kept_bytes_limit_(kept_bytes_limit),
      kept_charge_(*ledger.reserve(MemoryPart::pool, 0)),
      reclaimer_(
          ledger.reclaimers().add(ReclaimStage::pool, [this](uint64_t wanted) { return trim(wanted); })) {}

TensorPool::~TensorPool() {
  reclaimer_ = Reclaimers::Registration();
  trim(kept_.bytes());
  QVL_CHECK(stats_.in_use_blocks == 0);
}

Grant<PooledBlock> TensorPool::allocate(uint64_t bytes, MemoryPart part) {
  return allocate(Request{.bytes = bytes, .part = part, .budget = nullptr});
}

Grant<PooledBlock> TensorPool::allocate(uint64_t bytes, Reservation& budget) {
  return allocate(Request{.bytes = bytes, .part = budget.part(), .budget = &budget});
}

PooledBlock TensorPool::adopt(std::byte* data, uint64_t bytes, MemoryPart part) {
  return {this, data, bytes, ledger_.adopt(part, bytes_of_class(size_class_of(bytes)))};
}

Grant<PooledBlock> TensorPool::allocate(const Request& request) {
  if (request.bytes == 0) return PooledBlock();
  if (request.bytes > kLargestBlock) {
    return refuse(request, MemoryRefusal::Cause::limit,
                  fmt::format("the largest block has {}", format_bytes(kLargestBlock)));
  }
  if (auto block = reuse(request)) return *std::move(block);
  return allocate_new(request);
}

std::optional<PooledBlock> TensorPool::reuse(const Request& request) {
  const std::lock_guard lock(mutex_);
  const size_t size_class = size_class_of(request.bytes);
  std::byte* const data = kept_.take(size_class);
  if (data == nullptr) return std::nullopt;
  ++stats_.hits;
  const uint64_t size = bytes_of_class(size_class);
  Reservation charge = kept_charge_.split(size, request.part);
  if (request.budget != nullptr) {
    // The budget counts these bytes already.
    const uint64_t paid = std::min(request.budget->bytes(), size);
    request.budget->shrink(paid);
  }
  return hand_out(data, request, std::move(charge));
}

Grant<PooledBlock> TensorPool::allocate_new(const Request& request) {
  const uint64_t size = bytes_of_class(size_class_of(request.bytes));
  const uint64_t paid = request.budget == nullptr ? 0 : std::min(request.budget->bytes(), size);
  auto rest = ledger_.reserve(request.part, size - paid);
  if (!rest) return refuse(rest.refusal());
  std::byte* const data = ask_system(size);
  if (data == nullptr) return refuse(request, MemoryRefusal::Cause::system, "the system has none");
  Reservation charge = *std::move(rest);
  if (paid > 0) charge.absorb(request.budget->split(paid, request.part));
  const std::lock_guard lock(mutex_);
  ++stats_.misses;
  ++stats_.system_allocations;
  return hand_out(data, request, std::move(charge));
}

PooledBlock TensorPool::hand_out(std::byte* data, const Request& request, Reservation charge) {
  ++stats_.in_use_blocks;
  stats_.in_use_bytes += charge.bytes();
  stats_.peak_in_use_bytes = std::max(stats_.peak_in_use_bytes, stats_.in_use_bytes);
  return PooledBlock(this, data, request.bytes, std::move(charge));
}

std::byte* TensorPool::ask_system(uint64_t bytes) {
  std::byte* data = system_.allocate(bytes);
  if (data != nullptr) return data;
  // It may have some when others have given back what they can.
  ledger_.reclaimers().run([&](uint64_t released) {
    if (released > 0) data = system_.allocate(bytes);
    return data == nullptr ? bytes : 0;
  });
  return data == nullptr ? system_.allocate(bytes) : data;
}

MemoryRefusal TensorPool::refuse(MemoryRefusal refusal) {
  const std::lock_guard lock(mutex_);
  ++stats_.refusals;
  return refusal;
}

MemoryRefusal TensorPool::refuse(const Request& request, MemoryRefusal::Cause cause, std::string_view why) {
  const uint64_t free = ledger_.free_bytes();
  return refuse({.cause = cause,
                 .part = request.part,
                 .asked_bytes = request.bytes,
                 .free_bytes = free,
                 .missing_bytes = cause == MemoryRefusal::Cause::system
                                      ? request.bytes
                                      : request.bytes - std::min(request.bytes, free),
                 .message = fmt::format("{}{} {}: {}", MemoryRefusal::kBegins, name_of(request.part),
                                        format_bytes(request.bytes), why)});
}

void TensorPool::put_back(std::byte* data, Reservation charge) noexcept {
  const uint64_t size = charge.bytes();
  ASAN_UNPOISON_MEMORY_REGION(data, size);
  Evicted evicted;
  bool kept = false;
  {
    const std::lock_guard lock(mutex_);
    --stats_.in_use_blocks;
    stats_.in_use_bytes -= size;
    kept = size <= kept_bytes_limit_;
    if (kept) {
      kept_.put(data, size_class_of(size), stamp_);
      kept_charge_.absorb(std::move(charge));
      if (kept_.bytes() > kept_bytes_limit_) {
        evicted = evict(kept_.take_oldest(kept_.bytes() - kept_bytes_limit_));
      }
    } else {
      ++stats_.system_releases;
    }
  }
  if (!kept) system_.release(data, size);
  return_to_system(std::move(evicted));
}

void TensorPool::set_kept_limit(uint64_t bytes) {
  Evicted evicted;
  {
    const std::lock_guard lock(mutex_);
    kept_bytes_limit_ = bytes;
    if (kept_.bytes() > bytes) evicted = evict(kept_.take_oldest(kept_.bytes() - bytes));
  }
  return_to_system(std::move(evicted));
}

TensorPool::Evicted TensorPool::evict(KeptBlocks::Block* chain) {
  uint64_t bytes = 0;
  for (const KeptBlocks::Block* block = chain; block != nullptr; block = block->next) {
    bytes += bytes_of_class(block->size_class);
    ++stats_.system_releases;
  }
  return {.chain = chain, .charge = kept_charge_.split(bytes, MemoryPart::pool)};
}

uint64_t TensorPool::return_to_system(Evicted evicted) {
  while (evicted.chain != nullptr) {
    const KeptBlocks::Block block = *evicted.chain;
    evicted.chain = block.next;
    system_.release(block.data, bytes_of_class(block.size_class));
  }
  return evicted.charge.bytes();  // given back to the ledger now, when the memory is with the system
}

uint64_t TensorPool::trim(uint64_t bytes) {
  Evicted evicted;
  {
    const std::lock_guard lock(mutex_);
    evicted = evict(kept_.take_oldest(bytes));
  }
  return return_to_system(std::move(evicted));
}

uint64_t TensorPool::trim_idle() {
  Evicted evicted;
  {
    const std::lock_guard lock(mutex_);
    evicted = evict(kept_.take_before(stamp_));
    ++stamp_;
  }
  return return_to_system(std::move(evicted));
}

TensorPoolStats TensorPool::stats() const {
  const std::lock_guard lock(mutex_);
  TensorPoolStats stats = stats_;
  stats.kept_bytes = kept_.bytes();
  stats.kept_blocks = kept_.count();
  return stats;
}

}  // namespace qvl
