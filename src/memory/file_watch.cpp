#include "memory/file_watch.h"

#include <sys/stat.h>

#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace qvl {

FileWatch::FileWatch(FileDescriptor file, std::span<const std::byte> mapping, FaultGuard::Access access)
    : file_(std::move(file)), guard_(mapping, access), access_(access) {
  opened_ = now();
}

FileWatch::State FileWatch::now() const {
  struct stat info {};
  if (::fstat(file_.get(), &info) != 0) return {};
  State state{.size = static_cast<uint64_t>(info.st_size)};
  if (access_ == FaultGuard::Access::read) {
    state.modified_ns = int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
  }
  return state;
}

bool FileWatch::damaged() const { return file_ && (guard_.faulted() || now() != opened_); }

void FileWatch::check(const std::filesystem::path& path) const {
  if (!damaged()) return;
  const State found = now();
  if (found.size != opened_.size) {
    fail(ErrorCode::model_file, "{}: changed while in use: found {} bytes, expected {}", path_name(path),
         found.size, opened_.size);
  }
  if (found != opened_) {
    fail(ErrorCode::model_file, "{}: changed while in use: written to after it was opened", path_name(path));
  }
  fail(ErrorCode::model_file, "{}: changed while in use: some of its {} bytes could not be read",
       path_name(path), found.size);
}

}  // namespace qvl
