// What memory is taken for: the parts of the one account.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace qvl {

enum class MemoryPart : uint8_t {
  program,  ///< what the process had when the account was opened
  weights,  ///< packed weights, and pages of mapped ones that may become resident
  kv,       ///< keys and values
  vision,   ///< scratch memory of the vision tower
  pixels,   ///< decoded pictures and frames
  pool,     ///< blocks that are kept for reuse
  caches,   ///< features of pictures, shared prefixes
  staging,  ///< buffers on the way to or from a device or a file
  other,
};

inline constexpr size_t kMemoryParts = 9;
inline constexpr std::string_view kMemoryPartNames[kMemoryParts] = {
    "program", "weights", "kv", "vision", "pixels", "pool", "caches", "staging", "other"};

inline constexpr size_t index_of(MemoryPart part) { return static_cast<size_t>(part); }
inline constexpr std::string_view name_of(MemoryPart part) { return kMemoryPartNames[index_of(part)]; }

/// Bytes of each part, by index_of.
using BytesByPart = std::array<uint64_t, kMemoryParts>;

}  // namespace qvl
