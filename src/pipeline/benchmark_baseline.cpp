// Benchmarks as baselines: the profiler's files and comparison, under names in the cache folder.
#include "qvl/benchmark_baseline.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "optimizer/hardware_facts.h"
#include "pipeline/load_plan.h"
#include "pipeline/runtime.h"
#include "profiler/baseline.h"
#include "profiler/comparison.h"

namespace qvl {
namespace {

static_assert(kLeastBaselineRuns == kLeastPairs);

constexpr size_t kMostNameBytes = 64;
constexpr std::string_view kReads = "machine_read", kOperations = "machine_int8";

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Names are parts of paths: nothing that leaves the folder.
void check_name(const std::string& name) {
  const auto allowed = [](char c) { return is_letter_or_digit(c) || c == '.' || c == '-' || c == '_'; };
  if (!name.empty() && name.size() <= kMostNameBytes && is_letter_or_digit(name.front()) &&
      std::all_of(name.begin(), name.end(), allowed)) {
    return;
  }
  fail(ErrorCode::usage,
       "baseline: found \"{}\", expected 1 to {} letters, digits, \".\", \"-\" and \"_\", the first a letter "
       "or a digit",
       printable(name.substr(0, 2 * kMostNameBytes)), kMostNameBytes);
}

std::filesystem::path path_of(const BaselinePlace& place) {
  check_name(place.name);
  const auto folder = cache_folder({.cache_folder = place.cache_folder});
  if (folder.empty()) {
    fail(ErrorCode::usage, "baseline: they are kept in the cache folder, and there is none");
  }
  return folder / "baselines" / (place.name + ".json");
}

// What must be alike for figures to be comparable.
std::map<std::string, std::string> setup_of(const Model& model, const BenchmarkOptions& options) {
  const detail::Runtime& runtime = model.runtime();
  const ModelForms& forms = runtime.network.forms();
  const TextConfig& text = runtime.files.config.text;
  const auto numbers = [](const std::vector<int64_t>& list) {
    return list.empty() ? "none" : fmt::format("{}", fmt::join(list, ","));
  };
  return {{"checkpoint", fmt::format("{} layers of {}, {} tokens, {} bytes", text.num_hidden_layers,
                                     text.hidden_size, text.vocab_size, runtime.facts.file_bytes)},
          {"weights", std::string(name_of(forms.text))},
          {"vision-weights", std::string(name_of(forms.vision))},
          {"kv", std::string(name_of(forms.kv))},
          {"isa", std::string(name_of(forms.isa))},
          {"threads", std::to_string(model.threads())},
          {"image-sizes", numbers(options.image_sizes)},
          {"prompt-tokens", std::to_string(options.prompt_tokens)},
          {"decode-tokens", std::to_string(options.decode_tokens)},
          {"streams", numbers(options.streams)},
          {"repeat", std::to_string(options.repeat)}};
}

Baseline baseline_of(const BaselinePlace& place, const Model& model, const BenchmarkOptions& options,
                     const BenchmarkReport& report) {
  Baseline out{.hardware = fingerprint(read_hardware(SystemFiles())),
               .program = place.program,
               .setup = setup_of(model, options)};
  const auto add = [&](std::string name, std::string unit, Better better, std::vector<double> values) {
    out.metrics.push_back(
        {.name = std::move(name), .unit = std::move(unit), .better = better, .values = std::move(values)});
  };
  add(fmt::format("prefill_{}", report.prompt_tokens), "tok/s", Better::higher,
      report.prefill_tokens_per_s.values);
  for (const DecodeResult& decode : report.decode) {
    add(fmt::format("decode_{}", decode.streams), "tok/s", Better::higher, decode.tokens_per_s.values);
  }
  for (const EncodeResult& encode : report.encode) {
    add(fmt::format("encode_{}", encode.size), "s", Better::lower, encode.seconds.values);
  }
  // One value each: shown, never judged.
  if (report.peaks.read_gb_s) add(std::string(kReads), "GB/s", Better::higher, {*report.peaks.read_gb_s});
  add(std::string(kOperations), "GOP/s", Better::higher, {report.peaks.int8_gop_s});
  return out;
}

void check_setup(const std::string& name, const std::map<std::string, std::string>& before,
                 const std::map<std::string, std::string>& now) {
  for (const auto& [key, value] : now) {
    const auto found = before.find(key);
    if (found == before.end() || found->second != value) {
      fail(ErrorCode::usage, "baseline {}: {}: it was measured with {}, now with {}", name, key,
           found == before.end() ? "none" : printable(found->second), value);
    }
  }
}

Baseline load_comparable(const BaselinePlace& place, const Model& model, const BenchmarkOptions& options) {
  const auto path = path_of(place);
  auto stored = load_baseline(path);
  if (!stored) fail(ErrorCode::usage, "baseline {}: there is no {}", place.name, path_name(path));
  const std::string hardware = fingerprint(read_hardware(SystemFiles()));
  if (stored->hardware != hardware) {
    fail(ErrorCode::usage, "baseline {}: it is of another machine: {}; this one is {}", place.name,
         printable(stored->hardware), hardware);
  }
  check_setup(place.name, stored->setup, setup_of(model, options));
  return std::move(*stored);
}

std::optional<double> only_value(const Baseline& baseline, std::string_view name) {
  for (const Metric& metric : baseline.metrics) {
    if (metric.name == name) return metric.values.front();
  }
  return std::nullopt;
}

SpeedVerdict speed(Verdict verdict) {
  if (verdict == Verdict::faster) return SpeedVerdict::faster;
  return verdict == Verdict::slower ? SpeedVerdict::slower : SpeedVerdict::same;
}

void check_repeat(const BenchmarkOptions& options) {
  if (options.repeat >= kLeastBaselineRuns) return;
  fail(ErrorCode::usage, "repeat: found {}, expected at least {} for a baseline: fewer runs say nothing",
       options.repeat, kLeastBaselineRuns);
}

}  // namespace

void check_can_save(const BaselinePlace& place, const BenchmarkOptions& options) {
  const std::filesystem::path folder = path_of(place).parent_path();
  check_repeat(options);
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) {
    fail(ErrorCode::environment, "baseline: {}: cannot keep files there: {}", path_name(folder),
         failed.message());
  }
}

void check_can_compare(const BaselinePlace& place, const Model& model, const BenchmarkOptions& options) {
  check_repeat(options);
  load_comparable(place, model, options);
}

std::filesystem::path save_baseline(const BaselinePlace& place, const Model& model,
                                    const BenchmarkOptions& options, const BenchmarkReport& report) {
  check_can_save(place, options);
  const auto path = path_of(place);
  save_baseline(path, baseline_of(place, model, options, report));
  return path;
}

BenchmarkComparison compare_with_baseline(const BaselinePlace& place, const Model& model,
                                          const BenchmarkOptions& options, const BenchmarkReport& report) {
  const Baseline before = load_comparable(place, model, options);
  const Comparison comparison = compare(before, baseline_of(place, model, options, report));
  BenchmarkComparison out{.program_before = before.program,
                          .peaks_before = {.read_gb_s = only_value(before, kReads),
                                           .int8_gop_s = only_value(before, kOperations).value_or(0)},
                          .regression = comparison.regression};
  for (const MetricComparison& metric : comparison.metrics) {
    if (!metric.measured) continue;
    out.measurements.push_back({.name = metric.name,
                                .unit = metric.unit,
                                .before = metric.measured->before_median,
                                .now = metric.measured->after_median,
                                .ratio = metric.measured->ratio,
                                .ratio_least = metric.measured->ratio_least,
                                .ratio_most = metric.measured->ratio_most,
                                .verdict = speed(metric.verdict)});
  }
  return out;
}

}  // namespace qvl
