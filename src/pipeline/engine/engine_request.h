// One request on its way through the engine: prepared by other threads, then computed step by step.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/function_ref.h"
#include "model/sampler.h"
#include "pipeline/answer_writer.h"
#include "pipeline/engine/engine_model.h"
#include "pipeline/engine/prompt_lookup.h"
#include "pipeline/engine/vision_tasks.h"
#include "pipeline/prefill.h"
#include "pipeline/runtime.h"
#include "pipeline/stopwatch.h"
#include "scheduler/request.h"

namespace qvl {

/// Most tokens of a prompt in a step, where the machine has nothing else to do.
constexpr int64_t kMostPromptTokens = 512;

/// Most tokens of an answer in a step: the one chosen last, and guesses.
constexpr int64_t kMostAnswerRows = 1 + static_cast<int64_t>(LookupGauge::kGuesses);

/// A request to a checkpoint.
class EngineRequest final : public ScheduledRequest {
 public:
  /// The request is checked already: check_request().
  /// `tasks` are of the engine's thread.
  EngineRequest(InferenceRequest request, std::shared_ptr<detail::InferenceChannel> channel,
                detail::Runtime& runtime, VisionTasks& tasks);
  ~EngineRequest() override;

  scheduling::Work work() const override;
  std::vector<MemoryNeed> needs() const override;

  bool holds_ahead() const override;
  uint64_t pinned_bytes() const override { return pinned_bytes_; }
  bool reserve() override;
  void begin() override;
  std::optional<Left> take_kept() override;
  /// Computes at most `steps` blocks of the vision tower. The patches that went through one, counted once for
  /// each block. Throws Error, and what `between` throws.
  int64_t see(uint32_t steps, BetweenPieces between);

  /// The next `count` tokens of the prompt as a step of a pass. Borrowed until taken(). Throws Error{limit}
  /// where memory does not suffice for it.
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
  /// The step was not computed for want of memory: all is as before, and it may be tried again.
  void undo_step() { cached_.cache.truncate(cached_.held.size()); }

  InferenceOutput finish(std::optional<FinishReason> reason) override;
  void give_back() noexcept override;
  /// What its blocks of the tower have waited for pictures to be cut.
  int64_t cutting_wait_ns() const { return cutting_wait_ns_; }
  int64_t answer_tokens() const { return std::ssize(writer_->answer.tokens); }
  /// Of its last decoding step.
  GuessedTokens guesses() const { return guesses_; }

 private:
  bool decoding() const { return cached_.held.size() >= prompt_.size(); }
  bool choose(std::span<float> logits);
  void tell();
  void let_go_of_pictures();
  void read() override;
  Left left() const;
  void reserve_answer();
  void find_kept();
  void reserve_for_prompt(int64_t first, int64_t count);
  uint64_t growth_left() const;
  void let_go_of_covered();
  bool is_to_see(const Medium& medium) const;
  size_t next_to_see(size_t from) const;
  void take_features_kept(Medium& medium);
  bool has_room_ahead(const Medium& medium) const;
  void try_to_cut(Medium& medium);
  void cut_ahead(size_t index);
  bool is_being_cut() const;
  void end_cutting();
  void wait_for_cutting(FunctionRef<void()> cut);
  void begin_to_see(size_t index, BetweenPieces between);
  void see_block(Medium& medium, BetweenPieces between);

  detail::Runtime& runtime_;
  Timings timings_;

  Media media_;
  Sequence prompt_;
  PrefixKeys keys_;
  uint64_t pinned_bytes_ = 0;        // of pages it took over when it was prepared
  std::vector<Position> positions_;  // from the first step of the prompt on: until then grids may be turned
  std::vector<VisualSpan> spans_;
  PositionCounter counter_;  // stands behind the tokens that are computed

  // A picture handed to the preprocess pool: whoever sets `begun` first has it.
  struct Cutting {
    std::atomic<bool> begun = false;
    std::future<void> done = {};
  };
  VisionTasks& tasks_;
  std::shared_ptr<VisionTask> task_;  // of the first medium that is to be seen, once it has begun
  const Medium* seeing_ = nullptr;    // that one
  std::shared_ptr<Cutting> cutting_;  // of media_[cut_ - 1], or null
  size_t cut_ = 0;                    // media that were handed to the preprocess pool
  int64_t cutting_wait_ns_ = 0;

  CachedSequence cached_;
  std::optional<Reservation> owed_;  // keys and values it has yet to take
  std::optional<Sampler> sampler_;
  std::optional<AnswerWriter> writer_;
  std::string new_text_;   // that the channel has not been told
  int64_t computing_ = 0;  // tokens of the step under way
  GuessedTokens guesses_;
  std::optional<Stopwatch> since_prefill_;  // since the first step of the prompt
  std::optional<Stopwatch> since_first_;    // since the first token
  std::vector<int32_t> ahead_;              // the token chosen last, and guesses behind it
  std::vector<int32_t> computed_;           // those of the step that is being taken
  std::vector<Position> positions_ahead_;
};

}  // namespace qvl
