// The pipeline under load, with clocks outside of it. Prints JSON.
//
//   qvl_pipeline_load gaps MODEL PICTURE [TOKENS]      gaps between tokens, alone and while a picture comes
//   qvl_pipeline_load batch MODEL COUNT PICTURE...     COUNT requests one after another, and all at once
//   qvl_pipeline_load policies MODEL [TOKENS]          three clients under each algorithm
//   qvl_pipeline_load churn MODEL COUNT PICTURE...     COUNT requests, three in ten cancelled at random
//   qvl_pipeline_load prepare MODEL COUNT PICTURE...   how long steps wait for pictures to be prepared
//   qvl_pipeline_load stopwatch MODEL PICTURE...       whether the metrics agree with clocks outside
//
// Anywhere, --max-image-tokens N makes pictures smaller, for experiments with many of them; --tokens N is the
// length of an answer of batch (64). Nothing is kept between requests of batch.
// QVL_ISA and the number of threads as everywhere; MODEL is loaded with the defaults.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <iostream>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/json.h"
#include "pipeline_stopwatch.h"
#include "qvl/pipeline.h"

namespace {

using namespace qvl;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

int64_t number(std::string_view text) {
  int64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || value < 1 || value > 1'000'000) {
    fail(ErrorCode::usage, "{}: expected a number from 1 to 1,000,000", printable(text));
  }
  return value;
}

double percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const auto last = static_cast<double>(values.size() - 1);
  return values.empty() ? 0 : values[static_cast<size_t>(last * share + 0.5)];
}

InferenceRequest story(int64_t tokens, uint64_t client = 0) {
  return {.prompt = "Tell a long story about the sea and the wind.",
          .generation = {.max_tokens = tokens, .temperature = 0},
          .client = client};
}

// Seconds from the beginning to each piece of text.
std::vector<double> times_of(InferenceStream stream, Clock::time_point begin) {
  std::vector<double> times;
  while (const auto event = stream.next()) {
    if (event->kind == InferenceEvent::Kind::text) times.push_back(since(begin));
  }
  return times;
}

// Milliseconds between neighbours among the times from `from` to `to`.
std::vector<double> gaps_of(std::span<const double> times, double from, double to) {
  std::vector<double> gaps;
  for (size_t i = 1; i < times.size(); ++i) {
    if (times[i - 1] >= from && times[i] <= to) gaps.push_back(1000 * (times[i] - times[i - 1]));
  }
  return gaps;
}

Json spread(const std::vector<double>& values) {
  return {{"count", values.size()},
          {"p50_ms", percentile(values, 0.5)},
          {"p99_ms", percentile(values, 0.99)},
          {"max_ms", percentile(values, 1)}};
}

// A's gaps before B's picture comes, and from then to B's first token.
Json gaps(OptimizedInferencePipeline& pipeline, const std::string& picture, int64_t tokens) {
  const auto begin = Clock::now();
  std::vector<double> times;
  std::thread reader([&, stream = pipeline.submit(story(tokens))] { times = times_of(stream, begin); });
  std::this_thread::sleep_for(std::chrono::seconds(4));
  const double sent = since(begin);
  const InferenceOutput seen = pipeline.run_inference(
      {.prompt = "What is in the picture?", .images = {picture}, .generation = {.max_tokens = 1}});
  const double answered = since(begin);
  reader.join();
  const auto quiet = gaps_of(times, 0.5, sent), beside = gaps_of(times, sent, answered);
  return {{"quiet", spread(quiet)},
          {"beside", spread(beside)},
          {"p99_ratio", percentile(beside, 0.99) / percentile(quiet, 0.99)},
          {"first_token_of_the_picture_s", seen.timings.time_to_first_token_s},
          {"a_ended_after_b", times.back() > answered},
          {"sent_s", sent},
          {"answered_s", answered},
          {"times_s", times}};
}

// What questions about pictures have in common.
struct Pictures {
  std::span<const std::string> files;
  std::optional<int64_t> max_image_tokens;
};

// Each picture in turn, by a client of its own, with at most `tokens` of an answer.
std::vector<InferenceRequest> requests_for(int64_t count, const Pictures& pictures, int64_t tokens) {
  std::vector<InferenceRequest> requests;
  for (int64_t i = 0; i < count; ++i) {
    requests.push_back({.prompt = "What is in the picture?",
                        .images = {pictures.files[static_cast<size_t>(i) % pictures.files.size()]},
                        .generation = {.max_tokens = tokens, .temperature = 0},
                        .client = static_cast<uint64_t>(i),
                        .max_image_tokens = pictures.max_image_tokens});
  }
  return requests;
}

Json batch(OptimizedInferencePipeline& pipeline, std::span<const InferenceRequest> requests) {
  std::vector<InferenceOutput> alone;
  const auto one_by_one = Clock::now();
  for (const InferenceRequest& request : requests) alone.push_back(pipeline.run_inference(request));
  const double alone_s = since(one_by_one);
  const auto at_once = Clock::now();
  const auto together = pipeline.run_batch_inference(requests);
  const double together_s = since(at_once);
  size_t equal = 0;
  for (size_t i = 0; i < alone.size(); ++i) equal += alone[i].tokens == together[i].tokens;
  return {{"requests", requests.size()},
          {"one_by_one_s", alone_s},
          {"at_once_s", together_s},
          {"ratio", alone_s / together_s},
          {"identical_answers", equal}};
}

// Three clients, the first with twice as many requests, of different classes; who got how much when the
// fastest was done.
Json policies(const Model& model, SchedulingAlgorithm algorithm, int64_t tokens) {
  SystemOptimizationConfig config = SystemOptimizationConfig::for_this_machine();
  config.scheduling_algorithm = algorithm;
  auto pipeline = apply_system_level_optimizations(model, config);
  const auto begin = Clock::now();
  std::vector<std::vector<double>> times(12);
  std::vector<std::thread> readers;
  for (size_t i = 0; i < times.size(); ++i) {
    InferenceRequest request = story(tokens, i % 4 == 3 ? 0 : i % 4);
    request.request_class = static_cast<RequestClass>(request.client);
    readers.emplace_back(
        [&times, i, begin, stream = pipeline.submit(request)] { times[i] = times_of(stream, begin); });
  }
  for (std::thread& reader : readers) reader.join();
  Json json = Json::object();
  for (size_t client = 0; client < 3; ++client) {
    std::vector<double> ends, firsts;
    for (size_t i = 0; i < times.size(); ++i) {
      if ((i % 4 == 3 ? 0 : i % 4) != client || times[i].empty()) continue;
      firsts.push_back(times[i].front());
      ends.push_back(times[i].back());
    }
    json["client_" + std::to_string(client)] = {{"requests", ends.size()},
                                                {"first_token_s", percentile(firsts, 0.5)},
                                                {"half_done_s", percentile(ends, 0.5)},
                                                {"all_done_s", percentile(ends, 1)}};
  }
  return json;
}

// The share of the time for all that no step computed, though requests were there: what the engine says that
// it waited for preparation, and whatever else it did not compute.
Json prepare(OptimizedInferencePipeline& pipeline, std::span<const InferenceRequest> requests) {
  const auto begin = Clock::now();
  (void)pipeline.run_batch_inference(requests);
  const double seconds = since(begin);
  const PerformanceMetrics metrics = pipeline.get_performance_metrics();
  return {{"requests", requests.size()},
          {"seconds", seconds},
          {"compute_s", metrics.compute_time},
          {"preparation_wait_s", metrics.preparation_wait_time},
          {"preparation_wait_percent", 100 * metrics.preparation_wait_time / seconds},
          {"not_computing_percent", 100 * (seconds - metrics.compute_time) / seconds}};
}

Json churn(OptimizedInferencePipeline& pipeline, std::span<const InferenceRequest> kinds, int64_t count) {
  std::vector<InferenceOutput> expected;
  for (const InferenceRequest& kind : kinds) expected.push_back(pipeline.run_inference(kind));
  constexpr int64_t clients = 8;
  std::vector<int64_t> wrong(clients), cancelled(clients);
  std::vector<std::thread> threads;
  const auto begin = Clock::now();
  for (int64_t client = 0; client < clients; ++client) {
    threads.emplace_back([&, client] {
      std::mt19937 random(static_cast<unsigned>(client) + 1);
      for (int64_t i = client; i < count; i += clients) {
        const size_t which = random() % kinds.size();
        InferenceStream stream = pipeline.submit(kinds[which]);
        if (random() % 10 < 3) {
          std::this_thread::sleep_for(std::chrono::microseconds(random() % 50'000));
          stream.cancel();
        }
        const InferenceOutput output = stream.result();
        const bool ended = output.finish_reason != FinishReason::cancelled;
        cancelled[static_cast<size_t>(client)] += !ended;
        wrong[static_cast<size_t>(client)] += ended && output.tokens != expected[which].tokens;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  int64_t all_wrong = 0, all_cancelled = 0;
  for (size_t i = 0; i < clients; ++i) {
    all_wrong += wrong[i];
    all_cancelled += cancelled[i];
  }
  return {{"requests", count}, {"seconds", since(begin)}, {"cancelled", all_cancelled}, {"wrong", all_wrong}};
}

// The value of an option, which is taken out of `args`.
std::optional<int64_t> take_option(std::vector<std::string>& args, std::string_view name) {
  const auto option = std::find(args.begin(), args.end(), name);
  if (option == args.end()) return std::nullopt;
  if (option + 1 == args.end()) fail(ErrorCode::usage, "{}: found no number behind it", name);
  const int64_t tokens = number(option[1]);
  args.erase(option, option + 2);
  return tokens;
}

// Experiments over a number of requests about pictures.
Json run_with_pictures(const std::string& experiment, OptimizedInferencePipeline& pipeline, int64_t count,
                       const Pictures& pictures, int64_t answer_tokens) {
  if (pictures.files.empty()) fail(ErrorCode::usage, "{}: found no picture", printable(experiment));
  if (experiment == "batch") return batch(pipeline, requests_for(count, pictures, answer_tokens));
  if (experiment == "churn") {
    return churn(pipeline, requests_for(std::ssize(pictures.files), pictures, 8), count);
  }
  if (experiment == "prepare") return prepare(pipeline, requests_for(count, pictures, 1));
  fail(ErrorCode::usage, "{}: expected gaps, batch, policies, churn, prepare or stopwatch",
       printable(experiment));
}

int run(std::vector<std::string> args) {
  const auto max_image_tokens = take_option(args, "--max-image-tokens");
  const int64_t answer_tokens = take_option(args, "--tokens").value_or(64);
  if (args.size() < 2)
    fail(ErrorCode::usage, "found {} arguments, expected EXPERIMENT MODEL ...", args.size());
  const std::string& experiment = args[0];
  LoadOptions options{.path = args[1], .system = SystemOptimizationConfig::for_this_machine()};
  if (experiment == "batch")
    options.disabled_passes = {"feature_cache", "prefix_cache", "disk_feature_cache"};
  const Model model = load_model(options);
  const auto rest = std::span(args).subspan(2);
  const auto tokens = [&](size_t at, int64_t otherwise) {
    return rest.size() > at ? number(rest[at]) : otherwise;
  };
  if (experiment == "policies") {
    Json json;
    json["round_robin"] = policies(model, SchedulingAlgorithm::round_robin, tokens(0, 32));
    json["priority"] = policies(model, SchedulingAlgorithm::priority, tokens(0, 32));
    json["load_balanced"] = policies(model, SchedulingAlgorithm::load_balanced, tokens(0, 32));
    std::cout << json.dump(2) << "\n";
    return 0;
  }
  if (rest.empty()) fail(ErrorCode::usage, "{}: found no picture", printable(experiment));
  if (experiment == "stopwatch") {
    const Pictures pictures{rest, max_image_tokens};
    const Json json = compare_with_stopwatch(model, requests_for(std::ssize(rest), pictures, 64));
    std::cout << json.dump(2) << "\n";
    return 0;
  }
  auto pipeline = apply_system_level_optimizations(model, SystemOptimizationConfig::for_this_machine());
  Json json = experiment == "gaps" ? gaps(pipeline, rest[0], tokens(1, 300))
                                   : run_with_pictures(experiment, pipeline, number(rest[0]),
                                                       {rest.subspan(1), max_image_tokens}, answer_tokens);
  json["metrics"] = Json::parse(to_json(pipeline.get_performance_metrics()));
  std::cout << json.dump(2) << "\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << "qvl_pipeline_load: " << error.what() << "\n";
    return 2;
  }
}
