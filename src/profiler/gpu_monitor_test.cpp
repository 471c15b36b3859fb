#include "profiler/gpu_monitor.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qvl {
namespace {

using testing::IsEmpty;

// A library of tests/fake_nvml.
std::string driver(const std::string& name) { return QVL_FAKE_NVML_FOLDER "/" + name + ".so"; }

TEST(GpuMonitor, tells_what_a_good_driver_tells) {
  GpuMonitor monitor(driver("good"));
  EXPECT_EQ(monitor.problem(), std::nullopt);
  ASSERT_EQ(monitor.gpus().size(), 2);
  const GpuFacts& facts = monitor.gpus()[0];
  EXPECT_EQ(facts.name, "NVIDIA GeForce MX250");
  EXPECT_EQ(facts.compute_capability->major, 6);
  EXPECT_EQ(facts.compute_capability->minor, 1);
  EXPECT_EQ(facts.memory_bytes, 2ULL << 30);
  EXPECT_EQ(monitor.gpus()[1].name, "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(monitor.gpus()[1].compute_capability->major, 9);

  const auto loads = monitor.read();
  ASSERT_EQ(loads.size(), 2);
  EXPECT_EQ(loads[0].gpu, 0);
  EXPECT_DOUBLE_EQ(*loads[0].busy, 0.37);
  EXPECT_DOUBLE_EQ(*loads[0].memory_busy, 0.12);
  EXPECT_EQ(loads[0].memory_used_bytes, 300ULL << 20);
  EXPECT_EQ(loads[0].memory_free_bytes, (2ULL << 30) - (300ULL << 20));
  EXPECT_EQ(loads[0].celsius, 61);
  EXPECT_DOUBLE_EQ(*loads[0].power_watts, 9.75);
  ASSERT_EQ(loads[0].processes.size(), 2);
  EXPECT_EQ(loads[0].processes[0].pid, 4711U);
  EXPECT_EQ(loads[0].processes[0].memory_bytes, 100ULL << 20);
  EXPECT_EQ(loads[0].processes[1].pid, 4712U);
  EXPECT_EQ(loads[0].processes[1].memory_bytes, std::nullopt);

  EXPECT_EQ(loads[1].gpu, 1);
  EXPECT_EQ(loads[1].busy, std::nullopt);
  EXPECT_EQ(loads[1].memory_used_bytes, 250ULL << 20);  // without the 50 MiB that its driver keeps
  EXPECT_EQ(loads[1].memory_free_bytes, (80ULL << 30) - (300ULL << 20));
  EXPECT_EQ(loads[1].celsius, 35);
  EXPECT_EQ(loads[1].power_watts, std::nullopt);
  EXPECT_THAT(loads[1].processes, IsEmpty());
}

TEST(GpuMonitor, shuts_down_what_it_started) {
  void* held = ::dlopen(driver("good").c_str(), RTLD_NOW);  // keeps the count while monitors come and go
  ASSERT_NE(held, nullptr);
  const auto users = reinterpret_cast<int (*)()>(::dlsym(held, "fake_users"));
  const int before = users();
  {
    const GpuMonitor first(driver("good"));
    const GpuMonitor second(driver("good"));
    EXPECT_EQ(users(), before + 2);
  }
  EXPECT_EQ(users(), before);
  ::dlclose(held);
}

TEST(GpuMonitor, finds_none_and_says_why_without_a_usable_driver) {
  const auto problem_of = [](const std::string& library) {
    GpuMonitor monitor(library);
    EXPECT_THAT(monitor.gpus(), IsEmpty());
    EXPECT_THAT(monitor.read(), IsEmpty());
    return monitor.problem().value_or("none");
  };
  EXPECT_EQ(problem_of("libqvl-no-such-driver.so.1"),
            "libqvl-no-such-driver.so.1: cannot open shared object file: No such file or directory");
  EXPECT_EQ(problem_of(driver("no_functions")), driver("no_functions") + ": lacks the functions of NVML 2");
  EXPECT_EQ(problem_of(driver("failing_init")), driver("failing_init") + ": NVML does not start: error 9");
  EXPECT_EQ(problem_of(driver("too_many_gpus")),
            driver("too_many_gpus") + ": found 2147483648 GPUs, at most 64 are expected");
}

TEST(GpuMonitor, tells_nothing_of_a_gpu_whose_calls_fail) {
  GpuMonitor monitor(driver("failing_calls"));
  EXPECT_EQ(monitor.problem(), std::nullopt);
  ASSERT_EQ(monitor.gpus().size(), 1);
  EXPECT_EQ(monitor.gpus()[0].name, std::nullopt);
  EXPECT_FALSE(monitor.gpus()[0].compute_capability);
  EXPECT_EQ(monitor.gpus()[0].memory_bytes, std::nullopt);
  const auto loads = monitor.read();
  ASSERT_EQ(loads.size(), 1);
  EXPECT_EQ(loads[0].busy, std::nullopt);
  EXPECT_EQ(loads[0].memory_used_bytes, std::nullopt);
  EXPECT_EQ(loads[0].celsius, std::nullopt);
  EXPECT_EQ(loads[0].power_watts, std::nullopt);
  EXPECT_THAT(loads[0].processes, IsEmpty());
}

TEST(GpuMonitor, uses_what_an_old_driver_has) {
  GpuMonitor monitor(driver("few_functions"));
  ASSERT_EQ(monitor.gpus().size(), 1);
  EXPECT_EQ(monitor.gpus()[0].name, std::nullopt);
  const auto loads = monitor.read();
  EXPECT_EQ(loads[0].celsius, std::nullopt);
  ASSERT_EQ(loads[0].processes.size(), 1);
  EXPECT_EQ(loads[0].processes[0].pid, 99U);
  EXPECT_EQ(loads[0].processes[0].memory_bytes, 7U << 20);
}

TEST(GpuMonitor, believes_nothing_that_cannot_be) {
  GpuMonitor monitor(driver("lying"));
  ASSERT_EQ(monitor.gpus().size(), 5);  // the sixth has no handle
  EXPECT_EQ(monitor.gpus()[0].name, std::string(96, 'x'));
  EXPECT_EQ(monitor.gpus()[1].name, std::nullopt);
  EXPECT_EQ(monitor.gpus()[2].name, "GPU\\x0a\\xff\\x1b[31m");
  EXPECT_FALSE(monitor.gpus()[0].compute_capability);
  EXPECT_FALSE(monitor.gpus()[1].compute_capability);
  EXPECT_EQ(monitor.gpus()[2].compute_capability->major, 6);
  for (const GpuFacts& facts : monitor.gpus()) EXPECT_EQ(facts.memory_bytes, std::nullopt);
  for (const GpuLoad& load : monitor.read()) {
    EXPECT_EQ(load.busy, std::nullopt);
    EXPECT_EQ(load.memory_busy, std::nullopt);
    EXPECT_EQ(load.memory_used_bytes, std::nullopt);
    EXPECT_EQ(load.celsius, std::nullopt);
    EXPECT_EQ(load.power_watts, std::nullopt);
  }
}

TEST(GpuMonitor, reads_lists_of_processes_in_every_size_drivers_have_written) {
  GpuMonitor monitor(driver("lying"));
  const auto loads = monitor.read();
  ASSERT_EQ(loads.size(), 5);
  EXPECT_THAT(loads[0].processes, IsEmpty());  // claims 2^31
  ASSERT_EQ(loads[1].processes.size(), 2);     // 32 bytes each
  EXPECT_EQ(loads[1].processes[1].pid, 12U);
  EXPECT_EQ(loads[1].processes[1].memory_bytes, 2U << 20);
  ASSERT_EQ(loads[2].processes.size(), 3);  // 16 bytes each
  EXPECT_EQ(loads[2].processes[2].pid, 23U);
  EXPECT_EQ(loads[2].processes[2].memory_bytes, 3U << 20);
  EXPECT_THAT(loads[3].processes, IsEmpty());  // claims two, writes none
  EXPECT_THAT(loads[4].processes, IsEmpty());  // writes half of one
}

}  // namespace
}  // namespace qvl
