// Values that a machine may not tell, as JSON.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"

namespace qvl::system {

template <typename Value>
OrderedJson or_null(const std::optional<Value>& value) {
  return value ? OrderedJson(*value) : OrderedJson();
}

inline OrderedJson text_or_null(const std::string& text) {
  return text.empty() ? OrderedJson() : OrderedJson(text);
}

/// `bytes` in units of `unit` bytes.
inline OrderedJson in_units(std::optional<uint64_t> bytes, double unit) {
  return bytes ? OrderedJson(static_cast<double>(*bytes) / unit) : OrderedJson();
}

inline constexpr double kMebibyte = 1 << 20;
inline constexpr double kGibibyte = 1 << 30;

}  // namespace qvl::system
