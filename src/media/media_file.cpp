#include "media/media_file.h"

#include <system_error>

#include "base/error.h"
#include "base/file.h"

namespace qvl {
namespace {

Reservation charge_for(std::string_view path, uint64_t bytes, uint64_t max_bytes, MemoryHome memory) {
  const std::string name = printable(path, 4096);
  if (bytes > max_bytes) fail(ErrorCode::limit, "{}: {} bytes, at most {} allowed", name, bytes, max_bytes);
  try {
    return memory.charge(bytes);
  } catch (const MemoryRefused& refused) {
    fail_short_of_memory("{}: {}", name, refused.what());
  }
}

// The size is looked at before a byte is read or set down.
Reservation charge_for(const std::filesystem::path& path, uint64_t max_bytes, MemoryHome memory) {
  std::error_code ignored;  // whatever is wrong with the file, read_file says it
  const auto size = std::filesystem::file_size(path, ignored);
  return ignored ? Reservation() : charge_for(path.string(), size, max_bytes, memory);
}

}  // namespace

MediaFile::MediaFile(const std::filesystem::path& path, uint64_t max_bytes, MemoryHome memory)
    : charge_(charge_for(path, max_bytes, memory)), bytes_(read_file(path, max_bytes, ErrorCode::media)) {}

MediaFile::MediaFile(const InMemory& source, uint64_t max_bytes, MemoryHome memory)
    : charge_(charge_for(source.name, source.file.size(), max_bytes, memory)),
      bytes_(reinterpret_cast<const char*>(source.file.data()), source.file.size()) {}

}  // namespace qvl
