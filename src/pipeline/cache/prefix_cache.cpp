#include "pipeline/cache/prefix_cache.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"

namespace qvl {
namespace {

constexpr std::string_view kKind = "prefix";

uint64_t floats_of(uint64_t block_bytes) {
  QVL_CHECK(block_bytes % sizeof(float) == 0);
  return block_bytes / sizeof(float);
}

// The pictures among tokens [first, last), and which of their rows stand there.
std::string pictures_in(const Sequence& sequence, int64_t first, int64_t last) {
  std::string text;
  for (const VisualBlock& block : sequence.blocks) {
    if (block.position >= last || block.position + block.count <= first) continue;
    text +=
        fmt::format(" {} {} {} {}", block.medium->key.text(), block.first_row, block.position, block.count);
  }
  return text;
}

}  // namespace

uint64_t newly_held_bytes(std::span<const KvPage> pages) {
  constexpr long kCacheAndCaller = 2;
  uint64_t bytes = 0;
  for (const KvPage& page : pages) {
    if (page.use_count() <= kCacheAndCaller) bytes += MemoryHome::taken_bytes(page->values().size_bytes());
  }
  return bytes;
}

PrefixCache::PrefixCache(std::string identity, uint64_t budget_bytes, MemoryHome home, DiskCache& disk)
    : identity_(std::move(identity)), home_(home.with(MemoryPart::kv)), disk_(disk), memory_(budget_bytes) {}

// Positions follow from tokens and pictures: the key of a picture stands for its grid as well.
PrefixKeys PrefixCache::keys_of(const Sequence& sequence) const {
  PrefixKeys keys;
  if (!enabled() || sequence.size() == 0) return keys;
  ContentKey before = key_of("prefix of " + identity_);
  for (int64_t first = 0; first + kBlockKeys < sequence.size(); first += kBlockKeys) {
    const auto ids = std::as_bytes(std::span(sequence.ids).subspan(static_cast<size_t>(first), kBlockKeys));
    before = key_of(fmt::format("{} {}{}", before.text(), key_of(ids).text(),
                                pictures_in(sequence, first, first + kBlockKeys)));
    keys.push_back(before);
  }
  return keys;
}

void PrefixCache::fetch(const PrefixKeys& keys, uint64_t block_bytes) {
  const StoredShape shape{.rows = 1, .columns = floats_of(block_bytes)};
  int64_t block = 0;
  for (const ContentKey& key : keys) {
    if (!memory_.has(key)) {
      const uint64_t bytes = MemoryHome::taken_bytes(block_bytes);
      if (static_cast<uint64_t>(block + 1) * bytes > memory_.budget_bytes()) break;
      auto entry = disk_.read({.key = key, .kind = kKind, .rank = block}, {&shape, 1}, home_);
      if (!entry) break;
      memory_.put(key, std::make_shared<Tensor>(std::move(entry->tensors.front())), bytes);
      read_ += kBlockKeys;
    }
    ++block;
  }
  touch(keys, block);
}

// The end of a prefix is of no use without its beginning, so that is what was used last.
void PrefixCache::touch(const PrefixKeys& keys, int64_t blocks) {
  for (int64_t block = blocks; block-- > 0;) (void)memory_.find(keys[static_cast<size_t>(block)]);
}

std::vector<KvPage> PrefixCache::look_up(const PrefixKeys& keys, int64_t held) const {
  const int64_t whole = held / kBlockKeys;
  std::vector<KvPage> found;
  for (int64_t block = whole; block < std::ssize(keys); ++block) {
    KvPage page = memory_.look_at(keys[static_cast<size_t>(block)]);
    if (!page) break;
    found.push_back(std::move(page));
  }
  if ((whole + std::ssize(found)) * kBlockKeys <= held) return {};
  return found;
}

int64_t PrefixCache::extend(const PrefixKeys& keys, std::span<const KvPage> pages, KvCache& cache) {
  if (pages.empty()) return 0;
  const int64_t before = cache.size();
  cache.append_pages(pages);
  touch(keys, cache.size() / kBlockKeys);
  const int64_t gained = cache.size() - before;
  reused_ += static_cast<uint64_t>(gained);
  return gained;
}

void PrefixCache::keep(const PrefixKeys& keys, KvCache& cache) {
  const int64_t blocks = std::min(std::ssize(keys), cache.size() / kBlockKeys);
  const uint64_t bytes = MemoryHome::taken_bytes(cache.block_bytes());
  for (int64_t block = 0; block < blocks; ++block) {
    const ContentKey& key = keys[static_cast<size_t>(block)];
    if (KvPage kept = memory_.find(key)) {
      cache.replace_page(block, std::move(kept));
      continue;
    }
    // Its own beginning must not be what makes room for its end.
    if (static_cast<uint64_t>(block + 1) * bytes > memory_.budget_bytes()) break;
    const KvPage page = cache.share_page(block);
    memory_.put(key, page, bytes);
    disk_.write({.key = key, .kind = kKind, .rank = block}, {.numbers = {}, .tensors = {page->values()}},
                page);
  }
  touch(keys, blocks);
}

PrefixCacheStats PrefixCache::stats() const {
  return {.reused_tokens = reused_, .disk_tokens = read_, .bytes = memory_.bytes()};
}

}  // namespace qvl
