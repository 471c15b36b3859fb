#include "files/gguf_metadata.h"

#include <array>
#include <bit>
#include <optional>

#include "base/error.h"
#include "files/byte_cursor.h"

namespace qvl {
namespace {

struct TypeRow {
  std::string_view name;
  size_t size;
};

constexpr std::array<TypeRow, gguf_type_count> type_table = {{{"u8", 1},
                                                              {"i8", 1},
                                                              {"u16", 2},
                                                              {"i16", 2},
                                                              {"u32", 4},
                                                              {"i32", 4},
                                                              {"f32", 4},
                                                              {"bool", 1},
                                                              {"string", 0},
                                                              {"array", 0},
                                                              {"u64", 8},
                                                              {"i64", 8},
                                                              {"f64", 8}}};

std::string kind_of(const GgufValue& value) {
  std::string_view name = type_table[static_cast<size_t>(value.type)].name;
  return value.is_array ? fmt::format("an array of {} {}", value.count, name) : std::string(name);
}

// The integer in `bytes`, or nothing where the type is another or the value passes 63 bits.
std::optional<int64_t> to_integer(GgufType type, std::span<const std::byte> bytes) {
  uint64_t bits = little_endian(bytes);
  switch (type) {
    case GgufType::u8:
    case GgufType::u16:
    case GgufType::u32:
      return static_cast<int64_t>(bits);
    case GgufType::i8:
      return static_cast<int8_t>(bits);
    case GgufType::i16:
      return static_cast<int16_t>(bits);
    case GgufType::i32:
      return static_cast<int32_t>(bits);
    case GgufType::i64:
      return static_cast<int64_t>(bits);
    case GgufType::u64:
      if (bits > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
      return static_cast<int64_t>(bits);
    default:
      return std::nullopt;
  }
}

std::optional<double> to_number(GgufType type, std::span<const std::byte> bytes) {
  uint64_t bits = little_endian(bytes);
  if (type == GgufType::f32) return std::bit_cast<float>(static_cast<uint32_t>(bits));
  if (type == GgufType::f64) return std::bit_cast<double>(bits);
  return std::nullopt;
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

size_t gguf_type_size(GgufType type) { return type_table[static_cast<size_t>(type)].size; }

int64_t GgufMetadata::integer(std::string_view key, const IntegerRange& range) const {
  std::string expected = fmt::format("an integer from {} to {}", range.min, range.max);
  const GgufValue& value = single(key, expected);
  auto number = to_integer(value.type, value.bytes);
  if (!number) refuse(key, fmt::format("found {}, expected {}", kind_of(value), expected));
  if (*number < range.min || *number > range.max)
    refuse(key, fmt::format("found {}, expected {}", *number, expected));
  return *number;
}

double GgufMetadata::number(std::string_view key, double min, double max) const {
  std::string expected = fmt::format("a number from {:g} to {:g}", min, max);
  const GgufValue& value = single(key, expected);
  auto number = to_number(value.type, value.bytes);
  if (!number) refuse(key, fmt::format("found {}, expected {}", kind_of(value), expected));
  if (!(*number >= min && *number <= max))
    refuse(key, fmt::format("found {:g}, expected {}", *number, expected));
  return *number;
}

bool GgufMetadata::boolean(std::string_view key) const {
  const GgufValue& value = single(key, "a bool");
  if (value.type != GgufType::boolean) refuse(key, fmt::format("found {}, expected a bool", kind_of(value)));
  return little_endian(value.bytes) != 0;
}

std::string GgufMetadata::string(std::string_view key) const {
  const GgufValue& value = single(key, "a string");
  if (value.type != GgufType::string) refuse(key, fmt::format("found {}, expected a string", kind_of(value)));
  if (!is_utf8(text_of(value.bytes))) refuse(key, "is no well-formed UTF-8");
  return std::string(text_of(value.bytes));
}

std::vector<int64_t> GgufMetadata::integers(std::string_view key, const IntegerRange& range,
                                            uint64_t max_count) const {
  const GgufValue& value = array(key, max_count, "integers");
  size_t size = gguf_type_size(value.type);
  std::vector<int64_t> result;
  result.reserve(value.count);
  for (uint64_t i = 0; i < value.count; ++i) {
    auto number = to_integer(value.type, value.bytes.subspan(i * size, size));
    if (!number || *number < range.min || *number > range.max) {
      refuse(key, fmt::format("element {} of {}: expected an integer from {} to {}", i, kind_of(value),
                              range.min, range.max));
    }
    result.push_back(*number);
  }
  return result;
}

std::vector<double> GgufMetadata::numbers(std::string_view key, uint64_t max_count) const {
  const GgufValue& value = array(key, max_count, "numbers");
  size_t size = gguf_type_size(value.type);
  std::vector<double> result;
  for (uint64_t i = 0; i < value.count; ++i) {
    auto number = to_number(value.type, value.bytes.subspan(i * size, size));
    if (!number) refuse(key, fmt::format("found {}, expected f32", kind_of(value)));
    result.push_back(*number);
  }
  return result;
}

std::vector<bool> GgufMetadata::booleans(std::string_view key, uint64_t max_count) const {
  const GgufValue& value = array(key, max_count, "bool");
  if (value.type != GgufType::boolean) refuse(key, fmt::format("found {}, expected bool", kind_of(value)));
  std::vector<bool> result;
  for (std::byte element : value.bytes) result.push_back(element != std::byte{0});
  return result;
}

std::vector<std::string> GgufMetadata::strings(std::string_view key, uint64_t max_count) const {
  const GgufValue& value = array(key, max_count, "strings");
  if (value.type != GgufType::string) refuse(key, fmt::format("found {}, expected strings", kind_of(value)));
  std::vector<std::string> result;
  result.reserve(value.count);
  ByteCursor cursor(value.bytes, file_);
  for (uint64_t i = 0; i < value.count; ++i) {
    std::string_view text = cursor.string(value.bytes.size(), key);
    if (!is_utf8(text)) refuse(key, fmt::format("element {} is no well-formed UTF-8", i));
    result.emplace_back(text);
  }
  return result;
}

void GgufMetadata::refuse(std::string_view key, std::string_view what) const {
  fail(ErrorCode::model_file, "{}: {}: {}", file_, key, what);
}

const GgufValue& GgufMetadata::at(std::string_view key) const {
  auto found = values_.find(key);
  if (found == values_.end()) refuse(key, "missing");
  return found->second;
}

const GgufValue& GgufMetadata::single(std::string_view key, std::string_view expected) const {
  const GgufValue& value = at(key);
  if (value.is_array) refuse(key, fmt::format("found {}, expected {}", kind_of(value), expected));
  return value;
}

const GgufValue& GgufMetadata::array(std::string_view key, uint64_t max_count,
                                     std::string_view expected) const {
  const GgufValue& value = at(key);
  if (!value.is_array)
    refuse(key, fmt::format("found {}, expected an array of {}", kind_of(value), expected));
  if (value.count > max_count) {
    refuse(key, fmt::format("found {}, at most {} elements allowed", kind_of(value), max_count));
  }
  return value;
}

}  // namespace qvl
