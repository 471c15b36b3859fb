// Affinity and cgroup quotas, read from the kernel.
#include "threads/cpu_budget.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

namespace qvl {
namespace {

int affinity_count() {
  // The set grows until the kernel's mask fits: machines with more than 1,024 processors exist.
  for (int capacity = 1024; capacity <= 1 << 20; capacity *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(capacity));
    if (set == nullptr) break;
    size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(capacity));
    int count = ::sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
  }
  return 1;
}

std::optional<std::string> first_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

// cgroup v2: cpu.max is "QUOTA PERIOD" or "max PERIOD".
std::optional<double> quota_v2(const std::filesystem::path& folder) {
  auto line = first_line(folder / "cpu.max");
  if (!line) return std::nullopt;
  std::istringstream fields(*line);
  double quota = 0, period = 0;
  if (!(fields >> quota >> period) || quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

std::optional<double> positive_number(const std::string& text) {
  double value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || value <= 0) return std::nullopt;
  return value;
}

// cgroup v1: two files, -1 for no quota.
std::optional<double> quota_v1(const std::filesystem::path& folder) {
  auto quota = first_line(folder / "cpu.cfs_quota_us"), period = first_line(folder / "cpu.cfs_period_us");
  if (!quota || !period) return std::nullopt;
  const auto granted = positive_number(*quota), of = positive_number(*period);
  if (!granted || !of) return std::nullopt;
  return *granted / *of;
}

// The least quota of a group and all its ancestors below `root`.
template <typename Read>
double least_quota(const std::filesystem::path& root, std::filesystem::path group, Read read) {
  double least = HUGE_VAL;
  for (;;) {
    if (auto quota = read(root / group.relative_path())) least = std::min(least, *quota);
    if (!group.has_relative_path()) return least;
    group = group.parent_path();
  }
}

double cgroup_quota() {
  double least = HUGE_VAL;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers = line.substr(first + 1, second - first - 1);
    std::filesystem::path group = line.substr(second + 1);
    if (controllers.empty()) {
      least = std::min(least, least_quota("/sys/fs/cgroup", group, quota_v2));
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      for (const char* root : {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"}) {
        least = std::min(least, least_quota(root, group, quota_v1));
      }
    }
  }
  return least;
}

}  // namespace

int cpu_budget() {
  double quota = cgroup_quota();
  int count = affinity_count();
  if (quota < count) count = static_cast<int>(std::ceil(quota));
  return std::max(count, 1);
}

}  // namespace qvl
