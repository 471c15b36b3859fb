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
  vision,   ///< states of pictures in the vision tower
  pixels,   ///< pictures and frames on their way to the tower: files, pixels, patches
  scratch,  ///< of operations, hidden states, logits
  pool,     ///< blocks that are kept for reuse
  caches,   ///< features of pictures, shared prefixes
  staging,  ///< buffers on the way to or from a device or a file
  other,
};

inline constexpr size_t kMemoryParts = 10;
inline constexpr std::string_view kMemoryPartNames[kMemoryParts] = {
    "program", "weights", "kv", "vision", "pixels", "scratch", "pool", "caches", "staging", "other"};

inline constexpr size_t index_of(MemoryPart part) { return static_cast<size_t>(part); }
inline constexpr std::string_view name_of(MemoryPart part) { return kMemoryPartNames[index_of(part)]; }

/// Bytes of each part, by index_of.
using BytesByPart = std::array<uint64_t, kMemoryParts>;

}  // namespace qvl
