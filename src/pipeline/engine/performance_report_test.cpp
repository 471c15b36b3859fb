#include "pipeline/engine/performance_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/json.h"
#include "qvl/hardware.h"
#include "qvl/system.h"

namespace qvl {
namespace {

const std::filesystem::path kSource = QVL_SOURCE_DIR;
const InferenceRequest kRequest = {.prompt = "What is in the picture?",
                                   .images = {kSource / "examples/blue-heart.png"}};

Model small_model() {
  return load_model({.path = kSource / "models/shapes", .threads = 2, .cache_folder = ""});
}

TEST(PipelineMetrics, counts_what_it_did) {
  auto pipeline = apply_system_level_optimizations(small_model(), {});
  EXPECT_EQ(pipeline.get_performance_metrics().total_inferences, 0u);
  const auto begin = std::chrono::steady_clock::now();
  size_t tokens = 0;
  for (int i = 0; i < 5; ++i) tokens += pipeline.run_inference(kRequest).tokens.size();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const PerformanceMetrics metrics = pipeline.get_performance_metrics();
  EXPECT_EQ(metrics.total_inferences, 5u);
  EXPECT_LE(metrics.min_inference_time, metrics.avg_inference_time);
  EXPECT_LE(metrics.avg_inference_time, metrics.max_inference_time);
  EXPECT_LE(5 * metrics.avg_inference_time, seconds);
  EXPECT_GE(metrics.throughput_ips * seconds, 5);
  EXPECT_GE(metrics.tokens_per_second * seconds, static_cast<double>(tokens));
  EXPECT_GT(metrics.avg_time_to_first_token, 0);
  EXPECT_GT(metrics.compute_time, 0);
  EXPECT_GT(metrics.preparation_wait_time, 0);  // each was alone
  EXPECT_LE(metrics.compute_time + metrics.preparation_wait_time, seconds);
}

std::vector<std::string> keys_of(const OrderedJson& object) {
  std::vector<std::string> keys;
  for (const auto& entry : object.items()) keys.push_back(entry.key());
  return keys;
}

// docs/pipeline.md has these names.
TEST(PipelineMetrics, has_metrics_under_the_documented_names) {
  auto pipeline = apply_system_level_optimizations(small_model(), {});
  (void)pipeline.run_inference(kRequest);
  const auto json = OrderedJson::parse(to_json(pipeline.get_performance_metrics()));
  EXPECT_THAT(keys_of(json),
              ::testing::ElementsAre("avg_inference_time", "min_inference_time", "max_inference_time",
                                     "total_inferences", "cancelled_inferences", "overdue_inferences",
                                     "failed_inferences", "throughput_ips", "avg_time_to_first_token",
                                     "tokens_per_second", "prompt_tokens", "cached_tokens", "guessed_tokens",
                                     "accepted_tokens", "compute_time", "preparation_wait_time",
                                     "avg_memory_percent", "avg_gpu_memory_allocated_mb", "energy_j",
                                     "stages", "caches", "system_optimization_report"));
  EXPECT_THAT(
      keys_of(json["caches"]),
      ::testing::ElementsAre("feature_memory_hits", "feature_disk_hits", "feature_misses", "feature_bytes",
                             "prefix_reused_tokens", "prefix_disk_tokens", "prefix_bytes", "disk_lookups",
                             "disk_hits", "feature_hit_rate", "disk_hit_rate", "prefix_hit_rate"));
  EXPECT_THAT(keys_of(json["stages"]),
              ::testing::ElementsAre("queue", "read", "decode_picture", "resize", "tokenise", "vision",
                                     "prefill", "decode", "sampling"));
  EXPECT_THAT(
      keys_of(json["stages"]["prefill"]),
      ::testing::ElementsAre("count", "mean_ms", "p50_ms", "p90_ms", "p99_ms", "max_ms", "histogram"));
  EXPECT_THAT(keys_of(json["stages"]["prefill"]["histogram"][0]),
              ::testing::ElementsAre("from_ms", "below_ms", "count"));
}

uint64_t in_histogram(const StageMetrics& stage) {
  uint64_t count = 0;
  for (const HistogramBucket& bucket : stage.histogram) {
    EXPECT_LT(bucket.from_ms, bucket.below_ms);
    EXPECT_LE(bucket.from_ms, stage.max_ms);
    count += bucket.count;
  }
  return count;
}

TEST(PipelineMetrics, counts_from_when_it_was_made_whatever_its_model_has_done_before) {
  const Model model = small_model();
  auto first = apply_system_level_optimizations(model, {});
  const Usage usage = first.run_inference(kRequest).usage;
  auto second = apply_system_level_optimizations(model, {});
  const PerformanceMetrics nothing = second.get_performance_metrics();
  EXPECT_TRUE(nothing.stages.empty());
  EXPECT_EQ(nothing.caches.feature_misses, 0u);
  EXPECT_EQ(nothing.caches.feature_hit_rate, std::nullopt);
  EXPECT_EQ(nothing.caches.prefix_hit_rate, std::nullopt);
  EXPECT_EQ(nothing.prompt_tokens, 0u);
  (void)second.run_inference(kRequest);
  const PerformanceMetrics metrics = second.get_performance_metrics();
  const auto prefill = std::find_if(metrics.stages.begin(), metrics.stages.end(),
                                    [](const StageMetrics& stage) { return stage.stage == "prefill"; });
  ASSERT_NE(prefill, metrics.stages.end());
  EXPECT_EQ(in_histogram(*prefill), prefill->count);
  const PerformanceMetrics both = first.get_performance_metrics();
  EXPECT_GT(both.stages.size(), 0u);
  EXPECT_EQ(both.caches.feature_misses, 1u);
  EXPECT_EQ(both.total_inferences, 1u);
  EXPECT_EQ(both.prompt_tokens, static_cast<uint64_t>(usage.prompt_tokens));
  EXPECT_EQ(metrics.prompt_tokens, static_cast<uint64_t>(usage.prompt_tokens));
  EXPECT_EQ(metrics.caches.feature_misses, 0u);
  EXPECT_EQ(metrics.caches.feature_hit_rate, 1.0);
  EXPECT_EQ(metrics.caches.prefix_hit_rate, 0.0);  // the prompt is shorter than what is kept together
  EXPECT_EQ(metrics.caches.disk_hit_rate, std::nullopt);
}

TEST(PipelineMetrics, reports_on_the_machine_it_runs_on) {
  auto pipeline = apply_system_level_optimizations(small_model(), {});
  OrderedJson report;
  do {
    report = OrderedJson::parse(pipeline.get_performance_metrics().system_optimization_report);
  } while (report["system_summary"]["latest"].is_null());  // the first sample is taken beside
  EXPECT_THAT(keys_of(report),
              ::testing::ElementsAre("system_summary", "hardware_info", "memory_efficiency",
                                     "resource_status", "operation_count", "uptime", "config", "followed"));
  EXPECT_GT(report["system_summary"]["samples"], 0);
  EXPECT_EQ(report["resource_status"]["requests"].dump(),
            R"({"arrived":0,"preparing":0,"prepared":0,"granted":0})");
  EXPECT_GE(report["memory_efficiency"]["cap_bytes"], report["memory_efficiency"]["held_bytes"]);
  EXPECT_GT(report["uptime"], 0);
  EXPECT_EQ(report["config"]["enable_profiling"], true);
}

// Of objects within it too; without what is only a pipeline's.
OrderedJson shape_of(OrderedJson report) {
  report.erase("followed");
  report["resource_status"].erase("requests");
  for (auto& [name, part] : report.items()) {
    if (name == "hardware_info" || !part.is_object()) continue;  // the machine is the same
    for (auto& value : part) value = value.is_object() ? OrderedJson(keys_of(value)) : OrderedJson();
  }
  report["system_summary"].erase("latest");
  report["operation_count"] = report["uptime"] = nullptr;
  report["hardware_info"].erase("memory_available_gb");
  return report;
}

TEST(PipelineMetrics, reports_in_the_shape_of_the_components_of_programs) {
  const SystemOptimizationConfig config{.enable_profiling = false};
  const auto pipeline = apply_system_level_optimizations(small_model(), config);
  const auto of_pipeline = OrderedJson::parse(pipeline.get_performance_metrics().system_optimization_report);
  const system::SystemProfiler profiler(config);
  const system::MemoryManager memory(config);
  const system::ResourceScheduler resources(config, {.compute = 1000, .memory = 1000, .io = 1});
  const auto of_program =
      OrderedJson::parse(system::system_optimization_report(profiler, memory, resources, {}, config));
  EXPECT_EQ(shape_of(of_pipeline), shape_of(of_program));
  EXPECT_EQ(of_pipeline["hardware_info"]["cpu_count"], read_hardware_info().cpu.online);
  const auto& compute = of_pipeline["resource_status"]["resource_usage"]["compute"];
  EXPECT_EQ(compute["held"], 0);
  EXPECT_EQ(compute["capacity"].get<int64_t>() % 1000, 0);
  EXPECT_EQ(compute["limit"].get<int64_t>(), compute["capacity"].get<int64_t>() * 7 / 10);
  EXPECT_EQ(of_pipeline["resource_status"]["queue_sizes"]["compute"], 0);
}

TEST(PipelineMetrics, says_that_it_does_not_sample_the_machine) {
  const Model model = load_model({.path = kSource / "models/shapes",
                                  .threads = 2,
                                  .cache_folder = "",
                                  .system = {.enable_profiling = false}});
  const auto pipeline = apply_system_level_optimizations(model, {.enable_profiling = false});
  const PerformanceMetrics metrics = pipeline.get_performance_metrics();
  const auto report = OrderedJson::parse(metrics.system_optimization_report);
  EXPECT_EQ(report["system_summary"]["profiling"], false);
  EXPECT_EQ(report["system_summary"]["samples"], 0);
  EXPECT_EQ(report["system_summary"]["latest"], nullptr);
  EXPECT_EQ(metrics.avg_gpu_memory_allocated_mb, 0);
}

}  // namespace
}  // namespace qvl
