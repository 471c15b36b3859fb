#include "pipeline/media_costs.h"

#include <algorithm>

namespace qvl {
namespace {

// Units need not be whole ones: a cost is learnt as that of parts of one.
void learn(scheduling::UnitCost& cost, double units, double seconds) {
  constexpr uint32_t kParts = 256;
  constexpr double kMostUs = 1e12;  // what it learns from is bounded anyway
  if (units <= 0) return;
  cost.learn(kParts, static_cast<int64_t>(std::min(seconds * 1e6 / units, kMostUs) * kParts));
}

std::optional<double> seconds_of(const scheduling::UnitCost& cost, double units) {
  const auto us = cost.measured_us();
  if (!us) return std::nullopt;
  return *us * units / 1e6;
}

}  // namespace

void MediaCosts::learn_cutting(int64_t pixels, double seconds) {
  const std::lock_guard lock(mutex_);
  learn(cutting_, static_cast<double>(pixels) / kPixels, seconds);
}

void MediaCosts::learn_encoding(int64_t patches, double seconds) {
  const std::lock_guard lock(mutex_);
  learn(encoding_, static_cast<double>(patches) / kPatches, seconds);
}

std::optional<double> MediaCosts::cutting_s(int64_t pixels) const {
  const std::lock_guard lock(mutex_);
  return seconds_of(cutting_, static_cast<double>(pixels) / kPixels);
}

std::optional<double> MediaCosts::encoding_s(int64_t patches) const {
  const std::lock_guard lock(mutex_);
  return seconds_of(encoding_, static_cast<double>(patches) / kPatches);
}

}  // namespace qvl
