// Running programs of one user tell each other what they are at: a small file each in a folder that only this
// user has.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/system_files.h"

namespace qvl {

/// One loaded checkpoint of a running process.
struct RunStatus {
  struct Part {
    std::string name;
    uint64_t held_bytes = 0;
  };
  struct StageTimes {
    std::string name;
    uint64_t count = 0;
    double mean_ms = 0;
  };
  uint32_t pid = 0;
  uint64_t start_ticks = 0;  ///< ProcessCounters::start_ticks
  std::string model{};       ///< the name of its folder or file
  double time_s = 0;         ///< when this was written, by the steady clock
  double uptime_s = 0;       ///< since the checkpoint was opened
  uint64_t cap_bytes = 0, held_bytes = 0;
  std::vector<Part> parts{};          ///< those that hold something, in the order of MemoryPart
  uint64_t waiting = 0, running = 0;  ///< requests of an engine now
  uint64_t done = 0;                  ///< requests that ended
  std::vector<StageTimes> stages{};   ///< those that ran, in the order of a request
};

/// $XDG_RUNTIME_DIR/qvl; nothing where there is no such variable.
std::optional<std::filesystem::path> run_status_folder();

/// The file of one checkpoint, removed with this object. Nothing is published where the folder, which is made
/// if its parent is there, belongs to somebody else, may be written by others, or cannot be written.
/// Thread-compatible.
class RunStatusFile {
 public:
  /// `name`: what tells it from other checkpoints of the same process.
  RunStatusFile(std::filesystem::path folder, uint32_t pid, uint64_t name);
  ~RunStatusFile();
  RunStatusFile(const RunStatusFile&) = delete;
  RunStatusFile& operator=(const RunStatusFile&) = delete;

  /// Puts it in place of the one before, in one go. False where that is not possible.
  bool publish(const RunStatus& status) const;

 private:
  std::filesystem::path folder_, file_;
};

/// What running processes have published in the folder, by number. Files are not trusted: what is no such
/// file, is not this user's or is not well formed is left out. Those of processes that have ended are
/// removed.
std::vector<RunStatus> read_run_statuses(const std::filesystem::path& folder, const SystemFiles& files);

}  // namespace qvl
