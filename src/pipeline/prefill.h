// Computing a prompt in chunks after what the cache holds of it already.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/kv_cache.h"
#include "model/positions.h"
#include "pipeline/cache/prefix_cache.h"
#include "pipeline/runtime.h"
#include "pipeline/sequence.h"
#include "qvl/qvl.h"

namespace qvl {

/// The keys and values of a sequence, and which tokens they belong to. Thread-compatible.
struct CachedSequence {
  explicit CachedSequence(detail::Runtime& runtime)
      : cache(runtime.network.make_cache(runtime.layer.home(MemoryPart::kv))) {}

  KvCache cache;
  Sequence held;  ///< as many tokens as `cache` holds
};

/// Tokens of `wanted` that need not be computed: of the beginning both have in common, without the last token
/// of `wanted`.
int64_t kept_tokens(const CachedSequence& cached, const Sequence& wanted);
/// Forgets all but the beginning both have in common, without the last token of `wanted`: that one is to be
/// computed again for its logits. Returns the number of tokens kept.
int64_t keep_common_prefix(CachedSequence& cached, const Sequence& wanted);

/// Throws Error{limit} for a prompt that leaves no room for an answer in the context, or is longer than it.
void check_fits_context(const Sequence& sequence, int64_t answer_tokens, const TextConfig& config);

/// Makes room for `tokens` more. Throws Error{limit} where memory does not suffice.
void reserve_cache(KvCache& cache, int64_t tokens, const TextConfig& config);

/// Takes over `pages`, looked up for what `cached` holds of `wanted`, from those kept of earlier requests.
/// Tokens it holds more than before.
int64_t take_kept_pages(const Sequence& wanted, const PrefixKeys& keys, std::span<const KvPage> pages,
                        CachedSequence& cached, detail::Runtime& runtime);

struct PrefillRun {
  const Sequence& wanted;  ///< its media are encoded; begins with what the cache holds
  std::span<const Position> positions;
  int64_t chunk = 512;
  const Listeners& listeners;
};
/// Hidden states of the tokens from `first` on. [tokens, hidden_size]
using ChunkListener = std::function<void(int64_t first, const Tensor& hidden)>;

/// Computes what is missing of `run.wanted`. False where `run.listeners.stop` ended the work.
bool prefill(const PrefillRun& run, CachedSequence& cached, detail::Runtime& runtime,
             const ChunkListener& on_chunk);

}  // namespace qvl
