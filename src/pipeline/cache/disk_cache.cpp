#include "pipeline/cache/disk_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <new>
#include <system_error>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace qvl {
namespace {

// What waits to be written stays in memory; more than that is not worth it.
constexpr uint64_t kMostPendingBytes = 256 << 20;

uint64_t bytes_of(const StoredView& view) {
  uint64_t bytes = 0;
  for (const auto& tensor : view.tensors) bytes += tensor.size_bytes();
  return bytes;
}

// Now, or a little before: of files used together those of a higher rank are the first to go.
void note_use(const std::filesystem::path& path, int64_t rank) {
  std::error_code gone;
  std::filesystem::last_write_time(
      path, std::filesystem::file_time_type::clock::now() - std::chrono::milliseconds(rank), gone);
}

}  // namespace

// What is handed over, until it is written or given up, however that comes about.
struct DiskCache::Pending {
  Pending(DiskCache& cache, std::filesystem::path file, uint64_t size, std::shared_ptr<const void> content)
      : owner(cache), path(std::move(file)), bytes(size), keeps(std::move(content)) {}
  // False where too much waits already, or the same file.
  bool enter() {
    const std::lock_guard lock(owner.mutex_);
    entered = owner.pending_bytes_ + bytes <= kMostPendingBytes && owner.pending_.insert(path).second;
    if (entered) owner.pending_bytes_ += bytes;
    return entered;
  }
  ~Pending() {
    keeps.reset();  // before anybody who waits goes on
    if (!entered) return;
    const std::lock_guard lock(owner.mutex_);
    owner.pending_.erase(path);
    owner.pending_bytes_ -= bytes;
    owner.written_.notify_all();
  }
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  DiskCache& owner;
  const std::filesystem::path path;
  const uint64_t bytes;
  std::shared_ptr<const void> keeps;
  bool entered = false;
};

DiskCache::DiskCache(const DiskCacheOptions& options, TaskPool& pool) : options_(options), pool_(pool) {
  if (options.folder.empty() || options.budget_bytes == 0) return;
  std::error_code error;
  std::filesystem::create_directories(options.folder, error);
  if (!error && ::access(options.folder.c_str(), R_OK | W_OK | X_OK) != 0) {
    error = std::error_code(errno, std::generic_category());
  }
  if (error) {
    refuse(fmt::format("{}: cannot write: {}", path_name(options.folder), error.message()));
  } else {
    enabled_ = true;
  }
}

DiskCache::~DiskCache() { wait(); }

void DiskCache::wait() const {
  std::unique_lock lock(mutex_);
  written_.wait(lock, [this] { return pending_.empty(); });
}

void DiskCache::refuse(const std::string& why) {
  enabled_ = false;
  const std::lock_guard lock(mutex_);
  if (problem_.empty()) problem_ = "features of pictures are not kept on disk: " + why;
}

std::string DiskCache::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

std::filesystem::path DiskCache::path_of(const Name& name) const {
  return options_.folder / fmt::format("{}.{}", name.key.text(), name.kind);
}

std::optional<StoredEntry> DiskCache::read(const Name& name, std::span<const StoredShape> shapes,
                                           MemoryHome home) {
  if (!enabled_) return std::nullopt;
  ++lookups_;
  const auto path = path_of(name);
  EntryRead found = read_entry(path, name.key, shapes, home);
  if (found.outcome == ReadOutcome::unfit) {
    std::error_code ignored;  // it is there again next time, and as useless
    std::filesystem::remove(path, ignored);
  }
  if (found.outcome != ReadOutcome::read) return std::nullopt;
  ++hits_;
  note_use(path, name.rank);
  return std::move(found.entry);
}

void DiskCache::write(const Name& name, StoredView view, std::shared_ptr<const void> keeps) {
  const uint64_t bytes = bytes_of(view);
  if (!enabled_ || bytes > options_.budget_bytes) return;
  const auto path = path_of(name);
  std::error_code unknown;
  if (std::filesystem::exists(path, unknown)) return note_use(path, name.rank);
  auto pending = std::make_shared<Pending>(*this, path, bytes, std::move(keeps));
  if (!pending->enter()) return;
  // Gone with the task where that is refused: it is not written then.
  (void)pool_.try_submit([this, name, view = std::move(view),
                          pending = std::move(pending)] { write_now(pending->path, name, view); },
                         TaskPriority::low);
}

void DiskCache::write_now(const std::filesystem::path& path, const Name& name, const StoredView& view) {
  if (!enabled_) return;
  try {
    trim_folder(options_.folder, options_.budget_bytes - bytes_of(view));
    write_entry(path, name.key, view);
    note_use(path, name.rank);
  } catch (const Error& error) {
    refuse(error.what());
  } catch (const std::bad_alloc&) {  // this one is not kept: the disk is not why
  }
}

std::vector<StoredFile> stored_files(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  std::vector<StoredFile> files;
  std::error_code missing;
  for (const std::string& name : names_in(folder, missing)) {
    if (!is_stored_name(name)) continue;
    std::error_code gone;
    fs::path path = folder / name;
    if (!fs::is_regular_file(fs::symlink_status(path, gone))) continue;
    const uint64_t bytes = fs::file_size(path, gone);
    const auto used = fs::last_write_time(path, gone);
    if (!gone) files.push_back({.path = std::move(path), .bytes = bytes, .used = used});
  }
  std::sort(files.begin(), files.end(), [](const StoredFile& a, const StoredFile& b) {
    return std::tie(a.used, a.path) < std::tie(b.used, b.path);
  });
  return files;
}

void trim_folder(const std::filesystem::path& folder, uint64_t budget_bytes) {
  // A file with a temporary name is somebody's who writes it now, or was left by a process that was killed.
  constexpr auto kLongestWrite = std::chrono::hours(1);
  const auto now = std::filesystem::file_time_type::clock::now();
  const std::vector<StoredFile> files = stored_files(folder);
  uint64_t total = 0;
  for (const StoredFile& file : files) total += file.bytes;
  for (const StoredFile& file : files) {
    if (total <= budget_bytes) return;
    if (is_temporary_name(file.path.filename().string()) && now - file.used < kLongestWrite) continue;
    std::error_code gone;
    std::filesystem::remove(file.path, gone);
    total -= file.bytes;
  }
}

}  // namespace qvl
