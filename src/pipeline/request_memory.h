// The memory of one request: asked for before it begins, given back when it ends.
#pragma once

#include <cstdint>

#include "model/kv_cache.h"
#include "pipeline/runtime.h"
#include "pipeline/sequence.h"

namespace qvl {

/// What of a request takes memory.
struct RequestSize {
  const Media& media;  ///< that are encoded for it
  const Sequence& prompt;
  const Medium* cut = nullptr;  ///< one of them that counts as cut, as do those that have patches
  KvKept kept = {};             ///< of the prompt, what need not be computed
  int64_t answer_tokens = 0;    ///< for which keys and values are reserved ahead
  int64_t chunk = 512;          ///< tokens of the prompt computed together
  int64_t answer_rows = 1;      ///< tokens of the answer computed together, at most
  int64_t logit_rows = 1;       ///< computed together
};

/// Of the patches of a medium, cut or not, in blocks of the pool.
uint64_t patch_bytes(const Medium& medium, const VisionConfig& config);

/// What the request will take of each part, at the moment at which it takes most, for a cache that keeps
/// `size.kept` alone. Pages of others are there already: it takes nothing for those.
std::vector<MemoryNeed> needs_of(const RequestSize& size, const KvCache& cache, detail::Runtime& runtime);

/// Throws Error{limit} "request: needs 2.31 GiB (kv 0.90, ...), ..." where there is no room for it: before
/// anything is allocated.
void check_room(const RequestSize& size, const KvCache& cache, detail::Runtime& runtime);

/// A request under way, of the one whose turn it is. At the end scratch goes back to the pool, however it
/// ends, and memory is cleaned up where it is time.
class RequestScope {
 public:
  explicit RequestScope(detail::Runtime& runtime) : runtime_(runtime) {}
  ~RequestScope();
  RequestScope(const RequestScope&) = delete;
  RequestScope& operator=(const RequestScope&) = delete;

 private:
  detail::Runtime& runtime_;
};

}  // namespace qvl
