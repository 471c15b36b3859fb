// A model of one's own in a pipeline: what it has to be able to do so that qvl schedules it.
//
//   class Shout : public qvl::InferenceModel { ... };
//   qvl::OptimizedInferencePipeline pipeline(std::make_shared<Shout>(), config);
//
// The pipeline knows nothing of what such a model computes. It has requests prepared beside one another,
// admits those whose memory fits, and gives each of them one step after the other, in turns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "qvl/qvl.h"

namespace qvl {

struct InferenceRequest;

/// What a prepared request will take, from its first step to its end.
struct InferenceNeeds {
  uint64_t memory_bytes = 0;  ///< set down in the ledger: a request that does not fit waits
  int64_t steps = 1;  ///< at most, 1 to kMostSteps; an answer not finished by then ends for its length

  static constexpr int64_t kMostSteps = 1 << 24;
};

/// What one step has made.
struct InferenceStep {
  std::string text = {};                    ///< more of the answer, complete UTF-8 characters
  std::vector<int32_t> tokens = {};         ///< of that text, where the model has any
  std::optional<FinishReason> finish = {};  ///< set: the answer is complete
};

/// What a step is given of the machine. Valid during the step.
class StepContext {
 public:
  /// Nobody wants more of the answer, its time is up, or the pipeline is to end. What the step returns then
  /// is still kept.
  virtual bool cancelled() const = 0;
  /// Calls body(begin, end) on the compute threads, the calling one among them, until [0, count) is covered,
  /// in blocks of at most `grain`. Throws the first exception of `body`, after all blocks are done or given
  /// up.
  using Body = std::function<void(size_t begin, size_t end)>;
  virtual void parallel_for(size_t count, size_t grain, const Body& body) = 0;

 protected:
  ~StepContext() = default;
};

/// One request on its way through a model. Never called by two threads at once. Destroyed when its request
/// has ended, however that came; what it holds is free then.
class InferenceJob {
 public:
  virtual ~InferenceJob() = default;
  /// Asked once, after it was prepared.
  virtual InferenceNeeds needs() const { return {}; }
  /// The next part of the work, on the thread that computes: all other requests wait meanwhile, so the
  /// shorter the steps, the fairer. What it throws ends this request alone.
  virtual InferenceStep step(StepContext& context) = 0;
};

/// Whatever answers requests.
class InferenceModel {
 public:
  virtual ~InferenceModel() = default;
  /// For messages and `qvl monitor`; never changes.
  virtual std::string name() const = 0;
  /// What the model itself holds, set down in the ledger as long as the pipeline lives; never changes.
  virtual uint64_t memory_bytes() const { return 0; }
  /// Reads and prepares what the request needs, on a thread of the preprocess pool while others compute (on
  /// the one that computes where that pool has enough to do): called by several threads at once. What it
  /// throws ends this request; `stop` is requested where its caller has cancelled it or its time is up. Never
  /// null. `request` lives longer than the job.
  virtual std::unique_ptr<InferenceJob> prepare(const InferenceRequest& request, std::stop_token stop) = 0;
};

}  // namespace qvl
