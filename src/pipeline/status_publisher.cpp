#include "pipeline/status_publisher.h"

#include <unistd.h>

#include <utility>

#include "base/error.h"
#include "profiler/process_load.h"
#include "profiler/steady_clock.h"

namespace qvl {
namespace {

constexpr int64_t kPublishingNs = 1'000'000'000;

}  // namespace

StatusPublisher::StatusPublisher(const std::filesystem::path& folder, std::string model,
                                 const StatusSources& sources)
    : model_(std::move(model)),
      sources_(sources),
      pid_(static_cast<uint32_t>(::getpid())),
      start_ticks_(own_start_ticks(SystemFiles()).value_or(0)),
      begin_ns_(steady_ns()),
      file_(folder, pid_, static_cast<uint64_t>(begin_ns_)) {}

void StatusPublisher::take(const Sample& sample) {
  if (last_ns_ && sample.time_ns - *last_ns_ < kPublishingNs) return;
  last_ns_ = sample.time_ns;
  file_.publish(status(sample.time_ns));
}

RunStatus StatusPublisher::status(int64_t time_ns) const {
  const LedgerReport memory = sources_.ledger.report();
  RunStatus status{.pid = pid_,
                   .start_ticks = start_ticks_,
                   .model = model_,
                   .time_s = static_cast<double>(time_ns) * 1e-9,
                   .uptime_s = static_cast<double>(time_ns - begin_ns_) * 1e-9,
                   .cap_bytes = memory.cap_bytes,
                   .held_bytes = memory.held_bytes,
                   .waiting = sources_.requests.waiting(),
                   .running = sources_.requests.running(),
                   .done = sources_.requests.done()};
  for (size_t i = 0; i < kMemoryParts; ++i) {
    const uint64_t held = memory.parts[i].held_bytes;
    if (held > 0) status.parts.push_back({.name = std::string(kMemoryPartNames[i]), .held_bytes = held});
  }
  for (size_t i = 0; i < kStages; ++i) {
    const auto stage = static_cast<Stage>(i);
    const DurationSummary times = sources_.stages.summary(stage);
    if (times.count == 0) continue;
    status.stages.push_back(
        {.name = stage_name(stage).text(), .count = times.count, .mean_ms = times.mean_ns * 1e-6});
  }
  return status;
}

}  // namespace qvl
