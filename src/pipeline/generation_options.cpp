#include "pipeline/generation_options.h"

#include <random>

#include "base/error.h"
#include "pipeline/check_range.h"

namespace qvl {
namespace {

constexpr int64_t kMaxStops = 16, kMaxStopBytes = 256;

uint64_t entropy() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

}  // namespace

void check_generation_options(const GenerationOptions& options) {
  check_range<int64_t>("max_tokens", options.max_tokens, 1, 1 << 24);
  check_range<int64_t>("prefill_chunk", options.prefill_chunk, 1, 1 << 16);
  if (options.temperature) check_range("temperature", *options.temperature, 0.0, 100.0);
  if (options.top_k) check_range<int64_t>("top_k", *options.top_k, 0, 1 << 24);
  if (options.top_p) check_range("top_p", *options.top_p, 1e-6, 1.0);
  if (options.repetition_penalty) check_range("repetition_penalty", *options.repetition_penalty, 0.01, 100.0);
  check_range("presence_penalty", options.presence_penalty, -100.0, 100.0);
  if (std::ssize(options.stop) > kMaxStops) {
    fail(ErrorCode::usage, "stop: found {} strings, expected at most {}", options.stop.size(), kMaxStops);
  }
  for (const std::string& stop : options.stop) {
    if (stop.empty() || std::ssize(stop) > kMaxStopBytes) {
      fail(ErrorCode::usage, "stop: found a string of {} bytes, expected 1 to {}", stop.size(),
           kMaxStopBytes);
    }
  }
}

SamplingOptions resolve_sampling(const GenerationOptions& options, const GenerationConfig& defaults) {
  return {.temperature = options.temperature.value_or(defaults.do_sample ? defaults.temperature : 0),
          .top_k = options.top_k.value_or(defaults.top_k),
          .top_p = options.top_p.value_or(defaults.top_p),
          .repetition_penalty = options.repetition_penalty.value_or(defaults.repetition_penalty),
          .presence_penalty = options.presence_penalty,
          .seed = options.seed ? *options.seed : entropy()};
}

}  // namespace qvl
