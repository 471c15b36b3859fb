#include "pipeline/generate.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/sampler.h"
#include "optimizer/model_facts.h"
#include "pipeline/answer_writer.h"
#include "pipeline/generation_options.h"

namespace qvl {
namespace {

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
      const bool goes_on = writer.add(token);
      tell_progress(writer, request.listeners);
      if (!goes_on) return;
      if (request.listeners.stop.stop_requested()) return writer.end(FinishReason::cancelled);
      position.clear();
      counter.append_text(1, position);
      const std::array<int32_t, 1> ids{token};
      compute(ids, position);
      cached.held.ids.push_back(token);
      runtime.network.logits(runtime.pass.x.data(), 1, logits.data(), runtime.ops);
      if (writer.answer.tokens.size() % kMostRefinedTokens == 0) runtime.network.release_rows();
    }
  }

 private:
  static void tell_progress(const AnswerWriter& writer, const Listeners& listeners) {
    if (!listeners.progress) return;
    const auto done = static_cast<double>(writer.answer.tokens.size());
    listeners.progress({.stage = "decode", .fraction = done / static_cast<double>(writer.room())});
  }

  // The sampler knows numbers, not where they come from.
  int32_t sample() {
    const StageZone zone = runtime.layer.zone(Stage::sampling);
    try {
      return sampler.sample(logits);
    } catch (const Error& error) {
      fail(error.code(), "{}: {}", runtime.name, error.what());
    }
  }

  void compute(std::span<const int32_t> ids, std::span<const Position> position) {
    const StageZone zone = runtime.layer.zone(Stage::decode);
    reserve_cache(cached.cache, 1, runtime.files.config.text);
    const SequenceStep step{.chunk = {.ids = ids, .positions = position, .visual = {}},
                            .cache = &cached.cache};
    runtime.network.forward({&step, 1}, runtime.pass, runtime.ops);
  }
};

}  // namespace

Answer generate(const GenerateRequest& request, CachedSequence& cached, detail::Runtime& runtime) {
  const ModelConfig& config = runtime.files.config;
  AnswerWriter writer(request.options, request.prompt.size(), runtime, request.listeners.text);
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
  reserve_cache(cached.cache, request.prompt.size() - cached.held.size() + ahead, config.text);
  cached.held.ids.reserve(static_cast<size_t>(request.prompt.size() + ahead));

  const Stopwatch prefill_watch;
  const PrefillRun run{.wanted = request.prompt,
                       .positions = positions,
                       .chunk = request.options.prefill_chunk,
                       .listeners = request.listeners};
  const bool complete = prefill(run, cached, runtime, [&](int64_t first, const Tensor& hidden) {
    const auto rows = static_cast<int64_t>(hidden.rows());
    runtime.network.check_undamaged();
    runtime.caches->prefixes.keep(request.keys, cached.cache);
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
  return std::move(answer);
}

}  // namespace qvl
