// What the optimizer's plan allows a loaded checkpoint at all; how much of it holds at a moment is for the
// policies that see the machine as it changes.
#pragma once

#include <cstdint>
#include <limits>

namespace qvl {

/// The defaults leave everything to the policies. Plain data.
struct RunLimits {
  bool pinning = true;        ///< compute threads may have processors of their own
  bool waiting_awake = true;  ///< they may wait awake between loops
  bool shared_cores = true;   ///< there may be more of them than cores
  bool resting = true;        ///< power_save may compute a part of the time only

  bool huge_pages = true;         ///< advice for blocks of memory from now on
  bool interval_clean_up = true;  ///< clean up every memory_cleanup_interval operations
  int64_t prefill_chunk = 512;    ///< tokens of a prompt computed together at most, >= 16
  int64_t vision_blocks = 4;      ///< of the tower in a step, for a picture of 512 x 512; >= 1
  uint64_t feature_bytes = std::numeric_limits<uint64_t>::max();  ///< features of pictures, kept at most

  bool operator==(const RunLimits&) const = default;
};

}  // namespace qvl
