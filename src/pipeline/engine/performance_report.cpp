#include "pipeline/engine/performance_report.h"

#include "base/json.h"
#include "pipeline/system/json.h"
#include "pipeline/system/report.h"
#include "qvl/hardware.h"
#include "scheduler/resource_queue.h"

namespace qvl {
namespace {

double ms(double ns) { return ns / 1e6; }

StageMetrics stage_metrics(Stage stage, const DurationCounts& counts) {
  const DurationSummary summary = counts.summary();
  StageMetrics out{.stage = stage_name(stage).text(),
                   .count = summary.count,
                   .mean_ms = ms(summary.mean_ns),
                   .p50_ms = ms(static_cast<double>(summary.p50_ns)),
                   .p90_ms = ms(static_cast<double>(summary.p90_ns)),
                   .p99_ms = ms(static_cast<double>(summary.p99_ns)),
                   .max_ms = ms(static_cast<double>(summary.max_ns))};
  for (const DurationBucket& bucket : counts.filled()) {
    out.histogram.push_back({.from_ms = ms(static_cast<double>(bucket.from_ns)),
                             .below_ms = ms(static_cast<double>(bucket.below_ns)),
                             .count = bucket.count});
  }
  return out;
}

// Those that ran since `before`.
std::vector<StageMetrics> stages_since(const StageCounts& before, const StageStatistics& statistics) {
  const StageCounts now = statistics.counts();
  std::vector<StageMetrics> stages;
  for (size_t i = 0; i < kStages; ++i) {
    StageMetrics stage = stage_metrics(static_cast<Stage>(i), now[i].since(before[i]));
    if (stage.count > 0) stages.push_back(std::move(stage));
  }
  return stages;
}

std::optional<double> share(uint64_t part, uint64_t whole) {
  if (whole == 0) return std::nullopt;
  return static_cast<double>(part) / static_cast<double>(whole);
}

// Bytes are those of now. `requests`: what the pipeline knows of its own.
CacheMetrics caches_since(const CacheMetrics& before, CacheMetrics now, const PerformanceMetrics& requests) {
  for (uint64_t CacheMetrics::*counter :
       {&CacheMetrics::feature_memory_hits, &CacheMetrics::feature_disk_hits, &CacheMetrics::feature_misses,
        &CacheMetrics::prefix_reused_tokens, &CacheMetrics::prefix_disk_tokens, &CacheMetrics::disk_lookups,
        &CacheMetrics::disk_hits}) {
    now.*counter -= before.*counter;
  }
  const uint64_t hits = now.feature_memory_hits + now.feature_disk_hits;
  now.feature_hit_rate = share(hits, hits + now.feature_misses);
  now.disk_hit_rate = share(now.disk_hits, now.disk_lookups);
  now.prefix_hit_rate = share(requests.cached_tokens, requests.prompt_tokens);
  return now;
}

// The shape of ResourceScheduler::resource_status(), and beside it how many requests are how far: what they
// wait for they get all at once, so that one that waits may be in the queues of several resources.
OrderedJson resource_json(const Engine& engine) {
  const scheduling::SchedulerStatus status = engine.status();
  scheduling::ResourceQueueStatus queues{.reservation_permille = engine.reservation_permille(),
                                         .algorithm = engine.algorithm()};
  for (scheduling::Resource resource : scheduling::kResources) {
    const auto index = static_cast<size_t>(resource);
    queues.usage[index] = {.held = status.held[resource],
                           .limit = status.limits[resource],
                           .capacity = status.capacities[resource],
                           .waiting = status.waiting[index]};
  }
  OrderedJson json = scheduling::to_json(queues);
  json["requests"] = {{"arrived", status.arrived},
                      {"preparing", status.preparing},
                      {"prepared", status.prepared},
                      {"granted", status.granted}};
  return json;
}

OrderedJson stages_json(const std::vector<StageMetrics>& stages) {
  OrderedJson json = OrderedJson::object();
  for (const StageMetrics& stage : stages) {
    OrderedJson histogram = OrderedJson::array();
    for (const HistogramBucket& bucket : stage.histogram) {
      histogram.push_back(
          {{"from_ms", bucket.from_ms}, {"below_ms", bucket.below_ms}, {"count", bucket.count}});
    }
    json[stage.stage] = {{"count", stage.count},   {"mean_ms", stage.mean_ms}, {"p50_ms", stage.p50_ms},
                         {"p90_ms", stage.p90_ms}, {"p99_ms", stage.p99_ms},   {"max_ms", stage.max_ms},
                         {"histogram", histogram}};
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
          {"prefix_bytes", caches.prefix_bytes},
          {"disk_lookups", caches.disk_lookups},
          {"disk_hits", caches.disk_hits},
          {"feature_hit_rate", system::or_null(caches.feature_hit_rate)},
          {"disk_hit_rate", system::or_null(caches.disk_hit_rate)},
          {"prefix_hit_rate", system::or_null(caches.prefix_hit_rate)}};
}

}  // namespace

PerformanceMetrics performance_metrics(const Engine& engine, EngineModel& model,
                                       const SystemOptimizationConfig& config, const MetricsOrigin& origin) {
  SystemLayer& layer = model.layer();
  PerformanceMetrics metrics = engine.record().metrics();
  metrics.stages = stages_since(origin.stages, layer.stages());
  metrics.caches = caches_since(origin.caches, model.caches(), metrics);
  const auto profiler = layer.profiler();
  OrderedJson summary = system::summary_keys(profiler.get());
  const OrderedJson& on_gpus = summary["avg_own_gpu_memory_mb"];
  if (on_gpus.is_number()) metrics.avg_gpu_memory_allocated_mb = on_gpus.get<double>();
  OrderedJson report =
      system::to_json({.system_summary = std::move(summary),
                       .hardware_info = system::hardware_keys(read_hardware_info()),
                       .memory_efficiency = system::memory_keys(layer.memory().report()),
                       .resource_status = resource_json(engine),
                       .counts = {.operations = metrics.total_inferences, .uptime_s = origin.age.seconds()},
                       .config = config});
  report["followed"] = model.followed_json();
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
                      {"prompt_tokens", metrics.prompt_tokens},
                      {"cached_tokens", metrics.cached_tokens},
                      {"guessed_tokens", metrics.guessed_tokens},
                      {"accepted_tokens", metrics.accepted_tokens},
                      {"compute_time", metrics.compute_time},
                      {"preparation_wait_time", metrics.preparation_wait_time},
                      {"avg_memory_percent", metrics.avg_memory_percent},
                      {"avg_gpu_memory_allocated_mb", metrics.avg_gpu_memory_allocated_mb},
                      {"energy_j", system::or_null(metrics.energy_j)},
                      {"stages", stages_json(metrics.stages)},
                      {"caches", caches_json(metrics.caches)}};
  json["system_optimization_report"] = OrderedJson::parse(metrics.system_optimization_report);
  return json.dump();
}

}  // namespace qvl
