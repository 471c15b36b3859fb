// qvl bench: how fast a checkpoint is on this machine.
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <string>

#include "activity.h"
#include "answer_report.h"
#include "commands.h"
#include "options.h"
#include "output.h"
#include "qvl/benchmark.h"

namespace qvl::cli {
namespace {

struct BenchArgs {
  ModelArgs model;
  BenchmarkOptions options;
  int64_t level = -1;
  std::string cold_folder;
  bool json = false;
};

// The plain baseline and the steps above it.
void apply_level(int64_t level, LoadOptions& load) {
  if (level < 0) return;
  load.weights = load.vision_weights = WeightPrecision::f32;
  load.kv = KvPrecision::f32;
  if (level == 0) {
    load.threads = 1;
    load.isa = "scalar";
  }
  if (level >= 2) {
    load.weights = WeightPrecision::q8;
    load.vision_weights = WeightPrecision::q8;
    load.kv = KvPrecision::bits16;
  }
  if (level == 3) load.weights = load.vision_weights = WeightPrecision::automatic;
}

double rounded(double value, int decimals) {
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed, decimals).ptr;
  double back = 0;
  std::from_chars(buffer, end, back);
  return back;
}

double peak_rss_gb() {
  struct rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1e6;  // Linux counts in KiB; "GB" as its tools print it
}

struct Starts {
  double cold_s = 0, warm_s = 0;  // 0: not measured
};

Json spread_json(const Spread& spread, int decimals) {
  return {{"median", rounded(spread.median, decimals)},
          {"least", rounded(spread.least, decimals)},
          {"most", rounded(spread.most, decimals)}};
}

std::string decode_key(int64_t streams) {
  return streams == 1 ? "decode_tok_s" : "decode_" + std::to_string(streams) + "_streams_tok_s";
}

Json report_json(const BenchmarkReport& report, const Model& model, const Starts& starts) {
  Json json = {{"isa", model.isa()}, {"threads", model.threads()}};
  Json spreads;
  for (const EncodeResult& encode : report.encode) {
    const std::string key = "encode_" + std::to_string(encode.size) + "_s";
    json[key] = rounded(encode.seconds.median, 4);
    spreads[key] = spread_json(encode.seconds, 4);
    json["encode_" + std::to_string(encode.size) + "_gop_s"] = rounded(encode.gop / encode.seconds.median, 1);
  }
  const std::string prefill = "prefill_" + std::to_string(report.prompt_tokens) + "_tok_s";
  json[prefill] = rounded(report.prefill_tokens_per_s.median, 2);
  spreads[prefill] = spread_json(report.prefill_tokens_per_s, 2);
  json["prefill_gop_s"] = rounded(report.prefill_tokens_per_s.median * report.prefill_gop_per_token, 1);
  for (const DecodeResult& decode : report.decode) {
    json[decode_key(decode.streams)] = rounded(decode.tokens_per_s.median, 2);
    spreads[decode_key(decode.streams)] = spread_json(decode.tokens_per_s, 2);
    if (decode.streams == 1) {
      json["decode_gb_s"] = rounded(decode.tokens_per_s.median * report.weight_bytes_per_step / 1e9, 2);
    }
  }
  if (report.first_token_size > 0) {
    json["first_token_" + std::to_string(report.first_token_size) + "_s"] = rounded(report.first_token_s, 4);
  }
  json["peak_rss_gb"] = rounded(peak_rss_gb(), 3);
  if (starts.cold_s > 0) json["start_cold_s"] = rounded(starts.cold_s, 3);
  if (starts.warm_s > 0) json["start_warm_s"] = rounded(starts.warm_s, 3);
  json["machine_read_gb_s"] = rounded(report.peaks.read_gb_s, 2);
  json["machine_int8_gop_s"] = rounded(report.peaks.int8_gop_s, 1);
  json["spreads"] = spreads;
  return json;
}

std::string shown(double value, int decimals) {
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed, decimals).ptr;
  return {buffer, end};
}

std::string line(const std::string& name, const std::string& value, const std::string& remark) {
  std::string padded = name + std::string(name.size() < 28 ? 28 - name.size() : 1, ' ') + value;
  if (!remark.empty()) padded += std::string(padded.size() < 44 ? 44 - padded.size() : 1, ' ') + remark;
  return padded + "\n";
}

std::string share(double part, double whole) {
  return whole > 0 ? shown(100 * part / whole, 0) + " % of the machine's peak" : "";
}

void print_report(const BenchmarkReport& report, const Model& model, const Starts& starts) {
  const double gops = report.peaks.int8_gop_s;
  print(line("kernels", std::string(model.isa()) + ", " + std::to_string(model.threads()) + " threads",
             "peaks: " + shown(report.peaks.read_gb_s, 1) + " GB/s, " + shown(gops, 0) + " GOP/s in 8 bits"));
  for (const EncodeResult& encode : report.encode) {
    const double rate = encode.gop / encode.seconds.median;
    print(line("encode " + std::to_string(encode.size) + " x " + std::to_string(encode.size),
               shown(encode.seconds.median, 2) + " s", shown(rate, 0) + " GOP/s, " + share(rate, gops)));
  }
  const double rate = report.prefill_tokens_per_s.median * report.prefill_gop_per_token;
  print(line("prefill " + std::to_string(report.prompt_tokens) + " tokens",
             shown(report.prefill_tokens_per_s.median, 1) + " tok/s",
             shown(rate, 0) + " GOP/s, " + share(rate, gops)));
  for (const DecodeResult& decode : report.decode) {
    const double bytes =
        decode.tokens_per_s.median / static_cast<double>(decode.streams) * report.weight_bytes_per_step / 1e9;
    print(line("decode, " + std::to_string(decode.streams) + (decode.streams == 1 ? " stream" : " streams"),
               shown(decode.tokens_per_s.median, 1) + " tok/s",
               shown(bytes, 1) + " GB/s, " + share(bytes, report.peaks.read_gb_s)));
  }
  if (report.first_token_size > 0) {
    print(line("first token, " + std::to_string(report.first_token_size) + " picture",
               shown(report.first_token_s, 2) + " s", ""));
  }
  if (starts.cold_s > 0) print(line("start, packing", shown(starts.cold_s, 2) + " s", ""));
  if (starts.warm_s > 0) print(line("start, packed before", shown(starts.warm_s, 2) + " s", ""));
  print(line("peak memory", shown(peak_rss_gb(), 2) + " GB", ""));
}

int bench(const BenchArgs& args) {
  Activity activity;
  LoadOptions load = args.model.load_options();
  apply_level(args.level, load);
  // One JSON object and nothing else, even for those who read both streams as one.
  const ProgressListener progress = args.json ? ProgressListener() : activity.progress();
  load.progress = progress;
  Starts starts;
  if (!args.cold_folder.empty()) {
    load.cache_folder = args.cold_folder;
    starts.cold_s = load_model(load).load_seconds();
  }
  const Model model = load_model(load);
  if (!args.json) print_warnings(model);
  if (!args.cold_folder.empty() || model.from_cache()) {
    starts.warm_s = model.load_seconds();
  } else {
    starts.cold_s = model.load_seconds();
  }
  const BenchmarkReport report = benchmark(model, args.options, progress);
  if (args.json) {
    print(to_line(report_json(report, model, starts)));
  } else {
    print_report(report, model, starts);
  }
  return 0;
}

void add_integers(CLI::App& command, const std::string& name, std::vector<int64_t>& target,
                  const std::string& description) {
  command
      .add_option_function<std::string>(
          name,
          [name, &target](const std::string& text) {
            target.clear();
            for (int32_t value : parse_list(name, text, "whole numbers, like 8,16")) target.push_back(value);
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
  add_integers(command, "--image-sizes", args->options.image_sizes, "sides of square pictures");
  add_integer(command, "--prompt-tokens", args->options.prompt_tokens, {1, 1 << 20, "prompt to prefill"});
  add_integer(command, "--decode-tokens", args->options.decode_tokens, {1, 1 << 20, "tokens to decode"});
  add_integers(command, "--streams", args->options.streams, "sequences decoded together");
  add_integer(command, "--level", args->level,
              {0, 3,
               "preset: 0 one thread, scalar, float32; 1 all threads, best kernels, float32; 2 8 bits; 3 "
               "4-bit decoder weights"});
  add_integer(command, "--repeat", args->options.repeat,
              {1, 1000, "counted runs of each; medians are shown"});
  add_text(command, "--starts", args->cold_folder,
           "also measure a first start that packs into this folder, and a second one from it")
      ->type_name("FOLDER");
  command.add_flag("--json", args->json, "print one JSON object");
  add_example(command, "qvl bench --model models/shapes --image-sizes 128 --prompt-tokens 64");
  command.callback([args, &action] { action = [args] { return bench(*args); }; });
}

}  // namespace qvl::cli
