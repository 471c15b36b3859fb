// Clocks of callers beside those of the pipeline.
#include "pipeline_stopwatch.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <thread>
#include <vector>

namespace qvl {
namespace {

using Clock = std::chrono::steady_clock;

// One request as its caller saw it. Seconds from the beginning of the run; tokens of the answer.
struct Seen {
  double submitted_s = 0, first_token_s = 0, ended_s = 0;
  double told_first_token_s = 0;  // since the request was submitted, as its answer says
  int64_t tokens = 0;

  double seconds() const { return ended_s - submitted_s; }
};

using Run = std::function<std::vector<Seen>(OptimizedInferencePipeline&, std::span<const InferenceRequest>)>;

Seen watch(OptimizedInferencePipeline& pipeline, const InferenceRequest& request, Clock::time_point begin) {
  const auto now = [begin] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  Seen seen{.submitted_s = now()};
  InferenceStream stream = pipeline.submit(request);
  while (const auto event = stream.next()) {
    if (event->kind == InferenceEvent::Kind::text && seen.first_token_s == 0) seen.first_token_s = now();
  }
  const InferenceOutput output = stream.result();
  seen.ended_s = now();
  seen.told_first_token_s = output.timings.time_to_first_token_s;
  seen.tokens = std::ssize(output.tokens);
  return seen;
}

std::vector<Seen> one_after_another(OptimizedInferencePipeline& pipeline,
                                    std::span<const InferenceRequest> requests) {
  const auto begin = Clock::now();
  std::vector<Seen> seen;
  for (const InferenceRequest& request : requests) seen.push_back(watch(pipeline, request, begin));
  return seen;
}

std::vector<Seen> at_once(OptimizedInferencePipeline& pipeline, std::span<const InferenceRequest> requests) {
  const auto begin = Clock::now();
  std::vector<Seen> seen(requests.size());
  std::vector<std::thread> callers;
  for (size_t i = 0; i < requests.size(); ++i) {
    callers.emplace_back([&, i] { seen[i] = watch(pipeline, requests[i], begin); });
  }
  for (std::thread& caller : callers) caller.join();
  return seen;
}

template <class Value>
double mean(std::span<const Seen> seen, Value value) {
  double sum = 0;
  for (const Seen& each : seen) sum += value(each);
  return sum / static_cast<double>(seen.size());
}

// The metrics as the callers' clocks have them.
PerformanceMetrics metrics_of(std::span<const Seen> seen) {
  const auto by_time = [](const Seen& a, const Seen& b) { return a.seconds() < b.seconds(); };
  double first_s = seen.front().submitted_s, last_s = 0;
  for (const Seen& each : seen) {
    first_s = std::min(first_s, each.submitted_s);
    last_s = std::max(last_s, each.ended_s);
  }
  const auto count = static_cast<double>(seen.size());
  PerformanceMetrics metrics;
  metrics.avg_inference_time = mean(seen, [](const Seen& each) { return each.seconds(); });
  metrics.min_inference_time = std::min_element(seen.begin(), seen.end(), by_time)->seconds();
  metrics.max_inference_time = std::max_element(seen.begin(), seen.end(), by_time)->seconds();
  metrics.total_inferences = seen.size();
  metrics.throughput_ips = count / (last_s - first_s);
  metrics.avg_time_to_first_token =
      mean(seen, [](const Seen& each) { return each.first_token_s - each.submitted_s; });
  metrics.tokens_per_second = count *
                              mean(seen, [](const Seen& each) { return static_cast<double>(each.tokens); }) /
                              (last_s - first_s);
  return metrics;
}

// Collects comparisons and the greatest difference among them.
class Comparison {
 public:
  void add(const char* name, double inside, double outside) {
    const double percent = outside == inside ? 0 : 100 * (inside - outside) / outside;
    metrics_[name] = {{"inside", inside}, {"outside", outside}, {"difference_percent", percent}};
    greatest_percent_ = std::max(greatest_percent_, std::abs(percent));
  }
  Json json() const { return {{"metrics", metrics_}, {"greatest_difference_percent", greatest_percent_}}; }

 private:
  Json metrics_ = Json::object();
  double greatest_percent_ = 0;
};

Json compare(const Model& model, std::span<const InferenceRequest> requests, const Run& run) {
  auto pipeline = apply_system_level_optimizations(model, SystemOptimizationConfig::for_this_machine());
  const std::vector<Seen> seen = run(pipeline, requests);
  const PerformanceMetrics inside = pipeline.get_performance_metrics(), outside = metrics_of(seen);
  Comparison comparison;
  const auto compare_field = [&](const char* name, auto field) {
    comparison.add(name, static_cast<double>(inside.*field), static_cast<double>(outside.*field));
  };
  compare_field("avg_inference_time", &PerformanceMetrics::avg_inference_time);
  compare_field("min_inference_time", &PerformanceMetrics::min_inference_time);
  compare_field("max_inference_time", &PerformanceMetrics::max_inference_time);
  compare_field("total_inferences", &PerformanceMetrics::total_inferences);
  compare_field("throughput_ips", &PerformanceMetrics::throughput_ips);
  compare_field("avg_time_to_first_token", &PerformanceMetrics::avg_time_to_first_token);
  compare_field("tokens_per_second", &PerformanceMetrics::tokens_per_second);
  comparison.add("time_to_first_token_s of the answers",
                 mean(seen, [](const Seen& each) { return each.told_first_token_s; }),
                 outside.avg_time_to_first_token);
  Json json = comparison.json();
  json["requests"] = requests.size();
  return json;
}

}  // namespace

Json compare_with_stopwatch(const Model& model, std::span<const InferenceRequest> requests) {
  return {{"one_after_another", compare(model, requests, one_after_another)},
          {"at_once", compare(model, requests, at_once)}};
}

}  // namespace qvl
