#include "threads/topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "threads/fake_machine.h"
#include "threads/os_thread.h"

namespace qvl {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<int> cores(const Topology& topology) {
  std::vector<int> out;
  for (const Cpu& cpu : topology.cpus) out.push_back(cpu.core);
  return out;
}

CpuSet efficiency(const Topology& topology) {
  CpuSet out;
  for (const Cpu& cpu : topology.cpus) {
    if (cpu.kind == CpuKind::efficiency) out.add(cpu.id);
  }
  return out;
}

TEST(Topology, of_a_laptop_has_four_cores_of_two_threads) {
  FakeSystem system;
  make_laptop(system);
  const Topology found = read_topology(system.files(), {0});
  EXPECT_THAT(cores(found), ElementsAre(0, 1, 2, 3, 0, 1, 2, 3));
  EXPECT_EQ(found.online(), (CpuSet{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(found.cores(), 4);
  EXPECT_EQ(found.packages(), 1);
  EXPECT_EQ(found.numa_nodes(), 1);
  EXPECT_EQ(found.siblings(*found.find(6)), (CpuSet{2, 6}));
  EXPECT_EQ(found.find(8), std::nullopt);
  EXPECT_THAT(efficiency(found), IsEmpty());
  EXPECT_EQ(found.source, "/sys/devices/system/cpu, kinds from cpuinfo_max_freq");
}

TEST(Topology, lists_each_cache_once) {
  FakeSystem system;
  make_laptop(system);
  const auto caches = read_topology(system.files(), {0}).caches;
  ASSERT_EQ(caches.size(), 4u + 4 + 4 + 1);
  using Type = CpuCache::Type;
  EXPECT_EQ(caches[0], (CpuCache{.level = 1, .type = Type::data, .size_bytes = 32'768, .cpus = {0, 4}}));
  EXPECT_EQ(caches[1],
            (CpuCache{.level = 1, .type = Type::instruction, .size_bytes = 32'768, .cpus = {0, 4}}));
  EXPECT_EQ(caches[8], (CpuCache{.level = 2, .type = Type::unified, .size_bytes = 262'144, .cpus = {0, 4}}));
  EXPECT_EQ(
      caches[12],
      (CpuCache{
          .level = 3, .type = Type::unified, .size_bytes = 6'291'456, .cpus = {0, 1, 2, 3, 4, 5, 6, 7}}));
}

TEST(Topology, knows_efficiency_cores_by_counter_units) {
  FakeSystem system;
  make_hybrid(system);
  system.write("/sys/devices/cpu_core/cpus", "0-3\n");
  system.write("/sys/devices/cpu_atom/cpus", "4-7\n");
  const Topology found = read_topology(system.files(), {0});
  EXPECT_THAT(cores(found), ElementsAre(0, 0, 2, 2, 4, 5, 6, 7));
  EXPECT_THAT(efficiency(found), ElementsAre(4, 5, 6, 7));
  EXPECT_EQ(found.source, "/sys/devices/system/cpu, kinds from cpu_core");
}

TEST(Topology, knows_efficiency_cores_by_capacity_and_else_by_frequency) {
  FakeSystem system;
  make_hybrid(system);
  const auto write = [&](std::string_view name, int small) {
    for (int cpu = 0; cpu < 8; ++cpu) {
      const int value = cpu == 0 ? 1024 : cpu < 4 ? 1000 : small;  // 0 is a favoured core
      system.write(fmt::format("/sys/devices/system/cpu/cpu{}/{}", cpu, name), fmt::format("{}\n", value));
    }
  };
  write("cpufreq/cpuinfo_max_freq", 767);  // below three quarters of 1024
  EXPECT_THAT(efficiency(read_topology(system.files(), {0})), ElementsAre(4, 5, 6, 7));
  write("cpu_capacity", 768);
  EXPECT_THAT(efficiency(read_topology(system.files(), {0})), IsEmpty());
  write("cpu_capacity", 400);
  const Topology found = read_topology(system.files(), {0});
  EXPECT_THAT(efficiency(found), ElementsAre(4, 5, 6, 7));
  EXPECT_EQ(found.source, "/sys/devices/system/cpu, kinds from cpu_capacity");
}

TEST(Topology, judges_no_kind_where_one_number_is_missing) {
  FakeSystem system;
  make_hybrid(system);
  for (int cpu = 0; cpu < 7; ++cpu) {
    system.write(fmt::format("/sys/devices/system/cpu/cpu{}/cpu_capacity", cpu),
                 cpu < 4 ? "1024\n" : "400\n");
  }
  const Topology found = read_topology(system.files(), {0});
  EXPECT_THAT(efficiency(found), IsEmpty());
  EXPECT_EQ(found.source, "/sys/devices/system/cpu");
}

TEST(Topology, of_two_packages_has_their_nodes) {
  FakeSystem system;
  make_two_packages(system);
  const Topology found = read_topology(system.files(), {0});
  EXPECT_EQ(found.cores(), 4);
  EXPECT_EQ(found.packages(), 2);
  EXPECT_EQ(found.numa_nodes(), 2);
  EXPECT_EQ(*found.find(6), (Cpu{.id = 6, .core = 2, .package = 1, .numa_node = 1}));
}

TEST(Topology, takes_the_affinity_as_cores_where_no_file_is_there) {
  FakeSystem system;
  const Topology found = read_topology(system.files(), {1, 3});
  EXPECT_EQ(found.online(), (CpuSet{1, 3}));
  EXPECT_EQ(found.cores(), 2);
  EXPECT_EQ(*found.find(3), (Cpu{.id = 3, .core = 3}));
  EXPECT_THAT(found.caches, IsEmpty());
  EXPECT_EQ(found.source, "the affinity of the process, every CPU taken as a core");
}

TEST(Topology, takes_online_cpus_as_cores_where_only_they_are_told) {
  FakeSystem system;
  set_online(system, "0-2");
  const Topology found = read_topology(system.files(), {0});
  EXPECT_EQ(found.cores(), 3);
  EXPECT_EQ(found.source, "/sys/devices/system/cpu, every CPU taken as a core");
}

TEST(Topology, takes_the_old_name_of_the_sibling_list) {
  FakeSystem system;
  set_online(system, "0-1");
  system.write("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0-1\n");
  system.write("/sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "0-1\n");
  EXPECT_EQ(read_topology(system.files(), {0}).cores(), 1);
}

TEST(Topology, leaves_out_offline_cpus_with_gaps) {
  FakeSystem system;
  make_laptop(system);
  set_online(system, "0,2,4-5,7");  // 1 and 6 are off, so 5 and 2 are alone on their cores, 3 is off beside 7
  const Topology found = read_topology(system.files(), {0});
  EXPECT_THAT(cores(found), ElementsAre(0, 2, 0, 5, 7));
  EXPECT_EQ(found.siblings(*found.find(5)), CpuSet{5});
  EXPECT_EQ(found.caches.back().cpus, (CpuSet{0, 2, 4, 5, 7}));
}

TEST(Topology, survives_garbage) {
  FakeSystem system;
  set_online(system, "0-3");
  add_cpu(system, 0, "zero", -1);
  add_cpu(system, 1, "0-99999999");
  add_cpu(system, 2, "3");  // not its own
  add_cpu(system, 3, "2-3", 7);
  system.write("/sys/devices/system/cpu/cpu0/topology/physical_package_id", "9999999999999\n");
  system.write("/sys/devices/system/node/node-1/cpulist", "0-3\n");
  system.write("/sys/devices/system/node/nodeX/cpulist", "0-3\n");
  system.write("/sys/devices/system/node/node1/cpulist", "3,\n");
  system.write("/sys/devices/cpu_core/cpus", "many\n");
  system.write("/sys/devices/system/cpu/cpu0/cache/index0/level", "1\n");
  system.write("/sys/devices/system/cpu/cpu0/cache/index0/type", "Data\n");
  system.write("/sys/devices/system/cpu/cpu0/cache/index0/size", "99999999999999999G\n");
  system.write("/sys/devices/system/cpu/cpu0/cache/index0/shared_cpu_list", "0\n");
  const Topology found = read_topology(system.files(), {0});
  EXPECT_THAT(cores(found), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(found.numa_nodes(), 1);
  EXPECT_EQ(found.find(0)->package, 0);
  EXPECT_EQ(found.find(3)->package, 7);
  EXPECT_THAT(efficiency(found), IsEmpty());
  EXPECT_THAT(found.caches, IsEmpty());
}

TEST(Topology, falls_back_where_the_online_list_is_garbage) {
  for (const char* text : {"", "\n", "all", "5-1", "0-8192"}) {
    FakeSystem system;
    system.write("/sys/devices/system/cpu/online", text);
    EXPECT_EQ(read_topology(system.files(), {2}).online(), CpuSet{2}) << text;
  }
}

TEST(Topology, of_this_machine_holds_every_cpu_this_thread_may_use) {
  const CpuSet own = this_thread_affinity();
  const Topology found = read_topology(SystemFiles(), own);
  EXPECT_EQ(found.online() & own, own);
  EXPECT_LE(found.cores(), found.online().size());
}

}  // namespace
}  // namespace qvl
