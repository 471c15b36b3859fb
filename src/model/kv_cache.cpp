#include "model/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace qvl {
namespace {

constexpr int64_t kFloat = sizeof(float);

KvBlockLayout layout_of(KvForm form, int64_t head_dim) {
  QVL_CHECK(form != KvForm::f32);
  return {head_dim, form == KvForm::i16 ? KvInteger::i16 : KvInteger::i8};
}

int64_t bytes_of_block(const TextConfig& config, KvForm form) {
  if (form == KvForm::f32) return 2 * config.num_hidden_layers * kBlockKeys * config.kv_width() * kFloat;
  return config.num_hidden_layers * config.num_key_value_heads * layout_of(form, config.head_dim).bytes();
}

int64_t pages_for(int64_t tokens) { return (tokens + kBlockKeys - 1) / kBlockKeys; }

std::byte* bytes_of(const KvPage& page) { return std::as_writable_bytes(page->values()).data(); }

}  // namespace

KvCache::KvCache(const TextConfig& config, KvForm form, MemoryHome memory)
    : form_(form),
      layers_(config.num_hidden_layers),
      heads_(config.num_key_value_heads),
      head_dim_(config.head_dim),
      block_bytes_(static_cast<uint64_t>(bytes_of_block(config, form))),
      memory_(memory.with(MemoryPart::kv)) {}

// Pages that others may hold are no memory to go on in.
void KvCache::truncate(int64_t size) {
  QVL_CHECK(size >= 0 && size <= size_);
  size_ = size;
  const int64_t held = pages_for(size);
  if (shared_ <= held) return;
  pages_.erase(pages_.begin() + held, pages_.begin() + shared_);
  table_.erase(table_.begin() + held, table_.begin() + shared_);
  shared_ = held;
}

bool KvCache::has_room(int64_t tokens) const {
  return tokens == 0 || (size_ + tokens <= capacity() && !ends_in_shared_page());
}

// Places grow by doubling, so that pages come one by one without moving all each time.
void KvCache::make_places(int64_t more) {
  const size_t needed = pages_.size() + static_cast<size_t>(more);
  if (needed <= std::min(pages_.capacity(), table_.capacity())) return;
  const size_t places = std::max(needed, 2 * pages_.size());
  pages_.reserve(places);
  table_.reserve(places);
}

void KvCache::reserve(int64_t tokens) {
  QVL_CHECK(tokens >= 0);
  if (has_room(tokens)) return;
  const bool copies = ends_in_shared_page();
  const int64_t pages = pages_for(size_ + tokens) + (copies ? 1 : 0);
  std::vector<KvPage> made;
  for (int64_t page = std::ssize(pages_); page < pages; ++page) {
    made.push_back(std::make_shared<Tensor>(1, block_bytes_ / sizeof(float), memory_));
  }
  make_places(std::ssize(made));
  for (KvPage& page : made) {
    table_.push_back(bytes_of(page));
    pages_.push_back(std::move(page));
  }
  if (!copies) return;
  // The last page is nobody else's: it takes the place of the one that is held in part.
  const auto place = static_cast<size_t>(--shared_);
  std::memcpy(table_.back(), table_[place], block_bytes_);
  pages_[place] = std::move(pages_.back());
  table_[place] = table_.back();
  pages_.pop_back();
  table_.pop_back();
}

uint64_t KvCache::growth_bytes(const KvKept& kept, int64_t tokens) const {
  const int64_t whole = kept.tokens / kBlockKeys;
  const int64_t shared = std::min(shared_, kept.pages > 0 ? whole : pages_for(kept.tokens));
  const bool copies = kept.pages == 0 && kept.tokens < shared * kBlockKeys && kept.tokens < tokens;
  const int64_t own = std::ssize(pages_) - shared_;
  const int64_t missing = pages_for(tokens) + (copies ? 1 : 0) - (shared + own + kept.pages);
  return static_cast<uint64_t>(std::max(missing, int64_t{0})) * page_bytes();
}

void KvCache::shrink(int64_t capacity) noexcept {
  const auto pages = static_cast<size_t>(pages_for(std::max(capacity, size_)));
  if (pages >= pages_.size()) return;
  pages_.resize(pages);
  table_.resize(pages);
}

void KvCache::commit(int64_t tokens) {
  QVL_CHECK(tokens >= 0 && has_room(tokens));
  size_ += tokens;
}

KvPage KvCache::share_page(int64_t index) {
  QVL_CHECK(index >= 0 && (index + 1) * kBlockKeys <= size_);
  shared_ = std::max(shared_, index + 1);
  return pages_[static_cast<size_t>(index)];
}

void KvCache::replace_page(int64_t index, KvPage page) {
  (void)share_page(index);
  QVL_CHECK(page->values().size_bytes() == block_bytes_);
  table_[static_cast<size_t>(index)] = bytes_of(page);
  pages_[static_cast<size_t>(index)] = std::move(page);
}

// Pages of its own that are not held whole stay behind them, as room.
void KvCache::append_pages(std::span<const KvPage> pages) {
  const int64_t whole = size_ / kBlockKeys;
  make_places(std::ssize(pages));
  truncate(whole * kBlockKeys);
  for (const KvPage& page : pages) {
    QVL_CHECK(page->values().size_bytes() == block_bytes_);
    const int64_t place = size_ / kBlockKeys;
    pages_.insert(pages_.begin() + place, page);
    table_.insert(table_.begin() + place, bytes_of(page));
    size_ += kBlockKeys;
  }
  if (!pages.empty()) shared_ = size_ / kBlockKeys;
}

// In float32 a page has 2 * layers pieces of rows, all keys first.
float* KvCache::row(int64_t rows_before, int64_t token) {
  QVL_CHECK(form_ == KvForm::f32 && token >= shared_ * kBlockKeys && token < capacity());
  Tensor& page = *pages_[static_cast<size_t>(token / kBlockKeys)];
  return page.data() + (rows_before + token % kBlockKeys) * row_floats();
}

float* KvCache::key(int64_t layer, int64_t token) { return row(layer * kBlockKeys, token); }
float* KvCache::value(int64_t layer, int64_t token) { return row((layers_ + layer) * kBlockKeys, token); }

RowPages KvCache::rows(int64_t layer) const {
  const int64_t piece = kBlockKeys * row_floats();
  return {.pages = table_.data(), .keys = layer * piece, .values = (layers_ + layer) * piece};
}

KvBlocks KvCache::blocks(int64_t layer) const {
  const KvBlockLayout layout = layout_of(form_, head_dim_);
  return {.data = nullptr,
          .head_stride = layout.bytes(),
          .width = head_dim_,
          .integer = layout.integer,
          .pages = table_.data(),
          .page_offset = layer * heads_ * layout.bytes()};
}

void KvCache::read_block(int64_t index, std::span<std::byte> out) const {
  QVL_CHECK(index >= 0 && index * kBlockKeys < size_ && out.size() == block_bytes());
  const std::byte* page = table_[static_cast<size_t>(index)];
  // Rows in float32 are not set before they are written; blocks begin as zeros.
  const int64_t rows = form_ == KvForm::f32 ? kBlockKeys : 1;
  const int64_t held = form_ == KvForm::f32 ? std::min(rows, size_ - index * kBlockKeys) : rows;
  const auto pieces = static_cast<uint64_t>(2 * layers_);
  const uint64_t piece_bytes = block_bytes_ / pieces;
  const uint64_t set_bytes = piece_bytes / static_cast<uint64_t>(rows) * static_cast<uint64_t>(held);
  for (uint64_t at = 0; at < block_bytes_; at += piece_bytes) {
    std::memcpy(out.data() + at, page + at, set_bytes);
    std::fill_n(out.data() + at + set_bytes, piece_bytes - set_bytes, std::byte{0});
  }
}

void KvCache::append_block(std::span<const std::byte> block, int64_t tokens) {
  QVL_CHECK(size_ % kBlockKeys == 0 && has_room(kBlockKeys) && block.size() == block_bytes());
  QVL_CHECK(tokens > 0 && tokens <= kBlockKeys);
  std::memcpy(table_[static_cast<size_t>(size_ / kBlockKeys)], block.data(), block.size());
  size_ += tokens;
}

bool KvCache::accepts(std::span<const std::byte> block) const {
  QVL_CHECK(block.size() == block_bytes());
  if (form_ == KvForm::f32) return true;
  const KvBlockLayout layout = layout_of(form_, head_dim_);
  const auto bytes = static_cast<size_t>(layout.bytes());
  for (; !block.empty(); block = block.subspan(bytes)) {
    if (!within_limits(layout, block.first(bytes))) return false;
  }
  return true;
}

// Rounded up: a block holds factors, scales and padding besides the integers.
uint64_t KvCache::bytes_per_token(const TextConfig& config, KvForm form) {
  return static_cast<uint64_t>((bytes_of_block(config, form) + kBlockKeys - 1) / kBlockKeys);
}

}  // namespace qvl
