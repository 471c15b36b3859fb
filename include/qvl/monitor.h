// The machine and every running qvl of this user at one moment, again and again.
//
//   qvl::Monitor monitor({.pid = 1234});
//   for (;;) { show(monitor.look()); sleep(1); }
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace qvl {

struct MonitorOptions {
  std::optional<uint32_t> pid = {};  ///< a process to watch, besides every running qvl
};

/// Shares are from 0 to 1, `cpus` are in processors.
struct CoreView {
  int cpu = 0;
  double busy = 0;     ///< whoever ran
  double watched = 0;  ///< of it the watched processes, by where their threads ran last
  std::optional<double> mhz = {};
};

struct MemoryView {
  std::optional<uint64_t> total_bytes = {}, available_bytes = {}, swap_total_bytes = {}, swap_free_bytes = {};
  std::optional<uint64_t> limit_bytes = {};  ///< what a process here may use: the least of memory and cgroups
};

/// Per cent of the last ten seconds in which something waited; empty where the kernel does not tell.
struct StallView {
  std::optional<double> cpu = {}, memory = {}, io = {};
};

struct HeatView {
  std::string name = {};
  double celsius = 0;
  std::optional<double> limit_c = {};
};

struct GpuView {
  std::string name = {};
  std::optional<double> busy = {}, celsius = {}, watts = {};
  std::optional<uint64_t> memory_used_bytes = {}, memory_total_bytes = {};
};

struct StageView {
  std::string name = {};
  uint64_t count = 0;  ///< steps since the checkpoint was opened
  double mean_ms = 0;
  std::optional<double> per_s = {};  ///< steps a second between the last two times the process told
};

/// What a running qvl tells of one loaded checkpoint.
struct LoadedModelView {
  struct Part {
    std::string name = {};
    uint64_t held_bytes = 0;
  };
  std::string name = {};
  double uptime_s = 0;
  uint64_t cap_bytes = 0, held_bytes = 0;
  std::vector<Part> parts = {};
  uint64_t waiting = 0, running = 0, done = 0;  ///< requests
  std::vector<StageView> stages = {};
};

struct ProcessView {
  uint32_t pid = 0;
  std::string name = {};
  std::optional<double> cpus = {};  ///< empty at its first look
  std::optional<uint64_t> rss_bytes = {}, swapped_bytes = {};
  std::vector<LoadedModelView> models = {};  ///< none: it is no qvl, or does not tell
};

struct MachineView {
  double time_s = 0;  ///< steady clock
  std::optional<double> interval_s =
      {};  ///< that shares and rates are over; empty in the first look, which has none
  std::vector<CoreView> cores = {};
  std::optional<double> busy_cpus = {}, watched_cpus = {}, other_cpus = {}, stolen_cpus = {};
  MemoryView memory = {};
  StallView stalls = {};
  std::optional<HeatView> hottest = {};  ///< the sensor nearest to its limit, or the hottest
  std::optional<double> watts = {};      ///< of packages, where they may be read
  std::optional<double> battery_percent = {};
  std::optional<bool> on_mains = {};
  std::vector<GpuView> gpus = {};
  std::optional<double> read_bytes_per_s = {}, written_bytes_per_s = {};  ///< all disks
  std::optional<double> received_bytes_per_s = {},
                        sent_bytes_per_s = {};  ///< all interfaces but the loopback
  std::vector<ProcessView> processes = {};      ///< the one asked for first, then by number
};

/// One JSON object on one line, with the names above; what is not known has no key.
std::string to_json(const MachineView& view);

/// Thread-compatible.
class Monitor {
 public:
  /// Throws Error{usage} where the process asked for is not there.
  explicit Monitor(const MonitorOptions& options);
  ~Monitor();
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  /// Takes milliseconds, the first time up to a second where there is a GPU. Shares cover the time since the
  /// last look that is at least 50 ms old.
  MachineView look();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qvl
