// Between the caller of a request and the engine: what became known, the result, and the wish to end it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "pipeline/stopwatch.h"
#include "qvl/pipeline.h"

namespace qvl {

/// Wakes the engine's thread. Thread-safe.
class Bell {
 public:
  void ring();
  /// Returns when it was rung since the last return, or at `then`.
  void wait(std::optional<std::chrono::steady_clock::time_point> then);

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool rung_ = false;
};

namespace detail {

/// One request's part of that. Thread-safe; filled by the engine, emptied by any number of callers.
class InferenceChannel {
 public:
  using Clock = std::chrono::steady_clock;

  /// `due`: when its time is up; nothing: never.
  InferenceChannel(uint64_t id, std::shared_ptr<Bell> bell, std::optional<Clock::time_point> due)
      : id_(id), bell_(std::move(bell)), due_(due) {}

  uint64_t id() const { return id_; }
  /// Seconds since it was made.
  double age_s() const { return since_submit_.seconds(); }

  // The caller's side.
  std::optional<InferenceEvent> next();
  bool wait_for_event(std::chrono::milliseconds most);
  InferenceOutput result();
  bool wait_for_result(std::chrono::milliseconds most);
  void cancel();

  // The engine's side.
  /// Why it is to end before its answer is complete: it was cancelled, or its time is up. Once there is a
  /// reason, there is one from then on.
  std::optional<FinishReason> early_end() const;
  std::optional<Clock::time_point> due() const { return due_; }
  /// Whoever prepares it may stop doing so: cancel() asks for that, stop_preparing() as well.
  std::stop_token stop_token() const { return stop_.get_token(); }
  void stop_preparing() { stop_.request_stop(); }
  /// With memory set aside for `text_bytes` that nobody fetches. An event the first time only: a request that
  /// was set back is admitted again.
  void admitted(size_t text_bytes);
  /// `text` is new, `tokens` are all of the answer so far.
  void advance(std::string_view text, int64_t tokens);
  /// Whether it has: then the answer cannot begin again.
  bool has_begun() const { return has_begun_; }
  void finish(InferenceOutput output);
  void fail(std::exception_ptr error);

 private:
  // With the lock held.
  bool ended() const { return output_.has_value() || error_ != nullptr; }
  bool advanced() const { return !text_.empty() || tokens_ > told_tokens_; }
  bool has_event() const { return admitted_ || advanced() || ended(); }

  const uint64_t id_;
  const std::shared_ptr<Bell> bell_;
  const std::optional<Clock::time_point> due_;
  const Stopwatch since_submit_;
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> has_begun_{false};
  std::stop_source stop_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool was_admitted_ = false;
  bool admitted_ = false, told_finished_ = false;
  std::string text_;  // that nobody fetched
  int64_t tokens_ = 0, told_tokens_ = 0;
  std::optional<InferenceOutput> output_;
  std::exception_ptr error_;
};

}  // namespace detail
}  // namespace qvl
