// The key-value part of a GGUF file: values stay in the file until they are asked for, with a type and a
// range.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "files/config_checks.h"

namespace qvl {

/// Value types, numbered as in the file.
enum class GgufType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
inline constexpr uint32_t gguf_type_count = 13;

/// Bytes of one value; nothing of strings and arrays, which is 0.
size_t gguf_type_size(GgufType type);

/// One value where it lies in the file.
struct GgufValue {
  GgufType type = GgufType::u8;  ///< of the value, or of the elements of an array
  bool is_array = false;
  uint64_t count = 1;                ///< elements of an array
  std::span<const std::byte> bytes;  ///< of a single string its text; of an array all elements as stored
};

/// Keys and values of one file. Every error is "FILE: KEY: what". Immutable once filled, thread-safe.
class GgufMetadata {
 public:
  explicit GgufMetadata(std::string file) : file_(std::move(file)) {}
  /// False where the key is taken.
  bool add(const std::string& key, const GgufValue& value) { return values_.try_emplace(key, value).second; }

  const std::string& file() const { return file_; }
  bool has(std::string_view key) const { return values_.find(key) != values_.end(); }

  int64_t integer(std::string_view key, const IntegerRange& range) const;  ///< any integer type
  double number(std::string_view key, double min, double max) const;       ///< f32 or f64
  bool boolean(std::string_view key) const;
  std::string string(std::string_view key) const;  ///< well-formed UTF-8

  /// Arrays of at most `max_count` elements.
  std::vector<int64_t> integers(std::string_view key, const IntegerRange& range, uint64_t max_count) const;
  std::vector<double> numbers(std::string_view key, uint64_t max_count) const;
  std::vector<bool> booleans(std::string_view key, uint64_t max_count) const;
  std::vector<std::string> strings(std::string_view key, uint64_t max_count) const;

  [[noreturn]] void refuse(std::string_view key, std::string_view what) const;

 private:
  const GgufValue& at(std::string_view key) const;
  const GgufValue& single(std::string_view key, std::string_view expected) const;
  const GgufValue& array(std::string_view key, uint64_t max_count, std::string_view expected) const;

  std::string file_;
  std::map<std::string, GgufValue, std::less<>> values_;
};

}  // namespace qvl
