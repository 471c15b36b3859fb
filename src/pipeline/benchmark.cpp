// Measures the stages of a request on random pixels and tokens.
#include "qvl/benchmark.h"

#include <algorithm>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "memory/memory_home.h"
#include "model/sampler.h"
#include "ops/machine_peaks.h"
#include "optimizer/work.h"
#include "pipeline/memory_guard.h"
#include "pipeline/request_memory.h"
#include "pipeline/runtime.h"
#include "pipeline/stopwatch.h"

namespace qvl {
namespace {

using detail::Runtime;

constexpr uint64_t kEverything = uint64_t{1} << 50;  // more bytes than any cache keeps
constexpr int64_t kMaxTokens = 1 << 20, kMaxStreams = 256, kTextBesidePicture = 16;
// What is left below the cap beside the memory that reads are measured with: code and pages of the heap that
// are touched for the first time are in no account.
constexpr uint64_t kBesideReads = 2 << 20;
constexpr int kShortPasses = 2;  // of each of the many looks at the machine's peaks

void check(bool fits, std::string_view name, int64_t found, std::string_view expected) {
  if (!fits) fail(ErrorCode::usage, "{}: found {}, expected {}", name, found, expected);
}

// Twice the same would have one key in the report.
void check_each_once(std::string_view name, const std::vector<int64_t>& values) {
  for (auto value = values.begin(); value != values.end(); ++value) {
    check(std::find(values.begin(), value, *value) == value, name, *value, "each once");
  }
}

int64_t tokens_with_text(int64_t size, const VisionConfig& vision) {
  const int64_t side = size / (vision.patch_size * vision.spatial_merge_size);
  return side * side + kTextBesidePicture;
}

void check_picture(int64_t size, const ModelConfig& config) {
  check(config.has_vision, "image_sizes", size, "none: there is no vision file");
  const int64_t factor = config.vision.patch_size * config.vision.spatial_merge_size;
  check(size >= factor && size <= 8192 && size % factor == 0, "image_sizes", size,
        fmt::format("multiples of {} up to 8192", factor));
  const int64_t tokens = tokens_with_text(size, config.vision);
  if (tokens >= config.text.max_position_embeddings) {
    fail(ErrorCode::limit,
         "image_sizes: found {}: {} tokens with the text beside it; the model takes {}, at least 1 for the "
         "answer",
         size, tokens, config.text.max_position_embeddings);
  }
}

void check_options(const BenchmarkOptions& options, const Runtime& runtime) {
  const int64_t context = std::min(kMaxTokens, runtime.files.config.text.max_position_embeddings);
  check(options.prompt_tokens >= 1 && options.prompt_tokens < context, "prompt_tokens", options.prompt_tokens,
        fmt::format("1 to {}", context - 1));
  check(options.decode_tokens >= 1 && options.decode_tokens < context, "decode_tokens", options.decode_tokens,
        fmt::format("1 to {}", context - 1));
  check(options.repeat >= 1 && options.repeat <= 1000, "repeat", options.repeat, "1 to 1000");
  for (int64_t streams : options.streams) {
    check(streams >= 1 && streams <= kMaxStreams, "streams", streams, fmt::format("1 to {}", kMaxStreams));
  }
  for (int64_t size : options.image_sizes) check_picture(size, runtime.files.config);
  check_each_once("streams", options.streams);
  check_each_once("image_sizes", options.image_sizes);
}

// values: at least one
Spread spread_of(std::vector<double> values) {
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  const size_t middle = sorted.size() / 2;
  const double median = sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return {.median = median, .least = sorted.front(), .most = sorted.back(), .values = std::move(values)};
}

PatchedMedia random_picture(int64_t size, const VisionConfig& config, MemoryHome home) {
  const int64_t side = size / config.patch_size;
  PatchedMedia media{.pixels = Tensor(static_cast<uint64_t>(side * side),
                                      static_cast<uint64_t>(config.patch_values()), home),
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
  Benchmark(Runtime& runtime, const BenchmarkOptions& options, const Listeners& listeners)
      : runtime_(runtime),
        options_(options),
        listeners_(listeners),
        text_(runtime.files.config.text),
        logits_(runtime.layer.home(MemoryPart::scratch)) {}

  BenchmarkReport run() {
    look_at_peaks();
    measure_prefill();
    for (int64_t streams : options_.streams) measure_decode(streams);
    for (int64_t size : options_.image_sizes) measure_encode(size);
    if (!options_.image_sizes.empty()) measure_first_token();
    return std::move(report_);
  }

 private:
  // Before, between and after the stages: each begins with the memory that a first request finds.
  void look_at_peaks() {
    begin("the machine's peaks");
    { const RequestScope stage(runtime_); }
    runtime_.layer.memory().clean_up(kEverything);
    look_at_reads();
    const double operations =
        measure_int8_ops_per_second(runtime_.layer.compute(), runtime_.ops.isa(), kShortPasses);
    report_.peaks.int8_gop_s = std::max(report_.peaks.int8_gop_s, operations / 1e9);
  }

  // Of packed weights, or where those are few of memory that is set down in the account like all else.
  void look_at_reads() {
    const std::span<const std::byte> weights = runtime_.network.packed();
    const uint64_t own = read_buffer_bytes(weights);
    const Grant<Reservation> room =
        runtime_.layer.memory().ledger().reserve(MemoryPart::scratch, own > 0 ? own + kBesideReads : 0);
    std::optional<double>& best = report_.peaks.read_gb_s;
    if (room) {
      const double bytes =
          measure_read_bytes_per_second(runtime_.layer.compute(), weights, kShortPasses) / 1e9;
      best = std::max(best.value_or(0), bytes);
      report_.why_no_reads.clear();
    } else if (!best) {
      report_.why_no_reads = "the peak of memory reads is not measured: " + room.refusal().message;
    }
  }

  void measure_prefill() {
    const int64_t tokens = options_.prompt_tokens;
    report_.prompt_tokens = tokens;
    report_.prefill_gop_per_token = 2 * layer_weights(text_) / 1e9;
    report_.prefill_tokens_per_s = measure(
        fmt::format("prefill {} tokens", tokens), [&] { prefill(tokens); },
        [&](double seconds) { return static_cast<double>(tokens) / seconds; });
    look_at_peaks();
  }

  void measure_decode(int64_t streams) {
    const auto tokens = static_cast<double>(streams * options_.decode_tokens);
    const Spread spread = measure(
        fmt::format("decode {} {}", streams, streams == 1 ? "stream" : "streams"), [&] { decode(streams); },
        [&](double seconds) { return tokens / seconds; });
    report_.decode.push_back({.streams = streams, .tokens_per_s = spread});
    report_.weight_bytes_per_step = static_cast<double>(runtime_.network.decode_bytes());
    look_at_peaks();
  }

  void measure_encode(int64_t size) {
    const VisionConfig& vision = runtime_.files.config.vision;
    const PatchedMedia picture = random_picture(size, vision, runtime_.layer.home(MemoryPart::pixels));
    const int64_t patches = picture.grid.patches();
    const VisionWork work = vision_work(vision, patches);
    const Spread seconds = measure(
        fmt::format("encode {0} x {0}", size), [&] { encode(picture); }, [](double taken) { return taken; });
    report_.encode.push_back(
        {.size = size, .patches = patches, .seconds = seconds, .gop = (work.linear + work.attention) / 1e9});
    look_at_peaks();
  }

  void measure_first_token() {
    const int64_t size = *std::max_element(options_.image_sizes.begin(), options_.image_sizes.end());
    const VisionConfig& vision = runtime_.files.config.vision;
    const PatchedMedia picture = random_picture(size, vision, runtime_.layer.home(MemoryPart::pixels));
    begin(fmt::format("first token after {0} x {0}", size));
    const Stopwatch watch;
    encode(picture);
    prefill(tokens_with_text(size, vision));
    report_.first_token_size = size;
    report_.first_token_s = watch.seconds();
    check_logits();
    look_at_peaks();
  }

  // Runs `body` once uncounted and then as often as asked; `value` of the seconds each took.
  template <typename Body, typename Value>
  Spread measure(const std::string& what, Body body, Value value) {
    begin(what + ", warming up");
    body();
    check_logits();
    std::vector<double> values;
    for (int64_t i = 1; i <= options_.repeat; ++i) {
      begin(fmt::format("{}, run {} of {}", what, i, options_.repeat));
      const Stopwatch watch;
      body();
      values.push_back(value(watch.seconds()));
      check_logits();  // not on the clock
    }
    return spread_of(std::move(values));
  }

  void begin(std::string what) {
    measured_ = std::move(what);
    between_steps(0);
  }

  // `share` of what is measured now is done.
  void between_steps(double share) const {
    if (listeners_.progress) listeners_.progress({.stage = "bench", .fraction = share, .detail = measured_});
    if (listeners_.stop.stop_requested()) fail(ErrorCode::cancelled, "measuring was stopped: {}", measured_);
  }

  void prefill(int64_t tokens) {
    Stream stream(runtime_);
    stream.cache.reserve(tokens);
    const SequenceStep step = stream.step(tokens, text_.vocab_size, random_);
    const int64_t chunk = runtime_.layer.limits().prefill_chunk;
    for (int64_t first = 0; first < tokens; first += chunk) {
      between_steps(static_cast<double>(first) / static_cast<double>(tokens));
      const auto begin = static_cast<size_t>(first);
      const auto count = static_cast<size_t>(std::min(chunk, tokens - first));
      const SequenceStep part{.chunk = {.ids = step.chunk.ids.subspan(begin, count),
                                        .positions = step.chunk.positions.subspan(begin, count),
                                        .visual = {}},
                              .cache = step.cache};
      const StageZone zone = runtime_.layer.zone(Stage::prefill);
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
      between_steps(static_cast<double>(token) / static_cast<double>(options_.decode_tokens));
      steps.clear();
      for (Stream& stream : streams) steps.push_back(stream.step(1, text_.vocab_size, random_));
      const StageZone zone = runtime_.layer.zone(Stage::decode);
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

  // What no request would get an answer from is not worth a measurement.
  void check_logits() const {
    try {
      check_finite(logits_);
    } catch (const Error& error) {
      fail(error.code(), "{}: {}", runtime_.name, error.what());
    }
  }

  void encode(const PatchedMedia& picture) {
    const StageZone zone = runtime_.layer.zone(Stage::vision);
    runtime_.network.encode(picture, runtime_.ops, [&](double share) {
      between_steps(share);
      return true;
    });
  }

  Runtime& runtime_;
  const BenchmarkOptions& options_;
  const Listeners& listeners_;
  const TextConfig& text_;
  BenchmarkReport report_;
  std::string measured_;      // for people
  HomeVector<float> logits_;  // of the last tokens: [sequences, vocabulary]
  std::mt19937 random_{1};
};

}  // namespace

BenchmarkReport benchmark(const Model& model, const BenchmarkOptions& options, const Listeners& listeners) {
  Runtime& runtime = model.runtime();
  check_options(options, runtime);
  return with_memory_for("to measure", [&] {
    const ComputeTurn turn(runtime.computing, runtime.layer.threads());
    return Benchmark(runtime, options, listeners).run();
  });
}

}  // namespace qvl
