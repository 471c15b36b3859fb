#include "pipeline/prefill.h"

#include <algorithm>

#include "base/error.h"
#include "pipeline/memory_guard.h"

namespace qvl {

int64_t kept_tokens(const CachedSequence& cached, const Sequence& wanted) {
  return std::min(common_prefix(cached.held, wanted), wanted.size() - 1);
}

int64_t keep_common_prefix(CachedSequence& cached, const Sequence& wanted) {
  const int64_t kept = kept_tokens(cached, wanted);
  cached.held.truncate(kept);
  cached.cache.truncate(kept);
  return kept;
}

void check_fits_context(const Sequence& sequence, int64_t answer_tokens, const TextConfig& config) {
  if (sequence.size() + answer_tokens > config.max_position_embeddings) {
    fail(ErrorCode::limit,
         "prompt: {} tokens, {} of them of pictures and videos; the model takes {}, at least {} for the "
         "answer",
         sequence.size(), sequence.visual_tokens(), config.max_position_embeddings, answer_tokens);
  }
}

void reserve_cache(KvCache& cache, int64_t tokens, const TextConfig& config) {
  if (cache.has_room(tokens)) return;  // of every decoded token but a few: nothing is allocated
  const uint64_t mebibytes =
      static_cast<uint64_t>(cache.size() + tokens) * KvCache::bytes_per_token(config, cache.form()) >> 20;
  with_memory_for(
      [&] {
        return fmt::format("for the keys and values of {} tokens ({} MiB)", cache.size() + tokens, mebibytes);
      },
      [&] { cache.reserve(tokens); });
}

int64_t take_kept_pages(const Sequence& wanted, const PrefixKeys& keys, std::span<const KvPage> pages,
                        CachedSequence& cached, detail::Runtime& runtime) {
  const int64_t gained = runtime.caches->prefixes.extend(keys, pages, cached.cache);
  if (gained > 0) cached.held.extend(wanted, cached.cache.size());
  return gained;
}

bool prefill(const PrefillRun& run, CachedSequence& cached, detail::Runtime& runtime,
             const ChunkListener& on_chunk) {
  const int64_t size = run.wanted.size();
  QVL_CHECK(std::ssize(run.positions) == size && run.chunk > 0 && cached.held.size() < size);
  const std::vector<VisualSpan> spans = visual_spans(run.wanted, cached.held.size());
  for (int64_t first = cached.held.size(); first < size;) {
    if (run.listeners.progress) {
      run.listeners.progress(
          {.stage = "prefill", .fraction = static_cast<double>(first) / static_cast<double>(size)});
    }
    if (run.listeners.stop.stop_requested()) return false;
    const int64_t count = std::min(runtime.layer.prefill_chunk(run.chunk), size - first);
    const auto part = [&](const auto& values) {
      return std::span(values).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
    };
    const SequenceStep step{
        .chunk = {.ids = part(run.wanted.ids), .positions = part(run.positions), .visual = spans},
        .cache = &cached.cache};
    with_memory_for([&] { return fmt::format("to compute {} tokens at once", count); },
                    [&] {
                      const StageZone zone = runtime.layer.zone(Stage::prefill);
                      runtime.network.forward({&step, 1}, runtime.pass, runtime.ops);
                    });
    cached.held.extend(run.wanted, first + count);
    on_chunk(first, runtime.pass.x);
    runtime.network.release_rows();
    runtime.after_step();
    first += count;
  }
  return true;
}

}  // namespace qvl
