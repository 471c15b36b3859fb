#include "pipeline/engine/performance_report.h"

#include <unistd.h>

#include "base/json.h"
#include "profiler/profile_json.h"
#include "profiler/sample_averages.h"
#include "qvl/hardware.h"

namespace qvl {
namespace {

StageMetrics stage_metrics(Stage stage, const DurationSummary& summary) {
  const auto ms = [](double ns) { return ns / 1e6; };
  return {.stage = stage_name(stage).text(),
          .count = summary.count,
          .mean_ms = ms(summary.mean_ns),
          .p50_ms = ms(static_cast<double>(summary.p50_ns)),
          .p90_ms = ms(static_cast<double>(summary.p90_ns)),
          .p99_ms = ms(static_cast<double>(summary.p99_ns)),
          .max_ms = ms(static_cast<double>(summary.max_ns))};
}

OrderedJson amounts_json(const scheduling::Amounts& amounts) {
  OrderedJson json;
  for (scheduling::Resource resource : scheduling::kResources) {
    json[std::string(to_string(resource))] = amounts[resource];
  }
  return json;
}

OrderedJson resource_json(const Engine& engine, const SystemOptimizationConfig& config) {
  const scheduling::SchedulerStatus status = engine.status();
  return {{"resource_usage", amounts_json(status.held)},
          {"resource_reservation_ratio", config.resource_reservation_ratio},
          {"scheduling_algorithm", to_string(engine.algorithm())},
          {"queue_sizes",
           {{"arrived", status.arrived},
            {"preparing", status.preparing},
            {"prepared", status.prepared},
            {"granted", status.granted}}}};
}

std::vector<StageMetrics> stages_of(const StageStatistics& statistics) {
  std::vector<StageMetrics> stages;
  for (size_t i = 0; i < kStages; ++i) {
    const auto stage = static_cast<Stage>(i);
    const DurationSummary summary = statistics.summary(stage);
    if (summary.count > 0) stages.push_back(stage_metrics(stage, summary));
  }
  return stages;
}

OrderedJson stages_json(const std::vector<StageMetrics>& stages) {
  OrderedJson json = OrderedJson::object();
  for (const StageMetrics& stage : stages) {
    json[stage.stage] = {{"count", stage.count},   {"mean_ms", stage.mean_ms}, {"p50_ms", stage.p50_ms},
                         {"p90_ms", stage.p90_ms}, {"p99_ms", stage.p99_ms},   {"max_ms", stage.max_ms}};
  }
  return json;
}

OrderedJson caches_json(const CacheMetrics& caches) {
  return {{"feature_memory_hits", caches.feature_memory_hits},
          {"feature_disk_hits", caches.feature_disk_hits},
          {"feature_misses", caches.feature_misses},
          {"feature_bytes", caches.feature_bytes},
          {"prefix_reused_tokens", caches.prefix_reused_tokens},
          {"prefix_disk_tokens", caches.prefix_disk_tokens},
          {"prefix_bytes", caches.prefix_bytes}};
}

OrderedJson cost_json(const ProfilerCost& cost) {
  return {{"samples", cost.samples},
          {"failed", cost.failed},
          {"cpu_s", cost.cpu_s},
          {"longest_s", cost.longest_s}};
}

// The latest sample, and what the history was on average.
OrderedJson summary_json(const std::shared_ptr<const SystemProfiler>& profiler,
                         const SampleAverages& averages) {
  OrderedJson json = {{"profiling", profiler != nullptr}};
  if (profiler == nullptr) return json;
  const auto latest = profiler->latest();
  json["latest"] = latest ? to_json(*latest) : OrderedJson(nullptr);
  json["averages"] = to_json(averages);
  json["cost"] = cost_json(profiler->cost());
  return json;
}

SampleAverages averages_of(const std::shared_ptr<const SystemProfiler>& profiler) {
  if (profiler == nullptr) return {};
  return qvl::averages_of(profiler->history(), static_cast<uint32_t>(::getpid()));
}

}  // namespace

PerformanceMetrics performance_metrics(const Engine& engine, EngineModel& model,
                                       const SystemOptimizationConfig& config, double uptime_s) {
  SystemLayer& layer = model.layer();
  PerformanceMetrics metrics = engine.record().metrics();
  metrics.stages = stages_of(layer.stages());
  metrics.caches = model.caches();
  const auto profiler = layer.profiler();
  const SampleAverages averages = averages_of(profiler);
  constexpr double kMib = 1 << 20;
  metrics.avg_gpu_memory_allocated_mb = averages.gpu_memory_own_bytes.value_or(0) / kMib;
  const OrderedJson report = {{"system_summary", summary_json(profiler, averages)},
                              {"hardware_info", OrderedJson::parse(to_json(read_hardware_info()))},
                              {"memory_efficiency", to_json(layer.memory().report())},
                              {"resource_status", resource_json(engine, config)},
                              {"operation_count", metrics.total_inferences},
                              {"uptime", uptime_s},
                              {"config", OrderedJson::parse(to_json(config))},
                              {"followed", model.followed_json()}};
  metrics.system_optimization_report = report.dump();
  return metrics;
}

std::string to_json(const PerformanceMetrics& metrics) {
  OrderedJson json = {{"avg_inference_time", metrics.avg_inference_time},
                      {"min_inference_time", metrics.min_inference_time},
                      {"max_inference_time", metrics.max_inference_time},
                      {"total_inferences", metrics.total_inferences},
                      {"cancelled_inferences", metrics.cancelled_inferences},
                      {"overdue_inferences", metrics.overdue_inferences},
                      {"failed_inferences", metrics.failed_inferences},
                      {"throughput_ips", metrics.throughput_ips},
                      {"avg_time_to_first_token", metrics.avg_time_to_first_token},
                      {"tokens_per_second", metrics.tokens_per_second},
                      {"compute_time", metrics.compute_time},
                      {"preparation_wait_time", metrics.preparation_wait_time},
                      {"avg_memory_percent", metrics.avg_memory_percent},
                      {"avg_gpu_memory_allocated_mb", metrics.avg_gpu_memory_allocated_mb},
                      {"stages", stages_json(metrics.stages)},
                      {"caches", caches_json(metrics.caches)}};
  json["system_optimization_report"] = OrderedJson::parse(metrics.system_optimization_report);
  return json.dump();
}

}  // namespace qvl
