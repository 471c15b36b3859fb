#include "profiler/baseline.h"

#include <algorithm>
#include <initializer_list>
#include <set>

#include "base/atomic_file.h"
#include "base/file.h"
#include "base/json.h"

namespace qvl {
namespace {

constexpr int64_t kFormat = 1;
constexpr uint64_t kMostBytes = 16 << 20;
constexpr size_t kMostSetup = 64;
constexpr size_t kMostMetrics = 256;
constexpr size_t kMostValues = 10'000;
constexpr size_t kMostTextBytes = 1024;

JsonSource source_of(const std::filesystem::path& path) {
  return {.name = path_name(path), .code = ErrorCode::usage, .max_depth = 5, .max_values = 3'000'000};
}

void refuse_unknown_keys(const JsonObject& object, std::initializer_list<std::string_view> known) {
  for (const auto& entry : object.json().items()) {
    if (std::find(known.begin(), known.end(), entry.key()) == known.end()) {
      object.refuse(entry.key(), "unknown field");
    }
  }
}

std::string read_text(const JsonObject& object, std::string_view key) {
  std::string text = object.string(key);
  if (text.empty() || text.size() > kMostTextBytes) {
    object.refuse(key, fmt::format("found {} bytes, expected 1 to {}", text.size(), kMostTextBytes));
  }
  return text;
}

const Json& read_array(const JsonObject& object, std::string_view key, size_t most) {
  const Json& array = object.at(key);
  if (!array.is_array()) object.refuse(key, "expected an array");
  if (array.empty() || array.size() > most) {
    object.refuse(key, fmt::format("found {} entries, expected 1 to {}", array.size(), most));
  }
  return array;
}

std::map<std::string, std::string> read_setup(const JsonObject& root) {
  const JsonObject object = root.object("setup");
  const size_t count = object.json().size();
  if (count > kMostSetup) {
    root.refuse("setup", fmt::format("found {} entries, expected at most {}", count, kMostSetup));
  }
  std::map<std::string, std::string> setup;
  for (const auto& entry : object.json().items()) setup.emplace(entry.key(), read_text(object, entry.key()));
  return setup;
}

Better read_better(const JsonObject& object) {
  const std::string text = object.string("better");
  if (text == "lower") return Better::lower;
  if (text == "higher") return Better::higher;
  object.refuse("better", fmt::format("found \"{}\", expected \"lower\" or \"higher\"", printable(text)));
}

Metric read_metric(const JsonObject& object) {
  refuse_unknown_keys(object, {"name", "unit", "better", "values"});
  Metric metric{.name = read_text(object, "name"),
                .unit = read_text(object, "unit"),
                .better = read_better(object),
                .values = {}};
  for (const Json& value : read_array(object, "values", kMostValues)) {
    const double number = value.is_number() ? value.get<double>() : 0;
    if (!is_measurement(number)) {
      object.refuse("values",
                    fmt::format("entry {}: expected a number from 1e-100 to 1e100", metric.values.size()));
    }
    metric.values.push_back(number);
  }
  return metric;
}

Baseline read_baseline(const Json& document, const JsonSource& source) {
  const JsonObject root(document, source);
  refuse_unknown_keys(root, {"format", "hardware", "program", "setup", "metrics"});
  root.integer("format", kFormat, kFormat);
  Baseline out{.hardware = read_text(root, "hardware"),
               .program = read_text(root, "program"),
               .setup = read_setup(root),
               .metrics = {}};
  std::set<std::string> names;
  for (const Json& entry : read_array(root, "metrics", kMostMetrics)) {
    const JsonObject object(entry, source, fmt::format("metrics.{}", out.metrics.size()));
    out.metrics.push_back(read_metric(object));
    if (!names.insert(out.metrics.back().name).second) object.refuse("name", "appears twice");
  }
  return out;
}

OrderedJson to_json(const Baseline& baseline) {
  OrderedJson metrics = OrderedJson::array();
  for (const Metric& metric : baseline.metrics) {
    metrics.push_back({{"name", metric.name},
                       {"unit", metric.unit},
                       {"better", metric.better == Better::lower ? "lower" : "higher"},
                       {"values", metric.values}});
  }
  return {{"format", kFormat},
          {"hardware", baseline.hardware},
          {"program", baseline.program},
          {"setup", baseline.setup},
          {"metrics", std::move(metrics)}};
}

}  // namespace

void save_baseline(const std::filesystem::path& path, const Baseline& baseline) {
  const std::string text =
      to_json(baseline).dump(1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
  const JsonSource source = source_of(path);
  read_baseline(parse_json(text, source), source);  // refuses what could not be read again
  AtomicFile file(path, ErrorCode::environment);
  file.write(text);
  file.commit();
}

std::optional<Baseline> load_baseline(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return std::nullopt;
  const JsonSource source = source_of(path);
  return read_baseline(parse_json(read_file(path, kMostBytes, ErrorCode::usage), source), source);
}

}  // namespace qvl
