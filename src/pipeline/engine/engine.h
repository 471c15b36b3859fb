// The loop that serves many requests: schedule, compute, commit.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "base/function_ref.h"
#include "pipeline/engine/engine_model.h"
#include "pipeline/engine/inference_channel.h"
#include "pipeline/engine/inference_record.h"
#include "scheduler/scheduler.h"
#include "threads/task_pool.h"

namespace qvl {

/// Serves requests on a thread of its own until it is shut down. Thread-safe. The model outlives it.
class Engine {
 public:
  /// Throws Error{environment} where the thread does not start.
  Engine(EngineModel& model, const SystemOptimizationConfig& config);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Takes a request. Throws Error{usage} for values out of range, Error{environment} after shutdown,
  /// Error{limit} where there is no memory for it.
  InferenceStream submit(InferenceRequest request);
  /// Throws Error{environment} after shutdown.
  void check_open();
  /// Cancels all requests and returns when everything they held is free. May be called again.
  void shutdown();

  const InferenceRecord& record() const { return record_; }
  /// Of inferences that somebody else computes.
  InferenceRecord& record() { return record_; }
  scheduling::SchedulerStatus status() const;
  /// As of the last step.
  EngineOutlook outlook() const;
  scheduling::Algorithm algorithm() const { return algorithm_; }
  /// Of each resource what requests may hold together, in thousandths.
  int reservation_permille() const { return scheduler_.resources().reservation_permille(); }

 private:
  // Requests go from the inbox to the engine's own in their nodes, so that none is lost for want of memory.
  using Requests = std::map<scheduling::RequestId, std::unique_ptr<ScheduledRequest>>;
  struct Inbox {
    Requests arrived = {};
    bool closing = false;
  };

  // How a request came to its end.
  struct End {
    std::optional<FinishReason> reason = {};  // nothing: its answer is complete
    std::exception_ptr error = nullptr;       // null: it has an answer
  };

  void run();
  bool run_step();
  void end_all() noexcept;
  bool take_inbox();
  void arrive(ScheduledRequest& request);
  void take_prepared();
  void take_prepared(ScheduledRequest& request);
  void end_early();
  std::optional<detail::InferenceChannel::Clock::time_point> next_due() const;
  ThreadManager::Work work() const;
  bool take_turn();
  void leave_turn();
  uint64_t room() const;
  bool is_one_set_back() const;
  bool may_prepare() const;
  void start_preparing();
  bool is_preparing() const;
  void prepare(ScheduledRequest& request);
  bool admit();
  void begin_alone();
  bool set_back(scheduling::RequestId id) noexcept;
  void set_back_all_but(scheduling::RequestId id);
  bool find_room(ScheduledRequest& request);
  void take_kept();
  void follow_memory_limit();
  bool compute();
  void commit(const scheduling::StepPlan& plan, const scheduling::StepOutcome& outcome);
  void rest();
  void attempt(scheduling::RequestId id, FunctionRef<void()> step) noexcept;
  void end_or_set_back(scheduling::RequestId id, std::exception_ptr error) noexcept;
  void end(scheduling::RequestId id, End how) noexcept;
  void end_with(scheduling::RequestId id, const Error& error);
  std::optional<double> memory_percent() const noexcept;
  void publish_status();
  EngineOutlook current_outlook() const;

  EngineModel& model_;
  const scheduling::Algorithm algorithm_;
  const bool reserves_;         // requests hold memory within a limit
  const uint64_t held_before_;  // bytes of memory that are none of its requests'
  const std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();
  std::mutex mutex_;  // for inbox_
  Inbox inbox_;
  std::atomic<uint64_t> next_id_{1};

  // Of the engine's thread.
  scheduling::Scheduler scheduler_;
  Requests requests_;
  std::unique_ptr<StepRunner> step_;
  bool short_of_memory_ = false;  // nobody is admitted until a request ends, was prepared or is set back
  uint64_t room_refused_ = 0;     // bytes: the room there was when a request was set back last
  int64_t patience_us_ = 0;       // of those that decoded in the last step
  // Kept from step to step while nobody else wants it.
  std::optional<ComputePlace> place_;
  std::optional<ThreadManager::CallerGuard> turn_;

  mutable std::mutex status_mutex_;
  scheduling::SchedulerStatus status_;
  EngineOutlook outlook_;
  InferenceRecord record_;
  TaskPool thread_{{.name = "engine"}};  // runs run(); ends first
};

}  // namespace qvl
