#include "pipeline/media_costs.h"

#include <algorithm>

namespace qvl {
namespace {

void learn(scheduling::UnitCost& cost, int64_t units, double seconds) {
  constexpr double kMostSeconds = 1e6;  // what it learns from is bounded anyway
  const auto us = static_cast<int64_t>(std::min(seconds, kMostSeconds) * 1e6);
  cost.learn(static_cast<uint32_t>(std::clamp<int64_t>(units, 1, UINT32_MAX)), us);
}

std::optional<double> seconds_of(const scheduling::UnitCost& cost, double units) {
  const auto us = cost.measured_us();
  if (!us) return std::nullopt;
  return *us * units / 1e6;
}

}  // namespace

void MediaCosts::learn_cutting(int64_t pixels, double seconds) {
  const std::lock_guard lock(mutex_);
  learn(cutting_, pixels / kPixels, seconds);
}

void MediaCosts::learn_encoding(int64_t patches, double seconds) {
  const std::lock_guard lock(mutex_);
  learn(encoding_, patches / kPatches, seconds);
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
