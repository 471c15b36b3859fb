// The public parts of the system layer, together and as a program sees them.
#include "qvl/system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <thread>

#include "base/error_testing.h"
#include "base/json.h"
#include "pipeline/system/report.h"
#include "profiler/energy.h"

namespace qvl::system {
namespace {

using testing::ElementsAre;
using testing::StartsWith;

constexpr ResourceCapacities kSmall = {.compute = 2000, .memory = 1000, .io = 10, .gpu_memory = 0};

std::vector<std::string> keys(const OrderedJson& json) {
  std::vector<std::string> out;
  for (const auto& item : json.items()) out.push_back(item.key());
  return out;
}

TEST(SystemHardware, is_told_under_flat_names) {
  const HardwareInfo info{
      .cpu = {.online = 8, .cores = 4, .performance_cores = 4, .packages = 1, .numa_nodes = 1},
      .budget = {.threads = 3,
                 .quota_cpus = 3.5,
                 .threads_cause = "quota",
                 .memory_bytes = uint64_t{2} << 30,
                 .memory_cause = "cgroup"},
      .memory = MemoryInfo{.total_bytes = uint64_t{3} << 30, .available_bytes = {}},
      .disks = {{.name = "sda", .size_bytes = uint64_t{1} << 31, .kind = "rotating"}},
      .gpus = {{.name = "GTX", .compute_capability = "6.1", .memory_bytes = 5 << 20}},
      .measured = {.memory_read_gb_s = 12.5, .int8_gop_s = {{"avx2", 200}}}};
  EXPECT_EQ(hardware_keys(info).dump(),
            R"({"cpu_count":8,"cpu_count_physical":4,"cpu_count_performance":4,"cpu_packages":1,)"
            R"("numa_nodes":1,"cpu_caches":[],"instruction_sets":[],"cpu_budget_threads":3,)"
            R"("cpu_budget_cause":"quota","cpu_quota":3.5,"memory_total_gb":3.0,)"
            R"("memory_available_gb":null,"memory_budget_gb":2.0,"memory_budget_cause":"cgroup",)"
            R"("memory_read_gb_s":12.5,"int8_gop_s":{"avx2":200.0},)"
            R"("disks":[{"name":"sda","model":null,"size_gb":2.0,"kind":"rotating"}],)"
            R"("gpu_info":[{"name":"GTX","compute_capability":"6.1","memory_total_mb":5.0}],)"
            R"("gpu_problem":null,"pressure_files":[]})");
}

TEST(SystemProfilerOfPrograms, samples_only_where_profiling_is_enabled) {
  SystemProfiler off({.enable_profiling = false});
  EXPECT_FALSE(off.start_profiling());
  EXPECT_FALSE(off.profiling());
  EXPECT_EQ(off.profiles(), "[]");

  SystemProfiler on({.profile_interval = 0.01});
  EXPECT_TRUE(on.start_profiling());
  while (OrderedJson::parse(on.profiles()).size() < 2) std::this_thread::yield();
  on.stop_profiling();
  EXPECT_FALSE(on.profiling());
  EXPECT_GE(OrderedJson::parse(on.system_summary())["samples"].get<int>(), 2);
}

TEST(SystemProfilerOfPrograms, takes_and_keeps_a_sample_when_asked_while_it_is_stopped) {
  SystemProfiler profiler({.profile_memory = true, .profile_compute = false});
  const auto profile = OrderedJson::parse(profiler.current_profile());
  EXPECT_TRUE(profile["memory"].contains("rss_bytes"));
  EXPECT_FALSE(profile.contains("cpu"));
  EXPECT_THAT(OrderedJson::parse(profiler.profiles()), ElementsAre(profile));
}

TEST(EnergyMeterOfPrograms, tells_something_where_this_process_may_read_the_counters) {
  EnergyMeter meter;
  meter.advance();
  const auto joules = meter.joules();
  EXPECT_EQ(joules.has_value(), !read_energy_counters(SystemFiles()).empty());
  EXPECT_GE(joules.value_or(0), 0.0);
}

TEST(ThreadManagerOfPrograms, hands_back_values_and_exceptions_of_all_pools) {
  ThreadManager threads({});
  auto compute = threads.submit_compute_task([] { return 1; });
  auto io = threads.submit_io_task([] { return std::string("two"); });
  auto preprocess = threads.submit_preprocess_task([] { throw std::out_of_range("three"); });
  EXPECT_EQ(compute.get(), 1);
  EXPECT_EQ(io.get(), "two");
  EXPECT_THROW(preprocess.get(), std::out_of_range);
}

TEST(ThreadManagerOfPrograms, breaks_the_promise_of_work_that_is_given_up) {
  ThreadManager threads({.num_io_threads = 1});
  std::latch running(1), may_end(1);
  auto first = threads.submit_io_task([&] {
    running.count_down();
    may_end.wait();
    return 1;
  });
  running.wait();
  auto second = threads.submit_io_task([] { return 2; });
  threads.close(Shutdown::cancel);
  EXPECT_THROW(second.get(), std::future_error);
  may_end.count_down();
  EXPECT_EQ(first.get(), 1);
  threads.shutdown(Shutdown::drain);
  const auto io = OrderedJson::parse(threads.status())["io"];
  EXPECT_EQ(io["submitted"], 2);
  EXPECT_EQ(io["cancelled"], 1);
  EXPECT_TRUE(OrderedJson::parse(threads.status())["closed"]);
}

TEST(MemoryManagerOfPrograms, hands_out_a_block_again_once_it_came_back) {
  auto memory = std::make_unique<MemoryManager>(SystemOptimizationConfig{});
  const std::byte* before = nullptr;
  {
    const TensorBlock block = memory->allocate(1000);
    before = block.data();
    EXPECT_EQ(block.size(), 1000u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(before) % 64, 0u);
  }
  EXPECT_GT(Json::parse(memory->memory_efficiency_report())["tensor_pool_size"].get<uint64_t>(), 0u);
  const TensorBlock again = memory->allocate(1000);
  EXPECT_EQ(again.data(), before);
  const auto pool = Json::parse(memory->memory_efficiency_report())["tensor_pool"];
  EXPECT_EQ(pool["hits"], 1);
  EXPECT_EQ(pool["in_use_blocks"], 1);
  memory.reset();  // the block keeps its pool
  again.data()[999] = std::byte{1};
}

TEST(MemoryManagerOfPrograms, refuses_more_than_its_cap_and_says_so_beforehand) {
  MemoryManager memory({});
  const auto cap = Json::parse(memory.memory_efficiency_report())["cap_bytes"].get<uint64_t>();
  EXPECT_FALSE(memory.is_memory_available(cap));
  EXPECT_TRUE(memory.is_memory_available(1 << 20));
  EXPECT_THAT(error_of(ErrorCode::limit, [&] { (void)memory.allocate(cap); }), StartsWith("tensor: "));
}

TEST(MemoryManagerOfPrograms, gives_back_what_it_kept) {
  MemoryManager memory({});
  { const TensorBlock block = memory.allocate(4 << 20); }
  EXPECT_GE(memory.cleanup_memory().pool_bytes, uint64_t{4} << 20);
  EXPECT_EQ(Json::parse(memory.memory_efficiency_report())["tensor_pool_size"], 0);
  EXPECT_THAT(keys(OrderedJson::parse(memory.memory_usage())),
              ElementsAre("rss", "vms", "available", "total", "percent_used"));
}

TEST(ResourceSchedulerOfPrograms, obeys_ratio_and_algorithm_of_the_configuration) {
  ResourceScheduler resources(
      {.scheduling_algorithm = SchedulingAlgorithm::priority, .resource_reservation_ratio = 0.5}, kSmall);
  EXPECT_EQ(error_of(ErrorCode::usage, [&] { resources.request_resources("memory", 501, 0); }),
            "amount: found 501, expected 1 to 500 (memory: all that may be held)");
  resources.request_resources("memory", 100, 0);
  const uint64_t urgent = resources.request_resources("memory", 500, 9);
  const auto grant = resources.allocate_resources();
  ASSERT_TRUE(grant);
  EXPECT_EQ(grant->ticket, urgent);
  EXPECT_EQ(grant->kind, "memory");
  EXPECT_EQ(grant->amount, 500u);
  EXPECT_FALSE(resources.allocate_resources());
  const auto status = OrderedJson::parse(resources.resource_status());
  EXPECT_EQ(status["resource_reservation_ratio"], 0.5);
  EXPECT_EQ(status["scheduling_algorithm"], "priority");
  EXPECT_EQ(status["queue_sizes"]["memory"], 1);
  resources.release_resources("memory", 500);
  EXPECT_EQ(resources.allocate_resources()->amount, 100u);
}

TEST(ResourceSchedulerOfPrograms, grants_everything_where_scheduling_is_off) {
  ResourceScheduler resources({.resource_scheduling_enabled = false}, kSmall);
  resources.request_resources("memory", 1'000'000, 0);
  EXPECT_EQ(resources.allocate_resources()->amount, 1'000'000u);
}

TEST(ResourceSchedulerOfPrograms, knows_what_this_machine_has) {
  const auto capacities =
      ResourceCapacities::of_this_machine({.num_io_threads = 3, .memory_limit_ratio = 0.5});
  const auto whole = ResourceCapacities::of_this_machine({.memory_limit_ratio = 1});
  EXPECT_EQ(capacities.io, 6u);
  EXPECT_EQ(capacities.compute % 1000, 0u);
  EXPECT_GE(capacities.compute, 1000u);
  EXPECT_EQ(capacities.memory, whole.memory / 2);
}

TEST(SystemReport, has_the_parts_and_the_whole_configuration) {
  const SystemOptimizationConfig config{.optimization_level = 2};
  const SystemProfiler profiler(config);
  const MemoryManager memory(config);
  const ResourceScheduler resources(config, kSmall);
  const auto report = OrderedJson::parse(
      system_optimization_report(profiler, memory, resources, {.operations = 7, .uptime_s = 1.5}, config));
  EXPECT_THAT(keys(report), ElementsAre("system_summary", "hardware_info", "memory_efficiency",
                                        "resource_status", "operation_count", "uptime", "config"));
  EXPECT_EQ(report["operation_count"], 7);
  EXPECT_EQ(report["uptime"], 1.5);
  EXPECT_EQ(report["config"]["optimization_level"], 2);
  EXPECT_EQ(report["resource_status"]["resource_usage"]["memory"]["capacity"], 1000);
  EXPECT_EQ(report["system_summary"]["samples"], 0);
  EXPECT_GT(report["hardware_info"]["cpu_count"], 0);
  EXPECT_GT(report["memory_efficiency"]["memory_utilization"], 0.0);
}

TEST(SystemComponents, refuse_a_configuration_out_of_its_range) {
  const SystemOptimizationConfig bad{.memory_limit_ratio = 1.7};
  const std::string expected = "memory_limit_ratio: found 1.7, expected a number from 0.05 to 1";
  EXPECT_EQ(error_of(ErrorCode::usage, [&] { SystemProfiler profiler(bad); }), expected);
  EXPECT_EQ(error_of(ErrorCode::usage, [&] { ThreadManager threads(bad); }), expected);
  EXPECT_EQ(error_of(ErrorCode::usage, [&] { MemoryManager memory(bad); }), expected);
  EXPECT_EQ(error_of(ErrorCode::usage, [&] { ResourceScheduler resources(bad, kSmall); }), expected);
  EXPECT_EQ(error_of(ErrorCode::usage, [&] { ResourceCapacities::of_this_machine(bad); }), expected);
}

}  // namespace
}  // namespace qvl::system
