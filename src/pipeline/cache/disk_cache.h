// Results kept in a folder between starts, within a budget, the least recently used out first.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/cache/stored_entry.h"
#include "threads/task_pool.h"

namespace qvl {

struct DiskCacheOptions {
  std::filesystem::path folder = {};  ///< empty: none
  uint64_t budget_bytes = 0;          ///< of all files together; 0: nothing is kept
};

/// Since it was made: files that were looked for, and those of them that were there and of use.
struct DiskCacheStats {
  uint64_t lookups = 0, hits = 0;
};

/// Thread-safe. Several processes may use one folder: files appear whole, and one that another process has
/// removed is a file that is not there. Files are written by a pool of threads.
class DiskCache {
 public:
  /// Creates the folder. Where it cannot be, or is not writable, problem() says so and nothing is kept.
  /// `pool` outlives it.
  DiskCache(const DiskCacheOptions& options, TaskPool& pool);
  ~DiskCache();  ///< waits until what was handed over is written
  DiskCache(const DiskCache&) = delete;
  DiskCache& operator=(const DiskCache&) = delete;

  bool enabled() const { return enabled_; }
  const std::filesystem::path& folder() const { return options_.folder; }

  /// What one entry is called, and how recently it counts as used: behind others by so many places.
  struct Name {
    ContentKey key = {};
    std::string_view kind = {};  ///< "features", "prefix"
    int64_t rank = 0;
  };
  /// What was kept under `name`, which is the most recently used file then but for its rank. A file that is
  /// of no use is removed.
  std::optional<StoredEntry> read(const Name& name, std::span<const StoredShape> shapes, MemoryHome home);
  /// Has it written. `view` borrows from what `keeps` holds. Where the disk refuses, nothing is written from
  /// then on, and problem() says why. Dropped where too much waits to be written already.
  void write(const Name& name, StoredView view, std::shared_ptr<const void> keeps);

  DiskCacheStats stats() const { return {.lookups = lookups_, .hits = hits_}; }
  /// One line where nothing is kept any more; "" where all is well.
  std::string problem() const;
  /// Returns when everything handed over is written.
  void wait() const;

 private:
  struct Pending;
  std::filesystem::path path_of(const Name& name) const;
  void write_now(const std::filesystem::path& path, const Name& name, const StoredView& view);
  void refuse(const std::string& why);

  const DiskCacheOptions options_;
  TaskPool& pool_;
  std::atomic<bool> enabled_ = false;
  std::atomic<uint64_t> lookups_ = 0, hits_ = 0;
  mutable std::mutex mutex_;
  mutable std::condition_variable written_;
  std::set<std::filesystem::path> pending_;
  uint64_t pending_bytes_ = 0;
  std::string problem_;
};

/// A file of such a folder.
struct StoredFile {
  std::filesystem::path path;
  uint64_t bytes;
  std::filesystem::file_time_type used;
};
/// Those that are_stored_name()s, the least recently used first. None where the folder cannot be read.
std::vector<StoredFile> stored_files(const std::filesystem::path& folder);

/// Removes the least recently used of them until the rest is within `budget_bytes`.
void trim_folder(const std::filesystem::path& folder, uint64_t budget_bytes);

}  // namespace qvl
