// Reading a picture or a video from disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace qvl {

/// The bytes of a local regular file. Throws Error{limit} above `max_bytes`, Error{media} where it cannot be
/// read.
std::string read_media_file(const std::filesystem::path& path, uint64_t max_bytes);

}  // namespace qvl
