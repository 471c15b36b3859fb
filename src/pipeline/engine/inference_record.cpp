#include "pipeline/engine/inference_record.h"

#include <algorithm>

namespace qvl {

void InferenceRecord::submitted(int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  if (!first_submit_ns_) first_submit_ns_ = now_ns;
}

void InferenceRecord::ended(const Ended& request) {
  const std::lock_guard lock(mutex_);
  last_end_ns_ = std::max(last_end_ns_, request.now_ns);
  tokens_ += request.tokens;
  prompt_tokens_ += static_cast<uint64_t>(request.prompt_tokens);
  cached_tokens_ += static_cast<uint64_t>(request.cached_tokens);
  energy_.advance();
  if (request.memory_percent) {
    memory_sum_percent_ += *request.memory_percent;
    ++memory_samples_;
  }
  if (request.end == End::cancelled) ++cancelled_;
  if (request.end == End::overdue) ++overdue_;
  if (request.end == End::failed) ++failed_;
  if (request.end != End::answered) return;
  least_s_ = answered_ == 0 ? request.seconds : std::min(least_s_, request.seconds);
  most_s_ = std::max(most_s_, request.seconds);
  sum_s_ += request.seconds;
  first_token_sum_s_ += request.first_token_s;
  ++answered_;
}

void InferenceRecord::computed(int64_t ns) {
  const std::lock_guard lock(mutex_);
  compute_ns_ += ns;
}

void InferenceRecord::waited_for_preparation(int64_t ns) {
  const std::lock_guard lock(mutex_);
  preparation_wait_ns_ += ns;
}

void InferenceRecord::guessed(uint64_t tokens, uint64_t accepted) {
  if (tokens == 0) return;
  const std::lock_guard lock(mutex_);
  guessed_tokens_ += tokens;
  accepted_tokens_ += accepted;
}

PerformanceMetrics InferenceRecord::metrics() const {
  const std::lock_guard lock(mutex_);
  PerformanceMetrics metrics;
  metrics.total_inferences = answered_;
  metrics.cancelled_inferences = cancelled_;
  metrics.overdue_inferences = overdue_;
  metrics.failed_inferences = failed_;
  metrics.prompt_tokens = prompt_tokens_;
  metrics.cached_tokens = cached_tokens_;
  metrics.guessed_tokens = guessed_tokens_;
  metrics.accepted_tokens = accepted_tokens_;
  energy_.advance();
  metrics.energy_j = energy_.joules();
  metrics.compute_time = static_cast<double>(compute_ns_) / 1e9;
  metrics.preparation_wait_time = static_cast<double>(preparation_wait_ns_) / 1e9;
  if (memory_samples_ > 0) {
    metrics.avg_memory_percent = memory_sum_percent_ / static_cast<double>(memory_samples_);
  }
  if (answered_ == 0) return metrics;
  const auto count = static_cast<double>(answered_);
  metrics.avg_inference_time = sum_s_ / count;
  metrics.min_inference_time = least_s_;
  metrics.max_inference_time = most_s_;
  metrics.avg_time_to_first_token = first_token_sum_s_ / count;
  const double seconds = static_cast<double>(last_end_ns_ - *first_submit_ns_) / 1e9;
  if (seconds > 0) {
    metrics.throughput_ips = count / seconds;
    metrics.tokens_per_second = static_cast<double>(tokens_) / seconds;
  }
  return metrics;
}

}  // namespace qvl
