#include "pipeline/engine/plan_request.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "pipeline/answer_writer.h"
#include "pipeline/engine/engine_request.h"
#include "pipeline/engine/request_prompt.h"
#include "pipeline/prefill.h"
#include "pipeline/request_memory.h"
#include "pipeline/stopwatch.h"

namespace qvl {
namespace {

using scheduling::StepPart;

// What there is of a prompt, in memory alone: reading the disk would change what memory keeps. Its pages are
// held while it is looked at, as the request would.
struct Kept {
  KvCache cache;
  uint64_t pinned_bytes = 0;
  Media unseen = {};  // media that would be looked at
};

Kept find_kept(const RequestPrompt& prompt, detail::Runtime& runtime) {
  const ModelCaches& caches = *runtime.caches;
  Kept kept{.cache = runtime.network.make_cache(runtime.layer.home(MemoryPart::kv))};
  const auto pages = caches.prefixes.look_up(caches.prefixes.keys_of(prompt.sequence), 0);
  kept.pinned_bytes = newly_held_bytes(pages);
  kept.cache.append_pages(pages);
  for (const auto& medium : media_from(prompt.sequence, prompt.media, kept.cache.size())) {
    if (!caches.features.has_in_memory(medium->key)) kept.unseen.push_back(medium);
  }
  return kept;
}

MediumPlan plan_of(const Medium& medium, const VisionConfig& vision) {
  const PatchGrid& grid = medium.grid;
  return {.path = medium.path,
          .kind = medium.kind == Medium::Kind::image ? MediumPlan::Kind::image : MediumPlan::Kind::video,
          .size = {.width = medium.size.width, .height = medium.size.height},
          .resized = {.width = grid.w * vision.patch_size, .height = grid.h * vision.patch_size},
          .grid_t = grid.t,
          .grid_h = grid.h,
          .grid_w = grid.w,
          .tokens = medium.tokens(vision.spatial_merge_size)};
}

std::vector<MediumPlan> plans_of(const Media& media, const Kept& kept, const VisionConfig& vision) {
  std::vector<MediumPlan> plans;
  for (const auto& medium : media) {
    plans.push_back(plan_of(*medium, vision));
    plans.back().kept = std::find(kept.unseen.begin(), kept.unseen.end(), medium) == kept.unseen.end();
  }
  return plans;
}

// The engine asks for what a request will take when its first picture and all videos are cut: to be admitted
// it takes their patches and all of that. Cutting them may have taken more.
std::vector<MemoryNeed> needs_until_the_end(const InferenceRequest& request, const RequestPrompt& prompt,
                                            const Kept& kept, detail::Runtime& runtime) {
  const VisionConfig& config = runtime.files.config.vision;
  RequestSize size{.media = kept.unseen,
                   .prompt = prompt.sequence,
                   .kept = {.tokens = kept.cache.size()},
                   .answer_tokens = reserved_answer(request.generation),
                   .chunk = std::min(kMostPromptTokens, runtime.layer.limits().prefill_chunk),
                   .answer_rows = kMostAnswerRows};
  const auto cutting = needs_of(size, kept.cache, runtime);
  if (!kept.unseen.empty()) size.cut = kept.unseen.front().get();
  auto admitting = needs_of(size, kept.cache, runtime);
  uint64_t cut_bytes = 0;
  for (const auto& medium : kept.unseen) {
    if (medium.get() == size.cut || medium->kind == Medium::Kind::video) {
      cut_bytes += patch_bytes(*medium, config);
    }
  }
  if (cut_bytes > 0) admitting.push_back({.part = MemoryPart::pixels, .bytes = cut_bytes});
  return sum_of(cutting) > sum_of(admitting) ? cutting : admitting;
}

void add_memory(const std::vector<MemoryNeed>& needs, const Kept& kept, detail::Runtime& runtime,
                const EngineOutlook& outlook, RequestPlan& plan) {
  const LedgerReport held = runtime.layer.memory().ledger().report();
  const uint64_t given_up = runtime.caches->idle_bytes() + held.of(MemoryPart::pool).held_bytes;
  const uint64_t stays = held.held_bytes - std::min(held.held_bytes, given_up);
  plan.memory_limit_bytes = held.cap_bytes;
  plan.memory_free_bytes = held.cap_bytes - std::min(held.cap_bytes, stays);
  plan.memory_bytes = sum_of(needs);
  BytesByPart parts{};
  for (const MemoryNeed& need : needs) parts[index_of(need.part)] += need.bytes;
  for (size_t i = 0; i < kMemoryParts; ++i) {
    if (parts[i] > 0) plan.memory.emplace_back(kMemoryPartNames[i], parts[i]);
  }
  const uint64_t scheduled = kept.pinned_bytes + plan.memory_bytes - parts[index_of(MemoryPart::scratch)];
  plan.fits = plan.memory_bytes <= plan.memory_free_bytes && scheduled <= outlook.memory_left;
}

// Nothing to do takes no time, whatever was measured.
template <typename Measured>
std::optional<double> seconds_for(int64_t work, Measured&& measured) {
  return work == 0 ? std::optional<double>(0) : measured();
}

PlannedSeconds predict_seconds(const RequestPlan& plan, const Kept& kept, double reading_s,
                               const detail::Runtime& runtime, const EngineOutlook& outlook) {
  int64_t pixels = 0, patches = 0;
  for (const auto& medium : kept.unseen) {
    // A video is decoded already: that is part of the reading.
    if (medium->kind == Medium::Kind::image) pixels += medium->size.width * medium->size.height;
    patches += medium->grid.patches() * runtime.files.config.vision.depth;
  }
  const auto of_tokens = [&](StepPart part, int64_t tokens) {
    return seconds_for(tokens, [&]() -> std::optional<double> {
      const auto us = outlook.costs.measured_us(part);
      if (!us) return std::nullopt;
      return *us * static_cast<double>(tokens) / 1e6;
    });
  };
  PlannedSeconds seconds;
  seconds.prepare = seconds_for(pixels, [&] { return runtime.media_costs.cutting_s(pixels); });
  if (seconds.prepare) *seconds.prepare += reading_s;
  seconds.encode = seconds_for(patches, [&] { return runtime.media_costs.encoding_s(patches); });
  seconds.prefill = of_tokens(StepPart::prefill, plan.prompt_tokens - plan.cached_tokens);
  seconds.decode = of_tokens(StepPart::decode, plan.answer_tokens);
  if (seconds.prepare && seconds.encode && seconds.prefill) {
    seconds.first_token = *seconds.prepare + *seconds.encode + *seconds.prefill;
  }
  return seconds;
}

}  // namespace

RequestPlan plan_request(const InferenceRequest& request, detail::Runtime& runtime,
                         const EngineOutlook& outlook) {
  if (request.tensors) fail(ErrorCode::usage, "plan: found tensors, expected a text, pictures or videos");
  const ModelConfig& config = runtime.files.config;
  const Stopwatch watch;
  const RequestPrompt prompt = read_prompt(request, runtime, {});
  const double reading_s = watch.seconds();
  check_fits_context(prompt.sequence, 1, config.text);
  const Kept kept = find_kept(prompt, runtime);
  RequestPlan plan{.media = plans_of(prompt.media, kept, config.vision),
                   .prompt_tokens = prompt.sequence.size(),
                   .image_tokens = prompt.sequence.visual_tokens(),
                   .cached_tokens = kept.cache.size(),
                   .context_tokens = config.text.max_position_embeddings};
  plan.answer_tokens = std::min(request.generation.max_tokens, plan.context_tokens - plan.prompt_tokens);
  const auto needs = needs_until_the_end(request, prompt, kept, runtime);
  for (const auto& medium : prompt.media) medium->patches = {};  // of videos; they are free again then
  add_memory(needs, kept, runtime, outlook, plan);
  plan.seconds = predict_seconds(plan, kept, reading_s, runtime, outlook);
  return plan;
}

}  // namespace qvl
