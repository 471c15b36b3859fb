#include "profiler/fields.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/checked.h"
#include "base/error.h"

namespace qvl {
namespace {

constexpr size_t kLabelBytes = 64;

template <typename Number>
std::optional<Number> parse_all(std::string_view word) {
  Number value{};
  const auto parsed = std::from_chars(word.data(), word.data() + word.size(), value);
  if (word.empty() || parsed.ec != std::errc() || parsed.ptr != word.data() + word.size())
    return std::nullopt;
  return value;
}

}  // namespace

std::string_view take_line(std::string_view& rest) {
  const size_t end = std::min(rest.find('\n'), rest.size());
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return line;
}

std::string_view take_word(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
  const size_t end = std::min(rest.find_first_of(" \t"), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(end);
  return word;
}

std::optional<uint64_t> parse_counter(std::string_view word) { return parse_all<uint64_t>(word); }

std::optional<double> parse_decimal(std::string_view word) {
  const auto value = parse_all<double>(word);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::optional<int> numbered(std::string_view text, std::string_view name) {
  if (!text.starts_with(name)) return std::nullopt;
  const auto number = parse_counter(text.substr(name.size()));
  if (!number || *number > static_cast<uint64_t>(std::numeric_limits<int>::max())) return std::nullopt;
  return static_cast<int>(*number);
}

std::optional<uint64_t> kilobyte_field(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    std::string_view line = take_line(text);
    if (!line.starts_with(key)) continue;
    line.remove_prefix(key.size());
    const auto kilobytes = parse_counter(take_word(line));
    return kilobytes ? checked_mul(*kilobytes, 1024) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<std::string> read_label(const SystemFiles& files, const std::string& path) {
  auto line = files.first_line(path);
  if (!line) return std::nullopt;
  line->erase(line->find_last_not_of(" \t\r") + 1);
  if (line->empty()) return std::nullopt;
  return printable(*line, kLabelBytes);
}

std::optional<double> read_scaled(const SystemFiles& files, const std::string& path, double scale,
                                  double least, double most) {
  const auto number = files.number(path);
  if (!number) return std::nullopt;
  const double value = static_cast<double>(*number) * scale;
  return value >= least && value <= most ? std::optional(value) : std::nullopt;
}

}  // namespace qvl
