// Who is admitted, and what the next step of the engine computes.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "scheduler/policy.h"
#include "scheduler/request.h"
#include "scheduler/resources.h"
#include "scheduler/unit_costs.h"

namespace qvl::scheduling {

struct SchedulerOptions {
  /// Disabled: every request is granted at once and holds nothing, and steps go by order of arrival.
  Scheduling scheduling = Scheduling::enabled;
  Algorithm algorithm = Algorithm::round_robin;
  Amounts capacities{};
  /// Of the capacities that requests hold together, 1 to 1000. One that nobody is beside may hold all.
  int reservation_permille = 700;
  uint32_t max_waiting = 256;  ///< requests that arrived and hold nothing yet
  uint32_t max_preparing = 4;  ///< requests being prepared at a time
  /// Requests of one class that are prepared and wait for their grant, beyond which no more of the class are
  /// prepared: what they hold is memory that those before them may need.
  uint32_t max_prepared = 4;
  uint32_t max_decode_batch = 8;
  uint32_t prefill_chunk = 256;       ///< most tokens of a prompt in a step
  uint32_t least_prefill_chunk = 16;  ///< fewer are not worth reading the weights for
  uint32_t vision_steps = 4;          ///< most vision steps in a step
  int64_t max_stall_us = 200'000;     ///< see Scheduler::next
  uint32_t ageing = 16;               ///< see Ageing and Scheduler
  uint32_t max_bypass = 8;            ///< see Scheduler::admit
  CostGuess cost_guess{};
};

/// One step. The compute half is vision or prefill, never both: both are bound by arithmetic, so together
/// they would only make the step longer and preemption later.
struct StepPlan {
  struct Vision {
    RequestId id;
    uint32_t steps;
  };
  struct Prefill {
    RequestId id;
    uint32_t from;  ///< tokens of Work::prompt_tokens that are done
    uint32_t count;
  };
  std::optional<Vision> vision;
  std::optional<Prefill> prefill;
  std::vector<RequestId> decode;  ///< one token each

  bool empty() const { return !vision && !prefill && decode.empty(); }
};

/// What a step took. A pass over prompt and decoders together is divided by the engine as it sees fit.
struct StepOutcome {
  int64_t vision_us = 0;
  int64_t prefill_us = 0;
  int64_t decode_us = 0;
};

/// Why a request was not taken.
struct ArrivalRefusal {
  enum class Reason : uint8_t { queue_full, duplicate_id, never_fits };
  Reason reason;
  std::string message;  ///< one line
};

/// What admit() has decided; borrowed until it is called again.
struct Admission {
  struct Impossible {
    RequestId id;
    ResourceRefusal refusal;
  };
  std::vector<RequestId> granted;
  std::vector<Impossible> impossible;  ///< they could not fit an empty machine, and are forgotten
};

enum class Ending : uint8_t { finished, cancelled, failed };

struct SchedulerStatus {
  size_t arrived = 0;  ///< waiting to be prepared
  size_t preparing = 0;
  size_t prepared = 0;  ///< waiting for a grant
  size_t granted = 0;
  uint64_t finished = 0, cancelled = 0, failed = 0, refused = 0;  ///< since the start
  Amounts held, limits, capacities;
  /// Of those that are prepared, how many wait for some of each resource, in the order of kResources.
  std::array<size_t, kResources.size()> waiting{};
};

/// Continuous batching of requests with pictures. It sees integers only: costs and load are arguments, and it
/// has no need of the time.
///
///   arrive -> to_prepare -> prepared -> admit -> next, commit, next, commit ... -> the last answer token
///
/// and end() or put_back() at any time between steps. Where the policy leaves open which request goes first,
/// it is the one that is due earliest, then the one that arrived first; but of the slots that this takes from
/// the latter, one in SchedulerOptions::ageing is its own. Thread-compatible: the engine's thread calls it
/// between its steps. After the first few steps next and commit allocate nothing.
class Scheduler {
 public:
  /// Throws Error{usage} that names an option out of its range.
  explicit Scheduler(const SchedulerOptions& options);

  /// Takes a request into the queue, or says why not.
  std::optional<ArrivalRefusal> arrive(const Request& request);

  /// Requests whose preparation is to begin now, at most `most` of them, in the policy's order; borrowed
  /// until it is called again.
  const std::vector<RequestId>& to_prepare(const Load& load, uint32_t most = UINT32_MAX);
  /// A request is prepared; now it is known for certain what it holds and how much work it is. False where it
  /// has ended meanwhile.
  bool prepared(RequestId id, const Amounts& holds, const Work& work);

  /// A request that was being prepared, is prepared or was granted begins again: it is to be prepared, holds
  /// nothing, and keeps its place in the order of arrival. False where it is not known.
  bool put_back(RequestId id);

  /// Grants what fits, in the policy's order. Requests behind one that does not fit may pass it, so that what
  /// is free is used, but only max_bypass times: then nothing behind it is granted until it fits. What it
  /// waits for comes free, since those granted end; one that is more than the share that requests may hold
  /// together waits until it is alone.
  /// `find_room` is asked of each that fits by what the scheduler knows, and the last word: it may set
  /// memory down for the request, and must not call the scheduler.
  const Admission& admit(const Load& load, FunctionRef<bool(RequestId)> find_room);
  const Admission& admit(const Load& load) {
    return admit(load, [](RequestId) { return true; });
  }

  /// What to compute next; empty only where no granted request is left. Borrowed until it is called again.
  /// While requests decode in a step, its compute half is cut to what took max_stall_us by the costs learned,
  /// but not below one vision step or least_prefill_chunk tokens: so much a token may come late.
  const StepPlan& next(const Load& load);
  /// The plan was computed. Returns requests that made their last answer token and are forgotten; borrowed
  /// until it is called again. Requests of the plan that have ended meanwhile are passed over.
  const std::vector<RequestId>& commit(const StepPlan& plan, const StepOutcome& outcome);

  /// Of a granted request so much is left: less where somebody else has computed some of it meanwhile, more
  /// where that was lost. Its last prompt token stays: `prompt_tokens` >= 1 until its prompt is computed.
  /// Without effect where it is not granted.
  void set_left(RequestId id, uint32_t vision_steps, uint32_t prompt_tokens);

  /// A request is over before its last answer token; what it holds is released. False where it is not known.
  bool end(RequestId id, Ending ending);

  /// Changes between steps; see Resources for capacities below what is held.
  void set_capacities(const Amounts& capacities);
  /// Clamped to at least least_prefill_chunk.
  void set_prefill_chunk(uint32_t tokens);
  /// Clamped to at least 0.
  void set_max_stall(int64_t us) { options_.max_stall_us = std::max<int64_t>(us, 0); }

  SchedulerStatus status() const;
  const Resources& resources() const { return resources_; }
  const UnitCosts& costs() const { return costs_; }

 private:
  using Candidates = std::vector<Job*>;

  bool reserves() const;
  static Job* find(std::vector<Job>& jobs, RequestId id);
  Situation situation(const Load& load) const;
  // The one that goes first, and the one that would without deadlines, which may be the same.
  struct Choice {
    Job* job;
    Job* first;
  };
  // Takes the former out of `from`, which is not empty.
  Choice take_best(Candidates& from, Slot slot, const Situation& at) const;
  void give(const Choice& choice, Slot slot);
  bool grant(const Choice& choice, FunctionRef<bool(RequestId)> find_room);
  void forget_impossible();
  void plan_decode(const Situation& at);
  void plan_compute(const Job& job, const Situation& at);
  const std::vector<RequestId>& forget_completed();

  SchedulerOptions options_;
  Resources resources_;
  UnitCosts costs_;
  std::unique_ptr<Policy> policy_;
  uint64_t arrivals_ = 0;
  std::vector<Job> waiting_, granted_;
  SchedulerStatus totals_;
  // Kept from call to call for their memory.
  Candidates candidates_, unfit_, decoders_;
  std::vector<RequestId> to_prepare_, completed_;
  Admission admission_;
  StepPlan plan_;
};

}  // namespace qvl::scheduling
