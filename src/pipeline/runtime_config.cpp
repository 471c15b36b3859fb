// A configuration put to work on a loaded checkpoint, and what became of it.
#include "base/error.h"
#include "pipeline/runtime.h"

namespace qvl {
namespace {

std::string_view name_of(ThreadStatus::Placing placing) {
  switch (placing) {
    case ThreadStatus::Placing::pinned:
      return "pinned";
    case ThreadStatus::Placing::confined:
      return "confined";
    case ThreadStatus::Placing::refused:
      return "refused";
  }
  QVL_CHECK(false);
}

OrderedJson threads_json(const ThreadStatus& threads) {
  return {{"compute_threads", threads.compute_threads},
          {"io_threads", threads.io_threads},
          {"preprocess_threads", threads.preprocess_threads},
          {"scheduler_policy", scheduler_policy_name(threads.policy)},
          {"thread_priority", priority_outcome_name(threads.priority.outcome)},
          {"placing", name_of(threads.placing)},
          {"waiting_awake", threads.awake_turns > 0},
          {"duty", threads.duty}};
}

OrderedJson memory_json(const SystemState& state, const MemoryLimit& limit) {
  const SystemOptimizationConfig& config = state.config;
  return {
      {"memory_limit_bytes", limit.bytes},
      {"memory_limit_cause", limit.cause},
      {"memory_pool_size", config.memory_pool_size},
      {"memory_cleanup_interval",
       state.limits.interval_clean_up ? OrderedJson(config.memory_cleanup_interval) : OrderedJson(nullptr)},
      {"huge_pages", state.limits.huge_pages},
      {"feature_cache_bytes", state.feature_bytes}};
}

// Of the plan, what cannot change once the checkpoint is loaded.
OrderedJson loaded_json(const Plan& plan) {
  OrderedJson json = OrderedJson::object();
  for (Choice choice : kChoicesOfLoading) json[std::string(qvl::name_of(choice))] = value_of(choice, plan);
  return json;
}

}  // namespace

namespace detail {

void Runtime::configure(const SystemOptimizationConfig& config) {
  validate(config);
  const LoadDecision decision = decide_again(loaded_by, config);
  std::vector<std::string> noted = decided_by_loading(loaded_by, config);
  const ComputeTurn turn(computing, layer.threads());
  const auto missing = layer.configure(decision.config, decision.limits);
  noted.insert(noted.end(), missing.begin(), missing.end());
  const std::lock_guard lock(notes_mutex);
  notes = std::move(noted);
}

OrderedJson Runtime::followed_json() const {
  const SystemState state = layer.state();
  std::vector<std::string> noted;
  {
    const std::lock_guard lock(notes_mutex);
    noted = notes;
  }
  noted.insert(noted.end(), state.threads.problems.begin(), state.threads.problems.end());
  OrderedJson json = threads_json(state.threads);
  json.update(memory_json(state, layer.memory().limit()));
  const bool samples = layer.profiler() != nullptr;
  json["profile_interval"] = samples ? OrderedJson(state.config.profile_interval) : OrderedJson(nullptr);
  json["prefill_chunk"] = state.prefill_chunk;
  json["vision_blocks"] = state.limits.vision_blocks;
  json["loaded"] = loaded_json(loaded_by.plan);
  json["notes"] = noted;
  return json;
}

}  // namespace detail
}  // namespace qvl
