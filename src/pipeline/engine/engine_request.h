// One request on its way through the engine: prepared by other threads, then computed step by step.
#pragma once

#include <array>
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
  uint64_t memory_bytes() const;

  /// It was admitted: keys and values are reserved. Throws Error{limit} where memory does not suffice.
  void begin();
  /// Computes `steps` blocks of the vision tower. Throws Error.
  void see(uint32_t steps);

  /// The next `count` tokens of the prompt as a step of a pass. Borrowed until taken().
  SequenceStep prompt_step(int64_t count);
  /// The token chosen last as a step. Throws Error{limit} where memory does not suffice for it.
  SequenceStep decode_step();
  /// The step was computed. Whether logits of its last token are wanted: always of a decoding step, of a
  /// chunk only of the last.
  bool taken();
  /// Chooses a token. False where it ended the answer. Throws Error{model_file} for broken logits.
  bool choose(std::span<float> logits);

  /// The answer so far, ended for `reason` where it had not ended by itself.
  InferenceOutput finish(std::optional<FinishReason> reason);
  /// Frees what it holds; nothing else may be called afterwards but channel(), id() and age_s().
  void give_back();

 private:
  void tell();
  void cut_ahead(size_t index);
  void wait_for_patches(size_t index);

  const InferenceRequest request_;
  const std::shared_ptr<detail::InferenceChannel> channel_;
  detail::Runtime& runtime_;
  const Stopwatch since_submit_;
  Timings timings_;

  Media media_;
  Sequence prompt_;
  std::vector<Position> positions_;
  std::vector<VisualSpan> spans_;
  PositionCounter counter_;       // stands behind the tokens that are computed
  PositionCounter next_counter_;  // behind the step under way

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
  std::array<int32_t, 1> token_ = {};       // chosen last
  std::vector<Position> position_;          // its position
};

/// Throws Error{usage} for values out of range and text that is no UTF-8.
void check_request(const InferenceRequest& request);

}  // namespace qvl
