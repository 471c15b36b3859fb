// How much memory this process holds, and how much the machine has left.
#pragma once

#include <cstdint>
#include <optional>

#include "base/system_files.h"

namespace qvl {

/// Bytes; a field that the kernel does not tell is empty.
struct MemoryUse {
  std::optional<uint64_t> rss_bytes{};        ///< resident, pages shared with others counted in full
  std::optional<uint64_t> pss_bytes{};        ///< resident, shared pages divided among those who share them
  std::optional<uint64_t> swapped_bytes{};    ///< of this process
  std::optional<uint64_t> total_bytes{};      ///< of the machine
  std::optional<uint64_t> available_bytes{};  ///< what can be taken without swapping
  std::optional<uint64_t> swap_total_bytes{};
  std::optional<uint64_t> swap_free_bytes{};
};

/// All but pss_bytes.
MemoryUse read_memory_use(const SystemFiles& files);

/// The kernel walks every page of the process for this and holds its map meanwhile: milliseconds for some
/// gigabytes, during which nothing can be mapped. Ask seldom.
std::optional<uint64_t> read_pss_bytes(const SystemFiles& files);

}  // namespace qvl
