#include "pipeline/generate.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/sampler.h"
#include "pipeline/generation_options.h"
#include "pipeline/stop_filter.h"

namespace qvl {
namespace {

constexpr int64_t kReservedAnswer = 512;
constexpr size_t kTokensBetweenReleases = 8;
constexpr size_t kBytesOfToken = 8;  // more than tokens of any language have on average

std::vector<int32_t> end_tokens(const detail::Runtime& runtime) {
  std::vector<int32_t> ends;
  for (int64_t id : runtime.files.generation.eos_token_ids) ends.push_back(static_cast<int32_t>(id));
  if (ends.empty()) ends.push_back(runtime.tokenizer->find_added("<|im_end|>").value());
  return ends;
}

// The state of one answer while it grows.
class AnswerWriter {
 public:
  AnswerWriter(const GenerateRequest& request, const detail::Runtime& runtime)
      : listeners_(request.listeners),
        ends_(end_tokens(runtime)),
        decoder_(*runtime.tokenizer),
        filter_(request.options.stop),
        room_(std::min(request.options.max_tokens,
                       runtime.files.config.text.max_position_embeddings - request.prompt.size())) {
    const auto ahead = static_cast<size_t>(reserved_answer(request.options));
    answer.tokens.reserve(ahead);
    answer.text.reserve(ahead * kBytesOfToken);
  }

  /// Takes one sampled token; false where it ended the answer.
  bool add(int32_t token) {
    if (std::find(ends_.begin(), ends_.end(), token) != ends_.end()) return end(FinishReason::stop);
    answer.tokens.push_back(token);
    emit(filter_.add(decoder_.add(token)));
    if (listeners_.progress) {
      listeners_.progress(
          {.stage = "decode",
           .fraction = static_cast<double>(answer.tokens.size()) / static_cast<double>(room_)});
    }
    if (filter_.stopped()) return end(FinishReason::stop);
    if (std::ssize(answer.tokens) == room_) return end(FinishReason::length);
    if (listeners_.stop.stop_requested()) return end(FinishReason::cancelled);
    return true;
  }

  Answer answer;

 private:
  bool end(FinishReason reason) {
    emit(filter_.add(decoder_.finish()));
    emit(filter_.finish());
    // The bytes that still waited may have completed a stop string.
    answer.finish_reason = filter_.stopped() ? FinishReason::stop : reason;
    return false;
  }

  void emit(const std::string& text) {
    answer.text += text;
    if (listeners_.text && !text.empty()) listeners_.text(text);
  }

  const Listeners& listeners_;
  std::vector<int32_t> ends_;
  StreamDecoder decoder_;
  StopFilter filter_;
  int64_t room_;
};

// Chooses tokens and computes the next one's logits until the writer has enough.
struct DecodeLoop {
  CachedSequence& cached;
  detail::Runtime& runtime;
  Sampler sampler;
  PositionCounter counter;
  HomeVector<float> logits;  // [vocab_size]

  void run(AnswerWriter& writer, const GenerateRequest& request) {
    std::vector<Position> position;
    for (;;) {
      const int32_t token = sample();
      runtime.after_step();
      if (writer.answer.timings.time_to_first_token_s == 0) {
        writer.answer.timings.time_to_first_token_s = request.since_call.seconds();
      }
      if (!writer.add(token)) return;
      position.clear();
      counter.append_text(1, position);
      const std::array<int32_t, 1> ids{token};
      compute(ids, position);
      cached.held.ids.push_back(token);
      runtime.network.logits(runtime.pass.x.data(), 1, logits.data(), runtime.ops);
      if (writer.answer.tokens.size() % kTokensBetweenReleases == 0) runtime.network.release_rows();
    }
  }

 private:
  // The sampler knows numbers, not where they come from.
  int32_t sample() {
    const StageZone zone(runtime.layer.stages(), runtime.layer.tracer(), Stage::sampling);
    try {
      return sampler.sample(logits);
    } catch (const Error& error) {
      fail(error.code(), "{}: {}", runtime.name, error.what());
    }
  }

  void compute(std::span<const int32_t> ids, std::span<const Position> position) {
    const StageZone zone(runtime.layer.stages(), runtime.layer.tracer(), Stage::decode);
    reserve_cache(cached.cache, 1, KvCache::Growth::ahead, runtime.files.config.text);
    const SequenceStep step{.chunk = {.ids = ids, .positions = position, .visual = {}},
                            .cache = &cached.cache};
    runtime.network.forward({&step, 1}, runtime.pass, runtime.ops);
  }
};

}  // namespace

int64_t reserved_answer(const GenerationOptions& options) {
  return std::min(options.max_tokens, kReservedAnswer);
}

Answer generate(const GenerateRequest& request, CachedSequence& cached, detail::Runtime& runtime) {
  const ModelConfig& config = runtime.files.config;
  AnswerWriter writer(request, runtime);
  Answer& answer = writer.answer;
  answer.usage = {.prompt_tokens = request.prompt.size(),
                  .image_tokens = request.prompt.visual_tokens(),
                  .cached_tokens = keep_common_prefix(cached, request.prompt)};
  DecodeLoop loop{
      .cached = cached,
      .runtime = runtime,
      .sampler = Sampler(resolve_sampling(request.options, runtime.files.generation), config.text.vocab_size),
      .counter = {},
      .logits = HomeVector<float>(static_cast<size_t>(config.text.vocab_size),
                                  runtime.layer.home(MemoryPart::scratch))};
  loop.sampler.observe_prompt(request.prompt.ids);
  const std::vector<Position> positions =
      positions_of(request.prompt, config.vision.spatial_merge_size, loop.counter);
  const int64_t ahead = reserved_answer(request.options);
  reserve_cache(cached.cache, request.prompt.size() - cached.held.size() + ahead, KvCache::Growth::needed,
                config.text);
  cached.held.ids.reserve(static_cast<size_t>(request.prompt.size() + ahead));

  const Stopwatch prefill_watch;
  const PrefillRun run{.wanted = request.prompt,
                       .positions = positions,
                       .chunk = request.options.prefill_chunk,
                       .listeners = request.listeners};
  const bool complete = prefill(run, cached, runtime, [&](int64_t first, const Tensor& hidden) {
    const auto rows = static_cast<int64_t>(hidden.rows());
    if (first + rows < request.prompt.size()) return;
    runtime.network.logits(hidden.row(hidden.rows() - 1), 1, loop.logits.data(), runtime.ops);
  });
  answer.timings.prefill_s = prefill_watch.seconds();
  if (!complete) {
    answer.finish_reason = FinishReason::cancelled;
    return std::move(answer);
  }
  const Stopwatch decode_watch;
  loop.run(writer, request);
  answer.timings.decode_s = decode_watch.seconds();
  answer.usage.completion_tokens = std::ssize(answer.tokens);
  return std::move(answer);
}

}  // namespace qvl
