// Reads the one kind of .npy file that the golden values use. Knows nothing of other types or orders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace qvl::golden {

/// The values of a one-dimensional little-endian float32 array. Throws std::runtime_error naming the file:
/// not there, another type, order or shape, a length that is not the shape's.
std::vector<float> read_npy(const std::filesystem::path& path);
std::vector<float> parse_npy(std::string_view bytes, const std::string& name);

}  // namespace qvl::golden
