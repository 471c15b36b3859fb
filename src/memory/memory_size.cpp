#include "memory/memory_size.h"

#include <algorithm>
#include <charconv>
#include <cmath>
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
  if (parsed.ec != std::errc() || !std::isfinite(value)) return std::nullopt;
  return value;
}

// Any number of bytes up to 2^63; more than there can be is no amount.
std::optional<uint64_t> whole_bytes_of(double bytes) {
  if (!(bytes < 9223372036854775808.0)) return std::nullopt;
  return static_cast<uint64_t>(bytes);
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
    return number ? whole_bytes_of(*number * static_cast<double>(unit.bytes)) : std::nullopt;
  }
  int64_t bytes = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), bytes);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || bytes < 0) return std::nullopt;
  return static_cast<uint64_t>(bytes);
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
