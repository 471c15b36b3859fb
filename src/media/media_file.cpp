#include "media/media_file.h"

#include <system_error>

#include "base/error.h"
#include "base/file.h"

namespace qvl {

std::string read_media_file(const std::filesystem::path& path, uint64_t max_bytes) {
  std::error_code ignored;  // whatever is wrong with the file, read_file says it
  auto size = std::filesystem::file_size(path, ignored);
  if (!ignored && size > max_bytes) {
    fail(ErrorCode::limit, "{}: {} bytes, at most {} allowed", printable(path.string(), 4096), size,
         max_bytes);
  }
  return read_file(path, max_bytes, ErrorCode::media);
}

}  // namespace qvl
