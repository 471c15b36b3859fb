// What the engine needs of whatever answers requests: requests, their steps, and what those run on.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/json.h"
#include "memory/ledger.h"
#include "pipeline/compute_turn.h"
#include "pipeline/engine/inference_channel.h"
#include "pipeline/system_layer.h"
#include "qvl/pipeline.h"
#include "scheduler/scheduler.h"

namespace qvl {

/// A request as the engine sees it. Thread-compatible: `prepare` runs on a thread of the preprocess pool
/// before the engine's thread calls anything else but preparation() and fail_after_preparation().
class ScheduledRequest {
 public:
  /// The request is checked already: check_request().
  ScheduledRequest(InferenceRequest request, std::shared_ptr<detail::InferenceChannel> channel,
                   RequestGauge& gauge)
      : request_(std::move(request)), channel_(std::move(channel)) {
    counted_.emplace(gauge);
  }
  virtual ~ScheduledRequest() = default;
  ScheduledRequest(const ScheduledRequest&) = delete;
  ScheduledRequest& operator=(const ScheduledRequest&) = delete;

  scheduling::RequestId id() const { return channel_->id(); }
  const InferenceRequest& request() const { return request_; }
  detail::InferenceChannel& channel() { return *channel_; }
  /// Seconds since it was submitted.
  double age_s() const { return channel_->age_s(); }

  /// How far its preparation is. Asked by the engine's thread, which has nothing else to do with a request
  /// whose preparation is under way: that belongs to the thread that prepares.
  enum class Preparation { waiting, under_way, done, taken };
  Preparation preparation() const { return preparation_.load(std::memory_order_acquire); }
  void begin_preparation() { preparation_.store(Preparation::under_way, std::memory_order_release); }
  /// Reads what it needs; then it is done, and take_preparation() throws what failed.
  void prepare() noexcept;
  void take_preparation();
  /// From the engine's thread while the preparation is under way: take_preparation() then throws `error`.
  void fail_after_preparation(std::exception_ptr error) noexcept;
  /// Whether others were under way at any time since its preparation began: where memory was refused, it may
  /// have been theirs.
  bool met_others() const { return met_others_; }
  void meet_others() { met_others_ = true; }
  /// It takes the place of a request that memory was refused to.
  bool was_set_back() const { return was_set_back_; }
  void mark_set_back() { was_set_back_ = true; }
  /// Another one takes its place: it gives back what it holds, and is not counted as done.
  void withdraw() noexcept {
    if (counted_) counted_->withdraw();
    give_back();
  }
  /// Of one that was withdrawn.
  InferenceRequest take_request() { return std::move(request_); }
  const std::shared_ptr<detail::InferenceChannel>& shared_channel() const { return channel_; }
  /// Whether it has taken memory ahead that whoever computes may need more; of a prepared request that was
  /// not admitted.
  virtual bool holds_ahead() const { return false; }
  /// What is left to compute, and how much memory that takes; of a prepared request.
  virtual scheduling::Work work() const = 0;
  virtual std::vector<MemoryNeed> needs() const = 0;
  /// What caches would give back if it were not for this request, which has it already: needs() are without.
  virtual uint64_t pinned_bytes() const { return 0; }
  /// Sets memory down that it takes later than in begin(), where so much is free. False where it is not.
  virtual bool reserve() { return true; }
  /// It was admitted; reserves what reserve() has not. Throws Error{limit} where memory does not suffice.
  virtual void begin() = 0;
  /// Blocks of the tower and tokens of the prompt that are left to compute.
  struct Left {
    uint32_t vision_steps, prompt_tokens;
  };
  /// Takes what others have computed of its pictures and its prompt since it was looked at last, between two
  /// steps. Nothing where there is nothing to take: it has not begun, or its prompt is computed.
  virtual std::optional<Left> take_kept() { return std::nullopt; }
  /// The answer so far, ended for `reason` where it had not ended by itself.
  virtual InferenceOutput finish(std::optional<FinishReason> reason) = 0;
  /// Frees what it holds; nothing else may be called afterwards but channel(), id(), age_s() and
  /// take_request().
  virtual void give_back() noexcept = 0;

 protected:
  /// What prepare() does. Throws.
  virtual void read() = 0;

  InferenceRequest request_;  // nobody changes it
  const std::shared_ptr<detail::InferenceChannel> channel_;
  std::optional<RequestGauge::Request> counted_;  // until it gives back what it holds

 private:
  std::atomic<Preparation> preparation_{Preparation::waiting};
  bool met_others_ = false, was_set_back_ = false;  // of the engine's thread
  std::exception_ptr problem_;                      // of the preparation
  std::exception_ptr doom_;                         // that came meanwhile
};

/// A request that a step brought to its end.
struct StepEnd {
  scheduling::RequestId id;
  std::exception_ptr error;  ///< null: its answer is complete
};

/// Tokens of answers that a step computed before it was known that they belong there, and those of them that
/// do.
struct GuessedTokens {
  uint64_t guessed = 0, accepted = 0;
};

/// Computes steps of the engine: what the scheduler has planned, for the requests it names.
/// Thread-compatible: the engine's thread alone.
class StepRunner {
 public:
  /// Null where the request has ended.
  using Find = std::function<ScheduledRequest*(scheduling::RequestId)>;
  /// Told of a step that was put between the pieces of another one; ended() has those that are over.
  using Between = std::function<void(const scheduling::StepPlan&, const scheduling::StepOutcome&)>;

  virtual ~StepRunner() = default;
  /// Computes `plan`. What fails ends the request it failed for; where that cannot be told, all that were
  /// computed together.
  virtual scheduling::StepOutcome run(const scheduling::StepPlan& plan,
                                      const scheduling::UnitCosts& costs) = 0;
  /// Those that the last step brought to their end.
  virtual std::vector<StepEnd>& ended() = 0;
  /// Of the time that the last step took, what it waited for pictures to be cut.
  virtual int64_t preparation_wait_ns() const { return 0; }
  /// Of the last step.
  virtual GuessedTokens guesses() const { return {}; }
  /// How long the decoders of `plan` may be made to wait for others.
  virtual int64_t patience_us(const scheduling::StepPlan& plan, const scheduling::UnitCosts& costs) const = 0;
  /// Gives the memory that steps share back to the pool.
  virtual void release_scratch() = 0;
};

/// What a request that comes now may count on, as the engine's scheduler has it.
struct EngineOutlook {
  scheduling::UnitCosts costs;
  uint64_t memory_left = 0;  ///< bytes, without scratch, that requests may still hold
};

/// Outlives its requests and runners.
class EngineModel {
 public:
  virtual ~EngineModel() = default;
  virtual SystemLayer& layer() = 0;
  /// Where whoever computes on this model waits for its turn.
  virtual ComputeQueue& computing() = 0;
  /// What it keeps of earlier requests: what that has spared so far, without rates, and the bytes that go
  /// when they are wanted.
  virtual CacheMetrics caches() const { return {}; }
  virtual uint64_t cached_bytes() const { return 0; }
  /// Of these what would come free at once: nobody uses it.
  virtual uint64_t idle_cached_bytes() const { return 0; }
  /// What of the configuration is followed; null where the model says nothing of it.
  virtual OrderedJson followed_json() const { return nullptr; }
  /// Blocks of the vision tower that any step may have; a request may have fewer (Work::most_vision_steps).
  virtual uint32_t most_vision_steps() const { return 1; }
  virtual std::unique_ptr<ScheduledRequest> request(InferenceRequest request,
                                                    std::shared_ptr<detail::InferenceChannel> channel) = 0;
  /// `find` is given ids of requests that this model made.
  virtual std::unique_ptr<StepRunner> steps(StepRunner::Find find, StepRunner::Between between) = 0;
  /// As OptimizedInferencePipeline::plan, of a checked request. Throws Error{usage} where it cannot tell.
  virtual RequestPlan plan(const InferenceRequest& request, const EngineOutlook& outlook);
  /// Called after each request, when its memory is given back.
  virtual void after_request() noexcept { layer().after_request(); }
  /// As Model::logits. Throws Error{usage} where it has none.
  virtual int64_t logits(const LogitsRequest& request, const LogitsSink& sink, const Listeners& listeners);
  /// All requests are about to be cancelled: a step under way may end early. Called from any thread.
  virtual void close() {}
};

}  // namespace qvl
