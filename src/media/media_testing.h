// Shared by the tests of this folder: fixture files, made-up pictures, hashes, expected errors.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/json.h"
#include "media/image.h"

namespace qvl::testing {

inline std::filesystem::path fixture_path(std::string_view name) {
  return std::filesystem::path(QVL_SOURCE_DIR) / "tests" / "data" / "media" / name;
}

inline std::string fixture(std::string_view name) {
  return read_file(fixture_path(name), 1 << 20, ErrorCode::media);
}

inline Json golden_values() {
  auto path = std::filesystem::path(QVL_SOURCE_DIR) / "tests" / "golden" / "media.json";
  return parse_json(read_file(path, 1 << 20, ErrorCode::media), {.name = "media.json"});
}

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

inline uint64_t fnv1a(std::span<const std::byte> bytes) {
  uint64_t hash = 0xCBF29CE484222325;
  for (std::byte byte : bytes) hash = (hash ^ std::to_integer<uint64_t>(byte)) * 0x100000001B3;
  return hash;
}

/// As the golden values write it.
template <typename T>
std::string hash_text(std::span<const T> values) {
  return fmt::format("{:016x}", fnv1a(std::as_bytes(values)));
}

/// The generator of tools/make_resize_golden.py.
inline Image generated_image(Size size, uint32_t seed) {
  Image image{.width = size.width, .height = size.height, .rgb = {}};
  uint32_t state = seed;
  for (int64_t i = 0; i < size.width * size.height * 3; ++i) {
    state = state * 1664525u + 1013904223u;
    image.rgb.push_back(static_cast<uint8_t>(i % 3 != 0 ? state >> 24 : 255 * (state >> 31)));
  }
  return image;
}

/// A file name as the name of a parametrised test.
inline std::string test_name(std::string name) {
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

/// The error an action ends with, as "code: message", or "no error".
template <typename Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return fmt::format("{}: {}", static_cast<int>(error.code()), error.what());
  }
  return "no error";
}

}  // namespace qvl::testing
