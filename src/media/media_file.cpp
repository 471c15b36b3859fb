#include "media/media_file.h"

#include <system_error>

#include "base/error.h"
#include "base/file.h"

namespace qvl {
namespace {

// The size is looked at before a byte is read or set down.
Reservation charge_for(const std::filesystem::path& path, uint64_t max_bytes, MemoryHome memory) {
  std::error_code ignored;  // whatever is wrong with the file, read_file says it
  const auto size = std::filesystem::file_size(path, ignored);
  if (ignored) return {};
  const std::string name = printable(path.string(), 4096);
  if (size > max_bytes) fail(ErrorCode::limit, "{}: {} bytes, at most {} allowed", name, size, max_bytes);
  try {
    return memory.charge(size);
  } catch (const MemoryRefused& refused) {
    fail_short_of_memory("{}: {}", name, refused.what());
  }
}

}  // namespace

MediaFile::MediaFile(const std::filesystem::path& path, uint64_t max_bytes, MemoryHome memory)
    : charge_(charge_for(path, max_bytes, memory)), bytes_(read_file(path, max_bytes, ErrorCode::media)) {}

}  // namespace qvl
