#include "memory/memory_size.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "base/error.h"

namespace qvl {
namespace {

struct Unit {
  std::string_view name;
  uint64_t bytes;
};

constexpr Unit kUnits[] = {
    {"kB", 1000},
    {"MB", 1000 * 1000},
    {"GB", 1000 * 1000 * 1000},
    {"TB", uint64_t{1000} * 1000 * 1000 * 1000},
    {"KiB", uint64_t{1} << 10},
    {"MiB", uint64_t{1} << 20},
    {"GiB", uint64_t{1} << 30},
    {"TiB", uint64_t{1} << 40},
};

constexpr uint64_t kMostBytes = std::numeric_limits<int64_t>::max();

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "12" or "12.5": no sign, no exponent, a digit on both sides of the point.
std::optional<double> plain_number(std::string_view text) {
  const auto point = std::find(text.begin(), text.end(), '.');
  const bool whole = point == text.end();
  if (text.empty() || point == text.begin() || (!whole && point + 1 == text.end())) return std::nullopt;
  if (!std::all_of(text.begin(), point, is_digit)) return std::nullopt;
  if (!whole && !std::all_of(point + 1, text.end(), is_digit)) return std::nullopt;
  double value = 0;
  const auto parsed =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (parsed.ec == std::errc()) return value;
  // Only digits and a point: what is out of range is beyond all numbers or below them.
  const bool large = std::any_of(text.begin(), point, [](char c) { return c != '0'; });
  return large ? std::numeric_limits<double>::infinity() : 0;
}

// More than there can be is the most there can be.
uint64_t whole_bytes_of(double bytes) {
  return bytes < 9223372036854775808.0 ? static_cast<uint64_t>(bytes) : kMostBytes;
}

std::optional<uint64_t> parse_amount(std::string_view text, uint64_t whole_bytes) {
  if (text.ends_with('%')) {
    const auto percent = plain_number(text.substr(0, text.size() - 1));
    if (!percent || *percent > 100) return std::nullopt;
    return whole_bytes_of(static_cast<double>(whole_bytes) * *percent / 100);
  }
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.name)) continue;
    const auto number = plain_number(text.substr(0, text.size() - unit.name.size()));
    if (!number) return std::nullopt;
    return whole_bytes_of(*number * static_cast<double>(unit.bytes));
  }
  if (text.empty() || !std::all_of(text.begin(), text.end(), is_digit)) return std::nullopt;
  uint64_t bytes = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), bytes);
  return parsed.ec == std::errc() ? std::min(bytes, kMostBytes) : kMostBytes;
}

}  // namespace

uint64_t parse_memory_limit(std::string_view text, std::string_view option, uint64_t whole_bytes) {
  const auto bytes = parse_amount(text, whole_bytes);
  if (!bytes) {
    fail(ErrorCode::usage,
         "{}: found \"{}\", expected bytes such as 1073741824, a size such as 1.5GiB, 2GB or 512MiB, or a "
         "share such as 60%",
         option, printable(text));
  }
  if (*bytes < kLeastMemoryLimit) {
    fail(ErrorCode::usage, "{}: found \"{}\", expected at least {}", option, printable(text),
         format_bytes(kLeastMemoryLimit));
  }
  return *bytes;
}

std::string format_bytes(uint64_t bytes) {
  constexpr std::string_view units[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  // 1023.95 and more would be written as 1024.0.
  for (; value >= 1023.95 && unit + 1 < std::size(units); ++unit) value /= 1024;
  return fmt::format("{:.1f} {}", value, units[unit]);
}

}  // namespace qvl
