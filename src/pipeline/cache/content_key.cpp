#include "pipeline/cache/content_key.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <charconv>
#include <new>

namespace qvl {
namespace {

ContentKey key_from(const XXH128_hash_t& hash) { return {.high = hash.high64, .low = hash.low64}; }

}  // namespace

std::string ContentKey::text() const { return fmt::format("{:016x}{:016x}", high, low); }

ContentKey key_of(std::span<const std::byte> bytes) {
  return key_from(XXH3_128bits(bytes.data(), bytes.size()));
}

ContentKey key_of(std::string_view text) { return key_of(std::as_bytes(std::span(text))); }

ContentHasher::ContentHasher() : state_(XXH3_createState()) {
  if (!state_) throw std::bad_alloc();
  XXH3_128bits_reset(state_.get());
}

void ContentHasher::FreeState::operator()(XXH3_state_s* state) const { XXH3_freeState(state); }

void ContentHasher::add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
}

ContentKey ContentHasher::key() const { return key_from(XXH3_128bits_digest(state_.get())); }

std::optional<ContentKey> key_from(std::string_view digits) {
  constexpr size_t kHalf = 16;
  if (digits.size() != 2 * kHalf) return std::nullopt;
  const auto half = [](std::string_view part, uint64_t& value) {
    const char* end = part.data() + part.size();
    return std::from_chars(part.data(), end, value, 16).ptr == end;
  };
  ContentKey key;
  if (!half(digits.substr(0, kHalf), key.high) || !half(digits.substr(kHalf), key.low)) return std::nullopt;
  return key;
}

uint64_t checksum_of(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace qvl
