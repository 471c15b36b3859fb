#include "pipeline/packed_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "memory/file_descriptor.h"
#include "ops/pack_cache.h"
#include "ops/source_record.h"
#include "pipeline/cache/disk_cache.h"
#include "pipeline/cache/model_caches.h"
#include "pipeline/load_plan.h"
#include "qvl/cache.h"

namespace qvl {
namespace {

constexpr std::string_view kSuffix = ".packed";
constexpr size_t kMostNameBytes = 80;  // of the checkpoint's in the file's
constexpr size_t kHashDigits = 16;

// Of the names of all files of one checkpoint.
std::string beginning(std::string_view checkpoint, uint64_t hash) {
  return fmt::format("{}-{:016x}-", checkpoint.substr(0, kMostNameBytes), hash);
}

// What stands behind the last dash of `text`, which ends before it afterwards. Empty where there is none.
std::string_view take_last(std::string_view& text) {
  const size_t dash = text.rfind('-');
  if (dash == std::string_view::npos) return {};
  const std::string_view last = text.substr(dash + 1);
  text = text.substr(0, dash);
  return last;
}

bool is_hash(std::string_view text) {
  return text.size() == kHashDigits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::chrono::system_clock::time_point time_of(const struct timespec& time) {
  using std::chrono::duration_cast;
  const auto since = std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  return std::chrono::system_clock::time_point(duration_cast<std::chrono::system_clock::duration>(since));
}

// To look into a file without using it. Who does not own the file may not ask for that.
FileDescriptor open_unused(const std::filesystem::path& path) {
  constexpr int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  FileDescriptor file(::open(path.c_str(), flags | O_NOATIME));
  if (!file && errno == EPERM) file = FileDescriptor(::open(path.c_str(), flags));
  return file;
}

// The file where it is one of ours. Links, pipes and files that only have the name are not.
std::optional<PackedFile> packed_file_at(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  if (!name.ends_with(kSuffix)) return std::nullopt;
  const FileDescriptor file = open_unused(path);
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0 || !is_packed_file(file.get())) return std::nullopt;
  return PackedFile{.name = name,
                    .checkpoint = checkpoint_in(name),
                    .bytes = static_cast<uint64_t>(info.st_size),
                    .last_used = time_of(info.st_atim)};
}

std::filesystem::path existing_cache_folder(const std::optional<std::filesystem::path>& asked) {
  const auto folder = cache_folder({.cache_folder = asked});
  if (folder.empty()) {
    fail(ErrorCode::environment, "no cache folder: neither XDG_CACHE_HOME nor HOME names one");
  }
  return folder;
}

KeptResults remove_results(const std::filesystem::path& folder, std::vector<std::string>& problems) {
  KeptResults removed;
  for (const StoredFile& file : stored_files(kept_features_folder(folder))) {
    std::error_code error;
    if (std::filesystem::remove(file.path, error)) {
      ++removed.files;
      removed.bytes += file.bytes;
    } else if (error) {
      problems.push_back(fmt::format("{}: cannot remove: {}", path_name(file.path), error.message()));
    }
  }
  return removed;
}

KeptResults results_in(const std::filesystem::path& folder) {
  KeptResults results;
  for (const StoredFile& file : stored_files(kept_features_folder(folder))) {
    ++results.files;
    results.bytes += file.bytes;
  }
  return results;
}

}  // namespace

std::string packed_file_name(std::string_view checkpoint, uint64_t hash, const ModelForms& forms) {
  return fmt::format("{}{}-{}-{}{}", beginning(checkpoint, hash), name_of(forms.text), name_of(forms.vision),
                     name_of(many_rows_form(forms.isa)), kSuffix);
}

uint64_t packed_bytes_of(const std::filesystem::path& folder, std::string_view checkpoint, uint64_t hash) {
  uint64_t bytes = 0;
  const std::string begins = beginning(checkpoint, hash);
  std::error_code missing;
  for (const std::string& name : names_in(folder, missing)) {
    if (!name.starts_with(begins) || !name.ends_with(kSuffix)) continue;
    std::error_code gone;
    const std::filesystem::path path = folder / name;
    const uint64_t size =
        std::filesystem::is_regular_file(path, gone) ? std::filesystem::file_size(path, gone) : 0;
    if (!gone) bytes += size;
  }
  return bytes;
}

std::optional<std::string> checkpoint_in(std::string_view file_name) {
  if (!file_name.ends_with(kSuffix)) return std::nullopt;
  std::string_view rest = file_name.substr(0, file_name.size() - kSuffix.size());
  for (int form = 0; form < 3; ++form) {
    if (take_last(rest).empty()) return std::nullopt;
  }
  if (!is_hash(take_last(rest)) || rest.empty()) return std::nullopt;
  return std::string(rest);
}

CacheContents read_cache(const std::optional<std::filesystem::path>& folder) {
  CacheContents contents{.folder = existing_cache_folder(folder)};
  std::error_code error;
  const std::vector<std::string> names = names_in(contents.folder, error);
  if (error == std::errc::no_such_file_or_directory) return contents;
  if (error) {
    fail(ErrorCode::environment, "{}: cannot read the folder: {}", path_name(contents.folder),
         error.message());
  }
  for (const std::string& name : names) {
    if (auto file = packed_file_at(contents.folder / name)) contents.files.push_back(std::move(*file));
  }
  contents.results = results_in(contents.folder);
  return contents;
}

CacheRemoval clear_cache(const std::optional<std::filesystem::path>& folder) {
  CacheContents found = read_cache(folder);
  CacheRemoval removal{.removed = {.folder = found.folder}};
  for (PackedFile& file : found.files) {
    const auto path = found.folder / file.name;
    if (::unlink(path.c_str()) == 0) {
      forget_contents(path);
      removal.removed.files.push_back(std::move(file));
    } else if (errno != ENOENT) {  // somebody else was faster
      removal.problems.push_back(fmt::format("{}: cannot remove: {}", path_name(path), std::strerror(errno)));
    }
  }
  removal.removed.results = remove_results(found.folder, removal.problems);
  return removal;
}

}  // namespace qvl
