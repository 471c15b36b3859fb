#include "npy.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace qvl::golden {
namespace {

// NumPy writes exactly this for a one-dimensional float32 array, with the number of elements between the
// parts.
constexpr std::string_view header_begin = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
constexpr std::string_view header_end = ",), }";
constexpr std::string_view magic("\x93NUMPY\x01\x00", 8);

[[noreturn]] void refuse(const std::string& name, std::string_view what) {
  throw std::runtime_error(fmt::format("{}: {}", name, what));
}

}  // namespace

std::vector<float> parse_npy(std::string_view bytes, const std::string& name) {
  if (bytes.substr(0, magic.size()) != magic || bytes.size() < 10)
    refuse(name, "not a .npy file of version 1.0");
  const size_t header_size =
      static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
  std::string_view header = bytes.substr(10, header_size);
  if (!header.starts_with(header_begin)) refuse(name, "not a one-dimensional float32 array");
  header.remove_prefix(header_begin.size());
  size_t count = 0;
  const auto [end, error] = std::from_chars(header.data(), header.data() + header.size(), count);
  header.remove_prefix(static_cast<size_t>(end - header.data()));
  if (error != std::errc() || !header.starts_with(header_end))
    refuse(name, "not a one-dimensional float32 array");
  const std::string_view data = bytes.substr(10 + header_size);
  if (data.size() % sizeof(float) != 0 || data.size() / sizeof(float) != count) {
    refuse(name, fmt::format("found {} bytes of values, expected {} values", data.size(), count));
  }
  std::vector<float> values(count);
  if (count > 0) std::memcpy(values.data(), data.data(), data.size());
  return values;
}

std::vector<float> read_npy(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) refuse(path.string(), "cannot be read; tools/make_golden.py makes it");
  return parse_npy(std::string(std::istreambuf_iterator<char>(file), {}), path.string());
}

}  // namespace qvl::golden
