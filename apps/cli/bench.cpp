// qvl bench: how fast a checkpoint is on this machine.
#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include "activity.h"
#include "answer_report.h"
#include "bench_report.h"
#include "commands.h"
#include "file_descriptor.h"
#include "options.h"
#include "output.h"
#include "qvl/benchmark.h"
#include "qvl/benchmark_baseline.h"

namespace qvl::cli {
namespace {

struct BenchArgs {
  ModelArgs model;
  BenchmarkOptions options;
  std::optional<int64_t> level = {};
  std::optional<int64_t> repeat = {};
  std::string starts_folder = {};                     // empty: none
  std::string save_baseline = {}, compare_with = {};  // names; empty: none
  const CLI::Option* image_sizes = nullptr;
  bool json = false;
};

// Where a first and a second start were asked for: why one of them did not happen.
void explain_starts(const BenchArgs& args, Starts& starts) {
  if (starts.as_stored) {
    starts.why_no_packing = starts.why_no_mapping = "the weights are computed as stored";
  } else if (!starts.packing) {
    starts.why_no_packing = "the packed weights were in " + args.starts_folder + " before";
  } else if (!starts.mapping) {
    starts.why_no_mapping = "the packed weights were not kept: less than 64 MiB, or no room for them";
  }
}

BenchmarkReport measure(const Model& model, const BenchmarkOptions& options, const Listeners& listeners) {
  try {
    return benchmark(model, options, listeners);
  } catch (const Error& error) {
    throw with_option_name(error, {"image_sizes", "prompt_tokens", "decode_tokens", "streams", "repeat"});
  }
}

// A regression is neither success nor one of the errors.
constexpr int kSlowerExit = 1;
constexpr int64_t kBaselineRuns = 12;

BaselinePlace place_of(const BenchArgs& args, const LoadOptions& load) {
  return {.name = args.save_baseline.empty() ? args.compare_with : args.save_baseline,
          .cache_folder = load.cache_folder,
          .program = "qvl " QVL_VERSION};
}

// A small model is not kept there, and would not notice.
void check_starts_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const FileDescriptor file(error ? -1 : ::open(folder.c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600));
  if (file.get() >= 0) return;
  throw Error(ErrorCode::environment, "--starts: " + folder + ": cannot keep files there: " +
                                          (error ? error.message() : std::strerror(errno)));
}

// Why none of the pictures that nobody asked for by name are measured; empty: they are.
std::string why_no_pictures(const BenchArgs& args, const Model& model) {
  if (model.has_vision() || !args.image_sizes->empty()) return "";
  return "pictures are not measured: there is no vision file";
}

BenchmarkOptions benchmark_options(const BenchArgs& args, const Model& model) {
  BenchmarkOptions options = args.options;
  if (!why_no_pictures(args, model).empty()) options.image_sizes.clear();
  const bool baseline = !args.save_baseline.empty() || !args.compare_with.empty();
  options.repeat = args.repeat.value_or(baseline ? kBaselineRuns : options.repeat);
  return options;
}

// Before minutes of measuring are spent in vain.
void check_baseline(const BenchArgs& args, const BaselinePlace& place, const Model& model,
                    const BenchmarkOptions& options) {
  try {
    if (!args.save_baseline.empty()) check_can_save(place, options);
    if (!args.compare_with.empty()) check_can_compare(place, model, options);
  } catch (const Error& error) {
    throw with_option_name(error, {"repeat"});
  }
}

int bench(const BenchArgs& args) {
  check_trace(args.model, {});
  Activity activity;
  LoadOptions load = args.model.load_options();
  if (args.level) load.system.optimization_level = *args.level;
  Listeners listeners = activity.listeners();
  // One JSON object and nothing else, even for those who read both streams as one.
  if (args.json) listeners.progress = {};
  load.progress = listeners.progress;
  Starts starts;
  if (!args.starts_folder.empty()) {
    check_starts_folder(args.starts_folder);
    load.cache_folder = args.starts_folder;
    starts.add(load_model(load));
  }
  const Model model = load_model(load);
  starts.add(model);
  if (!args.starts_folder.empty()) explain_starts(args, starts);
  const std::string no_pictures = why_no_pictures(args, model);
  if (!args.json) {
    print_warnings(model);
    if (!no_pictures.empty()) print_error("warning: " + no_pictures);
  }
  const BenchmarkOptions options = benchmark_options(args, model);
  const BaselinePlace place = place_of(args, load);
  check_baseline(args, place, model, options);
  const BenchmarkReport report = measure(model, options, listeners);
  if (!args.json && !report.why_no_reads.empty()) print_error("warning: " + report.why_no_reads);
  std::optional<BenchmarkComparison> comparison;
  if (!args.compare_with.empty()) comparison = compare_with_baseline(place, model, options, report);
  if (args.json) {
    Json json = report_json(report, model, starts);
    if (!no_pictures.empty()) json["warnings"].push_back(no_pictures);
    if (comparison) json["comparison"] = comparison_json(*comparison, place.name);
    print(to_line(json));
  } else {
    print(report_text(report, model, starts) +
          (comparison ? comparison_text(*comparison, place.name, report) : ""));
  }
  if (!args.save_baseline.empty()) save_baseline(place, model, options, report);
  write_trace(args.model, model);
  return comparison && comparison->regression ? kSlowerExit : 0;
}

const CLI::Option* add_integers(CLI::App& command, const std::string& name, std::vector<int64_t>& target,
                                const std::string& description) {
  return command
      .add_option_function<std::string>(
          name,
          [name, &target](const std::string& text) {
            target.clear();
            try {
              for (int32_t value : parse_list(name, text, "whole numbers, like 8,16"))
                target.push_back(value);
            } catch (const Error& error) {
              throw CLI::ValidationError(std::string(error.what()));
            }
          },
          description)
      ->type_name("N,N");
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  auto args = std::make_shared<BenchArgs>();
  CLI::App& command = *app.add_subcommand(
      "bench", "Measures encoding, prefill, decoding, starts and memory on random pictures and tokens.");
  add_model(command, args->model);
  add_trace(command, args->model);
  args->image_sizes =
      add_integers(command, "--image-sizes", args->options.image_sizes, "sides of square pictures");
  add_integer(command, "--prompt-tokens", args->options.prompt_tokens, {1, 1 << 20, "prompt to prefill"});
  add_integer(command, "--decode-tokens", args->options.decode_tokens, {1, 1 << 20, "tokens to decode"});
  add_integers(command, "--streams", args->options.streams, "sequences decoded together");
  add_integer(command, "--level", args->level,
              {0, 3,
               "preset: 0 one thread, scalar, float32; 1 all threads, best kernels, float32; 2 8 bits; 3 "
               "4-bit decoder weights"});
  add_integer(command, "--repeat", args->repeat, {1, 1000, "counted runs of each; medians are shown"});
  add_name(command, "--save-baseline", args->save_baseline, "NAME",
           "keep the results under this name in the cache folder");
  add_name(command, "--compare", args->compare_with, "NAME",
           "say whether this is slower than what was kept; exit code 1 where it is")
      ->excludes("--save-baseline");
  add_name(command, "--starts", args->starts_folder, "FOLDER",
           "also measure a first start that packs into this folder, and a second one from it");
  command.add_flag("--json", args->json, "print one JSON object");
  add_example(command, "qvl bench --model models/shapes --image-sizes 128 --prompt-tokens 64");
  command.callback([args, &action] { action = [args] { return bench(*args); }; });
}

}  // namespace qvl::cli
