// A pass: one named choice that can be explained and switched off.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "optimizer/memory_model.h"
#include "optimizer/plan.h"
#include "optimizer/time_model.h"

namespace qvl {

/// What passes of one stage look at has been settled by the stages before it; so their order within a stage
/// changes nothing.
enum class PassStage {
  processor,  ///< instruction set, number of threads
  placement,  ///< where threads run, how they wait
  weights,    ///< numbers of the weights
  storage,    ///< where packed weights lie
  sequences,  ///< numbers of keys and values
  steps,      ///< sizes of steps
  leftover,   ///< what the memory beside weights, pictures and sequences is for
};

/// The value of the plan that a pass chooses; a taken pass is the only one of its choice.
enum class Choice {
  instruction_set,
  threads,
  pinning,
  spinning,
  duty_cycle,
  text_weights,
  vision_weights,
  packed_weights,
  huge_weights,
  kv,
  prefill_chunk,
  vision_chunk,
  huge_pages,
  pool,
  feature_cache,
  prefix_cache,
  disk_feature_cache,
  clean_up,
  count,
};
std::string_view name_of(Choice choice);
/// The chosen value as people read it: "avx2", "4 threads", "256.0 MiB", "off".
std::string value_of(Choice choice, const Plan& plan);

/// Why a pass is taken where nothing stands against it.
enum class Motive {
  time,    ///< because the reference request, or one that repeats, becomes faster
  demand,  ///< because configuration or machine ask for it
};

/// What passes are decided by: the plan as the stages before left it.
struct PassContext {
  const PlanInputs& inputs;
  const Plan& draft;
  uint64_t free_bytes;  ///< of the cap, beside all that the draft takes; 0 where that is beyond the cap
};

struct Pass {
  std::string_view name;
  std::string_view description;
  Choice choice;
  PassStage stage;
  int64_t level;  ///< the lowest that runs it
  Motive motive = Motive::time;
  std::vector<std::string_view> needs = {};  ///< passes of this or earlier stages without which it is nothing
  std::vector<std::string_view> excludes = {};  ///< passes it cannot be beside; said by one of the two
  /// Why it cannot serve here, in words that follow "because"; nothing: it can.
  std::optional<std::string> (*obstacle)(const PassContext& context);
  /// Puts the choice into `plan`, a copy of the draft, and says why it is that value.
  std::string (*apply)(const PassContext& context, Plan& plan);
  /// Seconds it saves; by default of the reference request, as the time model tells, loading left out.
  double (*benefit)(const PassContext& context, const Plan& applied) = time_saved;

  static double time_saved(const PassContext& context, const Plan& applied);
};

/// "12.5 MiB"
std::string mebibytes(uint64_t bytes);
/// A line of a report: "  NAME   VALUE", values in one column.
std::string report_line(std::string_view name, std::string_view value);

/// "q8 was asked for" where the caller has fixed what a pass would choose.
template <typename Wish>
std::optional<std::string> fixed_by_caller(const std::optional<Wish>& wish) {
  if (!wish) return std::nullopt;
  return std::string(name_of(*wish)) + " was asked for";
}

}  // namespace qvl
