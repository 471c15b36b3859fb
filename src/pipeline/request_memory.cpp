#include "pipeline/request_memory.h"

#include <algorithm>

#include "memory/admission.h"
#include "optimizer/memory_model.h"

namespace qvl {
namespace {

MediumWork work_of(const Medium& medium, const RequestSize& size, const VisionConfig& config) {
  const PatchGrid& grid = medium.grid;
  MediumWork work{.patches = grid.patches(), .step_patches = grid.h * grid.w};
  if (&medium == size.cut || medium.patches.pixels.rows() > 0) return work;
  work.cutting_bytes = medium.cutting_bytes;
  work.patch_bytes = patch_bytes(medium, config);
  return work;
}

}  // namespace

uint64_t patch_bytes(const Medium& medium, const VisionConfig& config) {
  const auto values = static_cast<uint64_t>(medium.grid.patches() * config.patch_values());
  return MemoryHome::taken_bytes(values * sizeof(float));
}

std::vector<MemoryNeed> needs_of(const RequestSize& size, const KvCache& cache, detail::Runtime& runtime) {
  std::vector<MediumWork> media;
  for (const auto& medium : size.media) {
    if (!medium->features) media.push_back(work_of(*medium, size, runtime.files.config.vision));
  }
  const int64_t computed = std::max(size.prompt.size() - size.kept.all_tokens(), size.answer_rows);
  const int64_t keys = size.prompt.size() + size.answer_tokens;
  return request_needs(runtime.facts, runtime.network.forms(),
                       {.media = media,
                        .decoder = {.chunk_tokens = std::min(size.chunk, computed), .keys = keys},
                        .kv_bytes = cache.growth_bytes(size.kept, keys),
                        .logit_rows = std::max(size.logit_rows, size.answer_rows),
                        .threads = runtime.layer.compute_threads()});
}

void check_room(const RequestSize& size, const KvCache& cache, detail::Runtime& runtime) {
  // Given back at once: one request runs at a time, and takes each part when it comes to it.
  (void)admit(runtime.layer.memory().ledger(), "request: needs", needs_of(size, cache, runtime));
}

RequestScope::~RequestScope() {
  runtime_.ops.release_scratch();
  runtime_.pass.clear();
  runtime_.after_request();
}

}  // namespace qvl
