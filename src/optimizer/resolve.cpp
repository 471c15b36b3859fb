#include "optimizer/resolve.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "base/error.h"
#include "optimizer/memory_fit.h"

namespace qvl {
namespace {

constexpr PassStage kStages[] = {PassStage::processor, PassStage::placement, PassStage::weights,
                                 PassStage::storage,   PassStage::sequences, PassStage::steps,
                                 PassStage::leftover};

// What earlier attempts have shown: passes the cap has no room for, and passes without which nothing fits.
struct Lessons {
  std::set<std::string_view> given_up, forced;
};

bool contains(const std::vector<std::string_view>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool conflict(const Pass& a, const Pass& b) {
  return a.choice == b.choice || contains(a.excludes, b.name) || contains(b.excludes, a.name);
}

// One way through all stages, as far as the cap holds it. Its outcomes are by name.
class Attempt {
 public:
  Attempt(const PlanInputs& inputs, const std::vector<Pass>& passes, const Lessons& lessons)
      : inputs_(inputs), passes_(passes), lessons_(lessons) {
    const PlanWishes& wishes = inputs.wishes;
    plan_.forms = {
        .text = wishes.text.value_or(WeightChoice::f32),
        .vision = wishes.vision.value_or(WeightChoice::f32),
        .kv = fits_blocks(inputs.model.text.head_dim) ? wishes.kv.value_or(KvForm::f32) : KvForm::f32,
        .isa = wishes.isa.value_or(Isa::scalar)};
    plan_ = with_least_request(inputs, plan_);
    if (inputs.model.has_vision) plan_.vision_blocks_per_step = inputs.model.vision.depth;
    fits_ = run();
  }

  /// False where the cap does not hold weights and the least request. Then plan() takes nothing beside them.
  bool fits() const { return fits_; }
  const Plan& plan() const { return plan_; }
  const std::map<std::string_view, PassOutcome>& outcomes() const { return outcomes_; }

 private:
  struct Candidate {
    const Pass* pass;
    double seconds;
  };

  bool run() {
    for (PassStage stage : kStages) {
      if (stage == PassStage::leftover) {
        const auto fitted = fit_memory(inputs_, plan_);
        if (!fitted) return false;
        plan_ = *fitted;
      }
      run_stage(stage);
    }
    return true;
  }

  uint64_t used(const Plan& plan) const { return predict_memory(inputs_.model, plan).total(); }
  uint64_t free_bytes() const {
    const uint64_t cap = inputs_.memory_cap(), now = used(plan_);
    return cap > now ? cap - now : 0;
  }

  PassOutcome& settle(const Pass& pass, PassVerdict verdict, std::string reason) {
    PassOutcome& outcome = outcomes_[pass.name];
    outcome.name = pass.name;
    outcome.description = pass.description;
    outcome.choice = pass.choice;
    outcome.verdict = verdict;
    outcome.reason = std::move(reason);
    return outcome;
  }

  // Why a pass is out of the question, whatever others do.
  bool ruled_out(const Pass& pass, const PassContext& context) {
    if (inputs_.config.optimization_level < pass.level) {
      settle(pass, PassVerdict::level, fmt::format("it begins at level {}", pass.level));
    } else if (inputs_.disabled.contains(std::string(pass.name))) {
      settle(pass, PassVerdict::switched_off, "it was switched off");
    } else if (auto obstacle = pass.obstacle(context)) {
      settle(pass, PassVerdict::obstacle, *std::move(obstacle));
    } else if (lessons_.given_up.contains(pass.name)) {
      settle(pass, PassVerdict::no_room, "the memory cap holds no plan with it");
    } else {
      return false;
    }
    return true;
  }

  void run_stage(PassStage stage) {
    const Plan before = plan_;
    const PassContext context{.inputs = inputs_, .draft = before, .free_bytes = free_bytes()};
    std::vector<Candidate> waiting;
    for (const Pass& pass : passes_) {
      if (pass.stage != stage || ruled_out(pass, context)) continue;
      Plan applied = before;
      pass.apply(context, applied);
      waiting.push_back({&pass, pass.motive == Motive::demand ? 0 : pass.benefit(context, applied)});
    }
    // What is demanded, then what saves most; names decide between equals.
    std::sort(waiting.begin(), waiting.end(), [](const Candidate& a, const Candidate& b) {
      return std::tuple(a.pass->motive != Motive::demand, -a.seconds, a.pass->name) <
             std::tuple(b.pass->motive != Motive::demand, -b.seconds, b.pass->name);
    });
    while (!waiting.empty()) {
      auto next = std::find_if(waiting.begin(), waiting.end(),
                               [&](const Candidate& candidate) { return needs_settled(*candidate.pass); });
      QVL_CHECK(next != waiting.end());  // passes that need each other
      const Candidate candidate = *next;
      waiting.erase(next);
      decide(candidate);
    }
  }

  bool needs_settled(const Pass& pass) const {
    return std::all_of(pass.needs.begin(), pass.needs.end(),
                       [&](std::string_view need) { return outcomes_.contains(need); });
  }

  const Pass* taken_against(const Pass& pass) const {
    for (const Pass& other : passes_) {
      const auto outcome = outcomes_.find(other.name);
      const bool taken = outcome != outcomes_.end() && outcome->second.verdict == PassVerdict::taken;
      if (taken && conflict(pass, other)) return &other;
    }
    return nullptr;
  }

  void decide(const Candidate& candidate) {
    const Pass& pass = *candidate.pass;
    const Plan before = plan_;
    const PassContext context{.inputs = inputs_, .draft = before, .free_bytes = free_bytes()};
    if (auto obstacle = pass.obstacle(context)) {  // others have taken memory since
      settle(pass, PassVerdict::no_room, *std::move(obstacle));
      return;
    }
    Plan applied = before;
    const std::string cause = pass.apply(context, applied);
    PassOutcome& outcome = settle(pass, PassVerdict::taken, cause);
    outcome.value = value_of(pass.choice, applied);
    outcome.seconds = candidate.seconds;
    outcome.bytes = static_cast<int64_t>(used(applied)) - static_cast<int64_t>(used(before));
    if (refuse(candidate, context, outcome)) return;
    plan_ = applied;
  }

  // Fills verdict and reason where something stands against a pass.
  bool refuse(const Candidate& candidate, const PassContext& context, PassOutcome& outcome) {
    const Pass& pass = *candidate.pass;
    outcome.verdict = PassVerdict::missing_need;  // so that it does not count as taken meanwhile
    for (std::string_view need : pass.needs) {
      if (outcomes_.at(need).verdict == PassVerdict::taken) continue;
      outcome.reason = fmt::format("it needs {}, which is not taken", need);
      return true;
    }
    if (const Pass* winner = taken_against(pass)) {
      outcome.verdict = PassVerdict::excluded;
      outcome.reason = fmt::format("{} is taken and excludes it", winner->name);
      if (winner->motive == Motive::time) {
        outcome.reason += fmt::format(": it saves {:.3f} s, this one {:.3f} s",
                                      outcomes_.at(winner->name).seconds, candidate.seconds);
      }
      return true;
    }
    if (pass.motive == Motive::time && candidate.seconds <= 0 && !lessons_.forced.contains(pass.name)) {
      outcome.verdict = PassVerdict::no_gain;
      outcome.reason = fmt::format("it saves no time: {:.3f} s more", -candidate.seconds);
      return true;
    }
    // Before sequences and pictures are fitted, an attempt as a whole shows whether there is room.
    const bool last = pass.stage == PassStage::leftover;
    if (last && outcome.bytes > 0 && static_cast<uint64_t>(outcome.bytes) > context.free_bytes) {
      outcome.verdict = PassVerdict::no_room;
      outcome.reason =
          fmt::format("it takes {}, {} are left under the cap",
                      mebibytes(static_cast<uint64_t>(outcome.bytes)), mebibytes(context.free_bytes));
      return true;
    }
    outcome.verdict = PassVerdict::taken;
    return false;
  }

  const PlanInputs& inputs_;
  const std::vector<Pass>& passes_;
  const Lessons& lessons_;
  Plan plan_;
  std::map<std::string_view, PassOutcome> outcomes_;
  bool fits_ = false;
};

// After an attempt that did not fit: forces the pass that saves most memory, else gives up the one that takes
// memory for the least gain. False where neither is left.
bool learn(const Attempt& attempt, Lessons& lessons) {
  const PassOutcome* saver = nullptr;
  const PassOutcome* taker = nullptr;
  for (const auto& [name, outcome] : attempt.outcomes()) {
    if (outcome.verdict == PassVerdict::no_gain && outcome.bytes < 0 &&
        (!saver || outcome.bytes < saver->bytes)) {
      saver = &outcome;
    }
    if (outcome.verdict == PassVerdict::taken && outcome.bytes > 0 &&
        (!taker || outcome.seconds < taker->seconds)) {
      taker = &outcome;
    }
  }
  if (saver == nullptr && taker == nullptr) return false;
  auto& set = saver != nullptr ? lessons.forced : lessons.given_up;
  const PassOutcome& chosen = saver != nullptr ? *saver : *taker;
  // The key of the map refers to the pass, which outlives the attempt; the outcome does not.
  set.insert(attempt.outcomes().find(chosen.name)->first);
  return true;
}

// Where the cap comes from.
std::string cause_of_cap(const PlanInputs& inputs) {
  const uint64_t usable = inputs.hardware.usable_memory();
  if (!inputs.memory_limit_bytes) {
    return fmt::format("{:g} of {}", inputs.config.memory_limit_ratio, mebibytes(usable));
  }
  if (*inputs.memory_limit_bytes <= usable) return "--memory-limit";
  return fmt::format("--memory-limit asks for {}, this process may use no more",
                     mebibytes(*inputs.memory_limit_bytes));
}

[[noreturn]] void fail_for_memory(const PlanInputs& inputs, const Plan& plan) {
  const PlannedMemory least = predict_memory(inputs.model, with_least_request(inputs, plan));
  std::vector<std::string> parts;
  for (const auto& [name, bytes] : least.parts())
    parts.push_back(fmt::format("{} {}", name, mebibytes(bytes)));
  fail(ErrorCode::limit, "memory: the least plan takes {} ({}), the cap is {} ({})", mebibytes(least.total()),
       fmt::join(parts, ", "), mebibytes(inputs.memory_cap()), cause_of_cap(inputs));
}

void check_disabled(const PlanInputs& inputs, const std::vector<Pass>& passes) {
  for (const std::string& name : inputs.disabled) {
    if (std::any_of(passes.begin(), passes.end(), [&](const Pass& pass) { return pass.name == name; }))
      continue;
    std::vector<std::string_view> names;
    for (const Pass& pass : passes) names.push_back(pass.name);
    fail(ErrorCode::usage, "disable-pass: found \"{}\", expected one of {}", printable(name),
         fmt::join(names, ", "));
  }
}

// By name, so that their order changes nothing; all that are switched off are among them.
void prepare(const PlanInputs& inputs, std::vector<Pass>& passes) {
  std::sort(passes.begin(), passes.end(), [](const Pass& a, const Pass& b) { return a.name < b.name; });
  check_disabled(inputs, passes);
}

// The first attempt that fits, else the one that has nothing left to give up. It refers to all three.
Attempt last_attempt(const PlanInputs& inputs, const std::vector<Pass>& passes, Lessons& lessons) {
  for (;;) {
    Attempt attempt(inputs, passes, lessons);
    if (attempt.fits() || !learn(attempt, lessons)) return attempt;
  }
}

}  // namespace

Resolution resolve(const PlanInputs& inputs, std::vector<Pass> passes) {
  prepare(inputs, passes);
  Lessons lessons;
  const Attempt attempt = last_attempt(inputs, passes, lessons);
  if (!attempt.fits()) fail_for_memory(inputs, attempt.plan());
  Resolution resolution{.plan = attempt.plan()};
  for (const auto& [name, outcome] : attempt.outcomes()) resolution.outcomes.push_back(outcome);
  std::stable_sort(resolution.outcomes.begin(), resolution.outcomes.end(),
                   [](const auto& a, const auto& b) { return a.choice < b.choice; });
  resolution.memory = predict_memory(inputs.model, resolution.plan);
  resolution.times = predict_times(inputs, resolution.plan);
  QVL_CHECK(resolution.memory.total() <= inputs.memory_cap());
  return resolution;
}

Plan plan_or_least(const PlanInputs& inputs, std::vector<Pass> passes) {
  prepare(inputs, passes);
  Lessons lessons;
  return last_attempt(inputs, passes, lessons).plan();
}

}  // namespace qvl
