// Measures the stages of a request on random pixels and tokens.
#include "qvl/benchmark.h"

#include <algorithm>
#include <array>
#include <random>

#include "base/error.h"
#include "ops/machine_peaks.h"
#include "optimizer/work.h"
#include "pipeline/runtime.h"
#include "pipeline/stopwatch.h"

namespace qvl {
namespace {

using detail::Runtime;

constexpr int64_t kMaxTokens = 1 << 20, kMaxStreams = 256, kTextBesidePicture = 16;

void check(bool fits, std::string_view name, int64_t found, std::string_view expected) {
  if (!fits) fail(ErrorCode::usage, "{}: found {}, expected {}", name, found, expected);
}

void check_options(const BenchmarkOptions& options, const Runtime& runtime) {
  const int64_t context = std::min(kMaxTokens, runtime.files.config.text.max_position_embeddings);
  check(options.prompt_tokens >= 1 && options.prompt_tokens < context, "prompt tokens", options.prompt_tokens,
        fmt::format("1 to {}", context - 1));
  check(options.decode_tokens >= 1 && options.decode_tokens < context, "decode tokens", options.decode_tokens,
        fmt::format("1 to {}", context - 1));
  check(options.repeat >= 1 && options.repeat <= 1000, "repeat", options.repeat, "1 to 1000");
  for (int64_t streams : options.streams) {
    check(streams >= 1 && streams <= kMaxStreams, "streams", streams, fmt::format("1 to {}", kMaxStreams));
  }
  const VisionConfig& vision = runtime.files.config.vision;
  const int64_t factor = vision.patch_size * vision.spatial_merge_size;
  for (int64_t size : options.image_sizes) {
    check(runtime.files.config.has_vision, "image sizes", size, "none: there is no vision file");
    check(size >= factor && size <= 8192 && size % factor == 0, "image sizes", size,
          fmt::format("multiples of {} up to 8192", factor));
  }
}

// Runs `body` once uncounted and `repeat` times counted; `value` of the seconds each took.
template <typename Body, typename Value>
Spread measure(int64_t repeat, Body body, Value value) {
  std::vector<double> values;
  for (int64_t i = 0; i <= repeat; ++i) {
    const Stopwatch watch;
    body();
    if (i > 0) values.push_back(value(watch.seconds()));
  }
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {.median = median, .least = values.front(), .most = values.back()};
}

PatchedMedia random_picture(int64_t size, const VisionConfig& config) {
  const int64_t side = size / config.patch_size;
  PatchedMedia media{
      .pixels = Tensor(static_cast<uint64_t>(side * side), static_cast<uint64_t>(config.patch_values())),
      .grid = {.t = 1, .h = side, .w = side}};
  std::mt19937 random(1);
  std::uniform_real_distribution<float> pixel(-1, 1);
  for (float& value : media.pixels.values()) value = pixel(random);
  return media;
}

// A sequence that grows by random tokens.
struct Stream {
  explicit Stream(Runtime& runtime) : cache(runtime.network.make_cache(runtime.layer.home(MemoryPart::kv))) {}

  // The next `count` tokens as a step; valid until the next call.
  SequenceStep step(int64_t count, int64_t vocabulary, std::mt19937& random) {
    ids.clear();
    positions.clear();
    for (int64_t i = 0; i < count; ++i) {
      ids.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(vocabulary)));
    }
    counter.append_text(count, positions);
    return {.chunk = {.ids = ids, .positions = positions, .visual = {}}, .cache = &cache};
  }

  KvCache cache;
  PositionCounter counter;
  std::vector<int32_t> ids;
  std::vector<Position> positions;
};

class Benchmark {
 public:
  Benchmark(Runtime& runtime, const BenchmarkOptions& options, const ProgressListener& progress)
      : runtime_(runtime),
        options_(options),
        progress_(progress),
        text_(runtime.files.config.text),
        logits_(static_cast<size_t>(text_.vocab_size)) {}

  BenchmarkReport run() {
    BenchmarkReport report;
    tell(0);
    report.peaks = {
        .read_gb_s = measure_read_bytes_per_second(runtime_.layer.compute(), runtime_.network.packed()) / 1e9,
        .int8_gop_s = measure_int8_ops_per_second(runtime_.layer.compute(), runtime_.ops.isa()) / 1e9};
    measure_text(report);
    for (int64_t size : options_.image_sizes) {
      tell(0.5);
      report.encode.push_back(encode(size));
    }
    if (!options_.image_sizes.empty()) first_token(report);
    return report;
  }

 private:
  void tell(double share) const {
    if (progress_) progress_({.stage = "bench", .fraction = share});
  }

  void measure_text(BenchmarkReport& report) {
    report.prompt_tokens = options_.prompt_tokens;
    report.prefill_gop_per_token = 2 * layer_weights(text_) / 1e9;
    report.prefill_tokens_per_s = measure(
        options_.repeat, [&] { prefill(options_.prompt_tokens); },
        [&](double seconds) { return static_cast<double>(options_.prompt_tokens) / seconds; });
    for (int64_t streams : options_.streams) {
      tell(0.2);
      const auto tokens = static_cast<double>(streams * options_.decode_tokens);
      report.decode.push_back(
          {.streams = streams,
           .tokens_per_s = measure(
               options_.repeat, [&] { decode(streams); }, [&](double seconds) { return tokens / seconds; })});
    }
    report.weight_bytes_per_step = static_cast<double>(runtime_.network.decode_bytes());
  }

  void prefill(int64_t tokens) {
    Stream stream(runtime_);
    stream.cache.reserve(tokens);
    const SequenceStep step = stream.step(tokens, text_.vocab_size, random_);
    constexpr int64_t chunk = 512;
    for (int64_t first = 0; first < tokens; first += chunk) {
      const auto begin = static_cast<size_t>(first);
      const auto count = static_cast<size_t>(std::min(chunk, tokens - first));
      const SequenceStep part{.chunk = {.ids = step.chunk.ids.subspan(begin, count),
                                        .positions = step.chunk.positions.subspan(begin, count),
                                        .visual = {}},
                              .cache = step.cache};
      runtime_.network.forward({&part, 1}, runtime_.pass, runtime_.ops);
    }
    last_logits(1);
  }

  // Every stream begins with one token, as llama-bench does.
  void decode(int64_t count) {
    std::vector<Stream> streams;
    for (int64_t i = 0; i < count; ++i) {
      streams.emplace_back(runtime_).cache.reserve(options_.decode_tokens);
    }
    std::vector<SequenceStep> steps;
    for (int64_t token = 0; token < options_.decode_tokens; ++token) {
      steps.clear();
      for (Stream& stream : streams) steps.push_back(stream.step(1, text_.vocab_size, random_));
      runtime_.network.forward(steps, runtime_.pass, runtime_.ops);
      runtime_.after_step();
      last_logits(count);
    }
  }

  void last_logits(int64_t rows) {
    logits_.resize(static_cast<size_t>(rows * text_.vocab_size));
    const uint64_t first = runtime_.pass.x.rows() - static_cast<uint64_t>(rows);
    runtime_.network.logits(runtime_.pass.x.row(first), rows, logits_.data(), runtime_.ops);
    runtime_.network.release_rows();
  }

  EncodeResult encode(int64_t size) {
    const VisionConfig& vision = runtime_.files.config.vision;
    const PatchedMedia picture = random_picture(size, vision);
    const int64_t patches = picture.grid.patches();
    const VisionWork work = vision_work(vision, patches);
    return {.size = size,
            .patches = patches,
            .seconds = measure(
                options_.repeat, [&] { runtime_.network.encode(picture, runtime_.ops, {}); },
                [](double seconds) { return seconds; }),
            .gop = (work.linear + work.attention) / 1e9};
  }

  void first_token(BenchmarkReport& report) {
    report.first_token_size = *std::max_element(options_.image_sizes.begin(), options_.image_sizes.end());
    const VisionConfig& vision = runtime_.files.config.vision;
    const PatchedMedia picture = random_picture(report.first_token_size, vision);
    const int64_t merge = vision.spatial_merge_size;
    const int64_t tokens = picture.grid.patches() / (merge * merge) + kTextBesidePicture;
    const Stopwatch watch;
    runtime_.network.encode(picture, runtime_.ops, {});
    prefill(tokens);
    report.first_token_s = watch.seconds();
  }

  Runtime& runtime_;
  const BenchmarkOptions& options_;
  const ProgressListener& progress_;
  const TextConfig& text_;
  std::vector<float> logits_;
  std::mt19937 random_{1};
};

}  // namespace

BenchmarkReport benchmark(const Model& model, const BenchmarkOptions& options,
                          const ProgressListener& progress) {
  Runtime& runtime = model.runtime();
  check_options(options, runtime);
  return Benchmark(runtime, options, progress).run();
}

}  // namespace qvl
