// Somebody who makes trouble for a loaded checkpoint while it serves requests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <random>
#include <thread>

#include "pipeline/runtime.h"

namespace qvl::faults {

/// While it lives, a thread of its own, every millisecond or so and in an order that its seed decides,
/// refuses one of the next requests for memory, holds all of the account that is free for a moment, or
/// damages a file of what is kept of pictures. One at a time.
class Trouble {
 public:
  /// `features`: the folder of those files. Borrows the runtime.
  Trouble(detail::Runtime& runtime, std::filesystem::path features, unsigned seed);
  /// No more from then on; memory is for all again.
  ~Trouble();
  Trouble(const Trouble&) = delete;
  Trouble& operator=(const Trouble&) = delete;

 private:
  void make(const std::stop_token& stop);
  void hold_the_rest();
  void damage_a_file();

  detail::Runtime& runtime_;
  const std::filesystem::path features_;
  std::mt19937 random_;
  std::jthread thread_;
};

}  // namespace qvl::faults
