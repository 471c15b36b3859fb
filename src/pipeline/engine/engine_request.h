// One request on its way through the engine: prepared by other threads, then computed step by step.
#pragma once

#include <cstdint>
#include <exception>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "model/sampler.h"
#include "pipeline/answer_writer.h"
#include "pipeline/engine/inference_channel.h"
#include "pipeline/prefill.h"
#include "pipeline/runtime.h"
#include "pipeline/stopwatch.h"
#include "scheduler/request.h"

namespace qvl {

/// Most tokens of a prompt in a step, where the machine has nothing else to do.
constexpr int64_t kMostPromptTokens = 512;

/// Thread-compatible: `prepare` runs on a thread of the preprocess pool before the engine's thread calls
/// anything else.
class EngineRequest {
 public:
  /// The request is checked already: check_request().
  EngineRequest(InferenceRequest request, std::shared_ptr<detail::InferenceChannel> channel,
                detail::Runtime& runtime);
  ~EngineRequest();
  EngineRequest(const EngineRequest&) = delete;
  EngineRequest& operator=(const EngineRequest&) = delete;

  scheduling::RequestId id() const { return channel_->id(); }
  const InferenceRequest& request() const { return request_; }
  detail::InferenceChannel& channel() { return *channel_; }
  /// Seconds since it was submitted.
  double age_s() const { return since_submit_.seconds(); }

  /// Reads what the prompt needs of its media, tokenises, and begins to cut the first picture. Throws Error.
  void prepare();
  /// What is left to compute, and how much memory that takes; of a prepared request.
  scheduling::Work work() const;
  std::vector<MemoryNeed> needs() const;

  /// It was admitted: keys and values are reserved. Throws Error{limit} where memory does not suffice.
  void begin();
  /// Computes `steps` blocks of the vision tower. Throws Error, and what `between` throws.
  void see(uint32_t steps, BetweenPieces between);

  /// The next `count` tokens of the prompt as a step of a pass. Borrowed until taken().
  SequenceStep prompt_step(int64_t count);
  /// The token chosen last as a step, and behind it at most `guesses` tokens that may follow. Throws
  /// Error{limit} where memory does not suffice for it.
  SequenceStep decode_step(size_t guesses);
  /// Of the last tokens of the step under way, those whose logits are wanted: all of a decoding step, one of
  /// the last chunk of a prompt, none of the others.
  size_t rows_wanted() const;
  /// The step was computed. Chooses tokens by the rows that were wanted, one of which follows another as long
  /// as guesses were right; what was computed for wrong ones is forgotten. logits: [rows_wanted(),
  /// vocabulary]. False where the answer ended. Throws Error{model_file} for broken logits.
  bool take(std::span<float> logits);

  /// The answer so far, ended for `reason` where it had not ended by itself.
  InferenceOutput finish(std::optional<FinishReason> reason);
  /// Frees what it holds; nothing else may be called afterwards but channel(), id() and age_s().
  void give_back();
  int64_t answer_tokens() const { return std::ssize(writer_->answer.tokens); }

 private:
  bool decoding() const { return cached_.held.size() >= prompt_.size(); }
  bool choose(std::span<float> logits);
  void tell();
  void prepare_turn();
  void cut_ahead(size_t index);
  void wait_for_patches(size_t index);

  const InferenceRequest request_;
  const std::shared_ptr<detail::InferenceChannel> channel_;
  detail::Runtime& runtime_;
  const Stopwatch since_submit_;
  std::optional<RequestGauge::Request> counted_;  // until it gives back what it holds
  Timings timings_;

  Media media_;
  Sequence prompt_;
  std::vector<Position> positions_;
  std::vector<VisualSpan> spans_;
  PositionCounter counter_;  // stands behind the tokens that are computed

  size_t seen_ = 0;  // media that are encoded
  std::optional<VisionRun> vision_run_;
  std::future<void> cutting_;  // of media_[cut_ - 1], where it is valid
  size_t cut_ = 0;             // media that were handed to the preprocess pool

  CachedSequence cached_;
  std::optional<Sampler> sampler_;
  std::optional<AnswerWriter> writer_;
  std::string new_text_;                    // that the channel has not been told
  int64_t computing_ = 0;                   // tokens of the step under way
  std::optional<Stopwatch> since_prefill_;  // since the first step of the prompt
  std::optional<Stopwatch> since_first_;    // since the first token
  std::vector<int32_t> ahead_;              // the token chosen last, and guesses behind it
  std::vector<int32_t> computed_;           // those of the step that is being taken
  std::vector<Position> positions_ahead_;
};

/// Throws Error{usage} for values out of range, text that is no UTF-8, and tensors that do not fit the model.
void check_request(const InferenceRequest& request, const ModelConfig& config);

}  // namespace qvl
