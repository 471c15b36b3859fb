#include "pipeline/engine/inference_channel.h"

#include <utility>

#include "base/waiting_time.h"
#include "pipeline/memory_guard.h"

namespace qvl {

void Bell::ring() {
  const std::lock_guard lock(mutex_);
  rung_ = true;
  condition_.notify_one();
}

void Bell::wait(std::optional<std::chrono::steady_clock::time_point> then) {
  std::unique_lock lock(mutex_);
  const auto rung = [this] { return rung_; };
  if (then) {
    condition_.wait_until(lock, *then, rung);
  } else {
    condition_.wait(lock, rung);
  }
  rung_ = false;
}

namespace detail {

std::optional<InferenceEvent> InferenceChannel::next() {
  using Kind = InferenceEvent::Kind;
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return has_event(); });
  if (std::exchange(admitted_, false)) return InferenceEvent{.kind = Kind::admitted};
  if (advanced()) {
    InferenceEvent event{.kind = Kind::text, .text = text_, .tokens = tokens_};
    text_.clear();  // its memory stays for what comes next
    told_tokens_ = tokens_;
    return event;
  }
  if (std::exchange(told_finished_, true)) return std::nullopt;
  return InferenceEvent{.kind = Kind::finished};
}

bool InferenceChannel::wait_for_event(std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, waiting_time(most), [this] { return has_event(); });
}

InferenceOutput InferenceChannel::result() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ended(); });
  if (error_ != nullptr) std::rethrow_exception(error_);
  return *output_;
}

bool InferenceChannel::wait_for_result(std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, waiting_time(most), [this] { return ended(); });
}

void InferenceChannel::cancel() {
  cancelled_ = true;
  stop_.request_stop();
  bell_->ring();
}

std::optional<FinishReason> InferenceChannel::early_end() const {
  if (cancelled_) return FinishReason::cancelled;
  if (due_ && Clock::now() >= *due_) return FinishReason::deadline;
  return std::nullopt;
}

void InferenceChannel::admitted(size_t text_bytes) {
  const std::lock_guard lock(mutex_);
  text_.reserve(text_bytes);
  if (!std::exchange(was_admitted_, true)) admitted_ = true;
  changed_.notify_all();
}

void InferenceChannel::advance(std::string_view text, int64_t tokens) {
  const std::lock_guard lock(mutex_);
  has_begun_ = true;
  text_ += text;
  tokens_ = tokens;
  changed_.notify_all();
}

void InferenceChannel::finish(InferenceOutput output) {
  const std::lock_guard lock(mutex_);
  output_ = std::move(output);
  changed_.notify_all();
}

void InferenceChannel::fail(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  error_ = std::move(error);
  changed_.notify_all();
}

}  // namespace detail

uint64_t InferenceStream::id() const { return channel_->id(); }
std::optional<InferenceEvent> InferenceStream::next() {
  return with_memory_for("for the next event", [&] { return channel_->next(); });
}
bool InferenceStream::wait_for_event(std::chrono::milliseconds most) {
  return channel_->wait_for_event(most);
}
InferenceOutput InferenceStream::result() {
  return with_memory_for("to copy the answer", [&] { return channel_->result(); });
}
bool InferenceStream::wait_for_result(std::chrono::milliseconds most) {
  return channel_->wait_for_result(most);
}
void InferenceStream::cancel() { channel_->cancel(); }

}  // namespace qvl
