// Many requests at once over one loaded checkpoint, within what the configuration allows of the machine.
//
//   auto config = qvl::SystemOptimizationConfig{.num_compute_threads = 4, .memory_limit_ratio = 0.7};
//   auto pipeline = qvl::apply_system_level_optimizations(qvl::load_model(path), config);
//   auto output = pipeline.run_inference({.prompt = "What is this?", .images = {"photo.jpg"}});
//   auto metrics = pipeline.get_performance_metrics();
//   pipeline.cleanup();
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "qvl/inference_model.h"
#include "qvl/picture.h"
#include "qvl/qvl.h"
#include "qvl/request_plan.h"
#include "qvl/system_config.h"

namespace qvl {

/// How urgent a request is, the most urgent first. Counts under the priority algorithm; and while nobody but
/// background requests decodes, their tokens may wait up to a second for pictures and prompts of others.
enum class RequestClass { interactive, normal, background };

/// One question, asked of nobody before: the pictures, then the videos, then the prompt.
struct InferenceRequest {
  std::string prompt = {};
  std::vector<Picture> images = {};  ///< paths, or what lies in memory
  std::vector<std::filesystem::path> videos = {};
  std::string system = {};                   ///< empty: no system turn
  std::optional<TensorInputs> tensors = {};  ///< in place of all of these
  GenerationOptions generation = {};
  VideoPrompt video_prompt = VideoPrompt::timestamps;
  RequestClass request_class = RequestClass::normal;
  uint64_t client = 0;  ///< whose request it is: clients get equal turns under round_robin
  std::optional<int64_t> max_image_tokens = {};  ///< as Turn::max_image_tokens; not beside tensors
  /// Milliseconds from submit(): a request that is not done by then ends after the step under way, with what
  /// it has and FinishReason::deadline. 1 to 2^31 - 1; unset: none. Where the scheduling algorithm leaves
  /// open who goes first, the earliest deadline does.
  std::optional<int64_t> deadline_ms = {};
};

using InferenceOutput = Answer;

/// Something that became known of a request.
struct InferenceEvent {
  enum class Kind {
    admitted,  ///< it is prepared, holds what it needs, and takes part in steps
    text,      ///< more of the answer
    finished,  ///< result() does not wait any more
  };
  Kind kind = Kind::text;
  std::string text = {};  ///< complete characters; none where a token ends inside of one
  int64_t tokens = 0;     ///< of the answer so far
};

namespace detail {
class InferenceChannel;
class PipelineState;
}  // namespace detail

/// A request under way. Cheap to copy, thread-safe; may outlive the pipeline. The request goes on when all
/// copies are gone. Moving copies: none is left empty.
class InferenceStream {
 public:
  explicit InferenceStream(std::shared_ptr<detail::InferenceChannel> channel)
      : channel_(std::move(channel)) {}
  InferenceStream(const InferenceStream&) = default;
  InferenceStream& operator=(const InferenceStream&) = default;

  uint64_t id() const;
  /// Waits for the next event; nothing behind `finished`. Texts that nobody fetched in time come as one.
  std::optional<InferenceEvent> next();
  /// Waits at most so long, and tells whether next() would not wait now. Not at all below 0;
  /// milliseconds::max() is for ever.
  bool wait_for_event(std::chrono::milliseconds most);
  /// Waits for the end. Throws the Error the request failed with. A cancelled one has the tokens so far.
  InferenceOutput result();
  /// As wait_for_event(), and tells whether result() would not wait now.
  bool wait_for_result(std::chrono::milliseconds most);
  /// Ends the request after the current step at the latest; what it held is free then. One whose picture or
  /// video is being read ends when that has been read, and none while a conversation of the same model
  /// answers.
  void cancel();

 private:
  std::shared_ptr<detail::InferenceChannel> channel_;
};

/// So many durations were at least `from_ms` and less than `below_ms`: a sixteenth more, from 16 ns on.
struct HistogramBucket {
  double from_ms = 0, below_ms = 0;
  uint64_t count = 0;
};

/// How long one stage of requests took. Milliseconds; percentiles are within 3.2 % of a duration that was
/// seen, and so is the maximum where the model has seen a longer one before the pipeline was made.
struct StageMetrics {
  std::string stage = {};
  uint64_t count = 0;
  double mean_ms = 0, p50_ms = 0, p90_ms = 0, p99_ms = 0, max_ms = 0;
  std::vector<HistogramBucket> histogram = {};  ///< buckets that hold something, the shortest first
};

/// What its model's caches spared all who use it since the pipeline was made, and what they hold now. A rate
/// is a share from 0 to 1, and unset where nothing was asked for.
struct CacheMetrics {
  uint64_t feature_memory_hits = 0;             ///< pictures and videos whose features were in memory
  uint64_t feature_disk_hits = 0;               ///< and in the cache folder
  uint64_t feature_misses = 0;                  ///< and computed
  uint64_t feature_bytes = 0;                   ///< of features in memory
  uint64_t prefix_reused_tokens = 0;            ///< of prompts, whose keys and values were kept
  uint64_t prefix_disk_tokens = 0;              ///< read from the cache folder into memory
  uint64_t prefix_bytes = 0;                    ///< of keys and values in memory
  uint64_t disk_lookups = 0, disk_hits = 0;     ///< files looked for in the cache folder, and found
  std::optional<double> feature_hit_rate = {};  ///< of pictures and videos, those that were not computed
  std::optional<double> disk_hit_rate = {};
  /// Of the pipeline's own requests: PerformanceMetrics::cached_tokens of prompt_tokens.
  std::optional<double> prefix_hit_rate = {};
};

/// What a pipeline did since it was made. Times in seconds; all are 0 where nothing was finished.
struct PerformanceMetrics {
  double avg_inference_time = 0, min_inference_time = 0, max_inference_time = 0;  ///< from submit to the end
  uint64_t total_inferences = 0;  ///< finished with an answer, those cut short by a limit included
  uint64_t cancelled_inferences = 0, failed_inferences = 0;
  uint64_t overdue_inferences = 0;  ///< ended by their deadline
  double throughput_ips = 0;        ///< inferences a second, from the first submit to the last end
  double avg_time_to_first_token = 0;
  double tokens_per_second = 0;  ///< of all answers together, over the same time
  uint64_t prompt_tokens = 0;    ///< of requests that ended with an answer or were cut short, media included
  uint64_t cached_tokens = 0;    ///< of these, not computed: their keys and values were kept
  /// Tokens of answers that were guessed from what stands in prompt and answer already, and those of them
  /// that were right: as many steps were spared.
  uint64_t guessed_tokens = 0, accepted_tokens = 0;
  /// Of the same time, what steps of requests computed; and what no step could, since nothing but requests
  /// that were being read, decoded or resized was under way, or since a step waited for a picture to be cut.
  double compute_time = 0, preparation_wait_time = 0;
  double avg_memory_percent = 0;  ///< of the machine, at the ends of inferences
  /// Of this process on all GPUs, in units of 2^20 bytes, over the samples kept; 0 without a GPU.
  double avg_gpu_memory_allocated_mb = 0;
  /// Joules that the processors used since the pipeline was made, whoever computed; unset where this process
  /// may not read their counters (RAPL).
  std::optional<double> energy_j = {};
  std::vector<StageMetrics> stages = {};  ///< those that ran, of all who use the model
  CacheMetrics caches = {};
  /// One JSON object, as system::system_optimization_report(), and beside it: "followed", what of the
  /// configuration is in effect (null for a model of one's own), and in resource_status "requests" {arrived,
  /// preparing, prepared, granted}: how many are how far.
  std::string system_optimization_report = {};
};

/// One JSON object with the names above, stages by their names, the report inside it as an object. What is
/// unset is null.
std::string to_json(const PerformanceMetrics& metrics);

/// Runs requests. Movable, thread-safe. One thread of its own computes, in steps that all requests share;
/// further ones read and prepare. One that was moved from throws Error{environment} whatever is asked of it;
/// its cleanup() does nothing.
class OptimizedInferencePipeline {
 public:
  /// As apply_system_level_optimizations() below.
  OptimizedInferencePipeline(Model model, const SystemOptimizationConfig& config);
  /// Over a model of one's own, whose threads, memory limit and profiling are those of `config`. Throws
  /// Error{limit} where the model does not fit.
  OptimizedInferencePipeline(std::shared_ptr<InferenceModel> model, const SystemOptimizationConfig& config);
  ~OptimizedInferencePipeline();  ///< cleanup()
  OptimizedInferencePipeline(OptimizedInferencePipeline&&) noexcept;
  OptimizedInferencePipeline& operator=(OptimizedInferencePipeline&&) noexcept;

  /// Waits for the answer. Throws Error as Conversation::ask does.
  InferenceOutput run_inference(const InferenceRequest& request);
  /// All of them as one continuous batch, those of the normal class in the background; answers in the order
  /// of the requests. Where one fails, throws its Error "request N: ..." after all have ended; the first is
  /// 0.
  std::vector<InferenceOutput> run_batch_inference(std::span<const InferenceRequest> requests);
  /// Begins a request. Throws Error{usage} at once for values out of range; all else comes with the stream.
  InferenceStream submit(InferenceRequest request);

  /// Logits of a prompt, as Model::logits() computes them, in turns with the requests and counted as one of
  /// them.
  int64_t logits(const LogitsRequest& request, const LogitsSink& sink, const Listeners& listeners);

  /// What submit() of this request would take, without doing it: pictures are looked at as far as their
  /// headers, videos are decoded to be counted. Throws what the request would fail with until it is prepared:
  /// values out of range, files that cannot be read, a prompt longer than the context; Error{usage} for
  /// tensors, and over a model of one's own.
  RequestPlan plan(const InferenceRequest& request);

  PerformanceMetrics get_performance_metrics() const;
  /// Cancels what is under way, waits for it, and gives everything back. Everything else but
  /// get_performance_metrics() throws Error{environment} from then on. May be called again.
  void cleanup();

 private:
  detail::PipelineState& state() const;

  std::unique_ptr<detail::PipelineState> state_;
};

/// A pipeline over `model` under `config`, all of it: threads, memory, sampling and scheduling are from now
/// on those of `config` for whoever uses the model, conversations and other pipelines too, until the next
/// configuration is applied. What loading has settled (numbers, instruction set) stays; the metrics' report
/// says under "followed" what became of each field. Waits until whoever computes makes room, so not to be
/// called by a listener of the same model. Throws Error{usage} for a configuration out of its range or a mask
/// without a processor, Error{limit} where the memory limit is below what is held.
OptimizedInferencePipeline apply_system_level_optimizations(Model model,
                                                            const SystemOptimizationConfig& config);
OptimizedInferencePipeline apply_system_level_optimizations(std::shared_ptr<InferenceModel> model,
                                                            const SystemOptimizationConfig& config);

}  // namespace qvl
