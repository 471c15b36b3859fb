#include "pipeline/cache/content_key.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace qvl {

std::string ContentKey::text() const { return fmt::format("{:016x}{:016x}", high, low); }

ContentKey key_of(std::span<const std::byte> bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {.high = hash.high64, .low = hash.low64};
}

ContentKey key_of(std::string_view text) { return key_of(std::as_bytes(std::span(text))); }

uint64_t checksum_of(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace qvl
