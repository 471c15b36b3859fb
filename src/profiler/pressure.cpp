#include "profiler/pressure.h"

#include <string>

#include "profiler/fields.h"

namespace qvl {
namespace {

std::optional<double> percent(std::string_view word, std::string_view key) {
  if (!word.starts_with(key)) return std::nullopt;
  const auto value = parse_decimal(word.substr(key.size()));
  return value && *value >= 0 && *value <= 100 ? value : std::nullopt;
}

// "avg10=0.00 avg60=0.00 avg300=0.00 total=0"
std::optional<Stall> parse_stall(std::string_view words) {
  const auto avg10 = percent(take_word(words), "avg10=");
  const auto avg60 = percent(take_word(words), "avg60=");
  take_word(words);
  constexpr std::string_view kTotal = "total=";
  const std::string_view last = take_word(words);
  const auto total = last.starts_with(kTotal) ? parse_counter(last.substr(kTotal.size())) : std::nullopt;
  if (!avg10 || !avg60 || !total) return std::nullopt;
  return Stall{.avg10 = *avg10, .avg60 = *avg60, .total_us = *total};
}

std::optional<Pressure> read_pressure(const SystemFiles& files, const std::string& path) {
  const auto text = files.read(path);
  if (!text) return std::nullopt;
  Pressure out;
  for (std::string_view rest = *text; !rest.empty();) {
    std::string_view line = take_line(rest);
    const std::string_view kind = take_word(line);
    if (kind == "some") out.some = parse_stall(line);
    if (kind == "full") out.full = parse_stall(line);
  }
  return out.some || out.full ? std::optional(out) : std::nullopt;
}

PressureSet read_set(const SystemFiles& files, const std::string& before, const std::string& after) {
  return {.cpu = read_pressure(files, before + "cpu" + after),
          .memory = read_pressure(files, before + "memory" + after),
          .io = read_pressure(files, before + "io" + after)};
}

}  // namespace

PressureSet read_machine_pressure(const SystemFiles& files) { return read_set(files, "/proc/pressure/", ""); }

PressureSet read_own_pressure(const SystemFiles& files) {
  for (const Cgroup& group : enclosing_cgroups(files, "memory")) {
    if (group.version == Cgroup::Version::v2) return read_set(files, group.folder + "/", ".pressure");
  }
  return {};
}

}  // namespace qvl
