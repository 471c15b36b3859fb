#include "pipeline/run_status.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/atomic_file.h"
#include "base/environment.h"
#include "base/file.h"
#include "base/json.h"
#include "memory/memory_part.h"
#include "profiler/process_load.h"
#include "profiler/stage_statistics.h"

namespace qvl {
namespace {

constexpr int64_t kFormat = 1;
constexpr uint64_t kMostBytes = 64 << 10;
constexpr size_t kMostFiles = 1024;
constexpr int64_t kMostCount = int64_t{1} << 53;  // exact in every reader of JSON
constexpr std::string_view kSuffix = ".json";

// Whether nobody but this user may put files there.
bool is_private(const std::filesystem::path& folder) {
  struct stat info {};
  return ::lstat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == ::geteuid() &&
         (info.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

OrderedJson to_json(const RunStatus& status) {
  OrderedJson parts = OrderedJson::object(), stages = OrderedJson::object();
  for (const RunStatus::Part& part : status.parts) parts[part.name] = part.held_bytes;
  for (const RunStatus::StageTimes& stage : status.stages) {
    stages[stage.name] = {{"count", stage.count}, {"mean_ms", stage.mean_ms}};
  }
  return {
      {"format", kFormat},
      {"pid", status.pid},
      {"start_ticks", status.start_ticks},
      {"model", status.model},
      {"time_s", status.time_s},
      {"uptime_s", status.uptime_s},
      {"memory", {{"cap_bytes", status.cap_bytes}, {"held_bytes", status.held_bytes}, {"by_part", parts}}},
      {"requests", {{"waiting", status.waiting}, {"running", status.running}, {"done", status.done}}},
      {"stages", stages}};
}

uint64_t count_of(const JsonObject& object, std::string_view key) {
  return static_cast<uint64_t>(object.integer(key, 0, kMostCount));
}

RunStatus parse_status(std::string_view text, const std::string& name) {
  const JsonSource source{.name = name, .code = ErrorCode::environment, .max_depth = 5, .max_values = 1000};
  const Json document = parse_json(text, source);
  const JsonObject root(document, source);
  root.integer("format", kFormat, kFormat);
  RunStatus status{.pid = static_cast<uint32_t>(root.integer("pid", 1, INT32_MAX)),
                   .start_ticks = count_of(root, "start_ticks"),
                   .model = printable(root.string("model")),
                   .time_s = root.number("time_s", 0, 1e12),
                   .uptime_s = root.number("uptime_s", 0, 1e12)};
  const JsonObject memory = root.object("memory"), parts = memory.object("by_part");
  status.cap_bytes = count_of(memory, "cap_bytes");
  status.held_bytes = count_of(memory, "held_bytes");
  for (const std::string_view part : kMemoryPartNames) {
    if (parts.has(part))
      status.parts.push_back({.name = std::string(part), .held_bytes = count_of(parts, part)});
  }
  const JsonObject requests = root.object("requests"), stages = root.object("stages");
  status.waiting = count_of(requests, "waiting");
  status.running = count_of(requests, "running");
  status.done = count_of(requests, "done");
  for (size_t i = 0; i < kStages; ++i) {
    const std::string label = stage_name(static_cast<Stage>(i)).text();
    if (!stages.has(label)) continue;
    const JsonObject stage = stages.object(label);
    status.stages.push_back(
        {.name = label, .count = count_of(stage, "count"), .mean_ms = stage.number("mean_ms", 0, 1e12)});
  }
  return status;
}

// The number that a file's name begins with; files that are being written have it too.
std::optional<uint32_t> pid_of(const std::string& name) {
  const auto number = parse_whole(name.substr(0, name.find('-')));
  if (!number || *number < 1 || *number > INT32_MAX) return std::nullopt;
  return static_cast<uint32_t>(*number);
}

// Nothing where `path` tells nothing of a running process.
std::optional<RunStatus> read_status(const std::filesystem::path& path, const ProcessCounters& process) {
  try {
    RunStatus status = parse_status(read_file(path, kMostBytes, ErrorCode::environment), path.string());
    if (status.pid == process.pid && status.start_ticks == process.start_ticks) return status;
    ::unlink(path.c_str());  // of an earlier process of the same number
  } catch (const Error&) {
    // It has gone meanwhile, or is none of ours.
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::filesystem::path> run_status_folder() {
  const auto folder = environment_variable("XDG_RUNTIME_DIR");
  if (!folder || !folder->starts_with('/')) return std::nullopt;
  return std::filesystem::path(*folder) / "qvl";
}

RunStatusFile::RunStatusFile(std::filesystem::path folder, uint32_t pid, uint64_t name)
    : folder_(std::move(folder)), file_(folder_ / fmt::format("{}-{:x}{}", pid, name, kSuffix)) {
  ::mkdir(folder_.c_str(), S_IRWXU);  // where that fails publishing does
}

RunStatusFile::~RunStatusFile() {
  if (is_private(folder_)) ::unlink(file_.c_str());
}

bool RunStatusFile::publish(const RunStatus& status) const {
  if (!is_private(folder_)) return false;
  try {
    AtomicFile file(file_, ErrorCode::environment);
    file.write(to_json(status).dump(-1, ' ', false, OrderedJson::error_handler_t::replace));
    file.commit();
  } catch (const Error&) {
    return false;
  }
  return true;
}

std::vector<RunStatus> read_run_statuses(const std::filesystem::path& folder, const SystemFiles& files) {
  std::vector<RunStatus> out;
  if (!is_private(folder)) return out;
  std::error_code missing;
  auto names = names_in(folder, missing);
  names.resize(std::min(names.size(), kMostFiles));
  for (const std::string& name : names) {
    const auto pid = pid_of(name);
    if (!pid || name.find(kSuffix) == std::string::npos) continue;
    const auto process = read_process_counters(files, *pid);
    if (!process) {
      ::unlink((folder / name).c_str());
    } else if (name.ends_with(kSuffix)) {
      if (auto status = read_status(folder / name, *process)) out.push_back(std::move(*status));
    }
  }
  std::sort(out.begin(), out.end(), [](const RunStatus& a, const RunStatus& b) {
    return std::pair(a.pid, a.uptime_s) < std::pair(b.pid, b.uptime_s);
  });
  return out;
}

}  // namespace qvl
