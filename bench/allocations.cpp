// How often requests take memory: blocks of the tensor pool, the system's blocks behind it, and operator new;
// with the pool and without. Prints JSON.
//
//   qvl_allocations [--save FILE.json] MODEL PICTURE...
//
// Asks a question about each picture, to a conversation and to a pipeline. FILE gets what plots.py draws as
// `pool`. MODEL is loaded with the defaults, but for the sampler and adaptation, which allocate whenever
// their time comes. Each picture is asked about once before anything is counted.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "base/counted_allocations.h"
#include "base/json.h"
#include "qvl/pipeline.h"

namespace {

using namespace qvl;

constexpr int64_t kTokens = 32, kWarm = 4;

enum class Pool { on, off };

LoadOptions load_options(const std::string& path, Pool pool) {
  LoadOptions options{.path = path, .system = SystemOptimizationConfig::for_this_machine()};
  options.system.enable_profiling = false;
  options.system.dynamic_resource_adjustment = false;
  if (pool == Pool::off) options.disabled_passes = {"tensor_pool"};
  return options;
}

// A miss of the pool is a block from the system.
struct PoolCounts {
  double hits = 0, misses = 0;
};

PoolCounts pool_of(const Model& model) {
  const Json memory = Json::parse(model.memory_json());
  const double misses = memory.at("tensor_pool_allocations"), rate = memory.at("tensor_pool_hit_rate");
  return {.hits = rate < 1 ? misses * rate / (1 - rate) : 0, .misses = misses};
}

// Allocations of the tokens behind the first few of an answer.
struct TokenCounts {
  std::vector<int64_t> marks;  // after each token
  int64_t tokens = 0, made = 0, making = 0;

  void begin() { marks.clear(); }
  void mark() { marks.push_back(allocations); }
  void end() {
    for (size_t i = kWarm; i < marks.size(); ++i) {
      made += marks[i] - marks[i - 1];
      making += marks[i] != marks[i - 1] ? 1 : 0;
    }
    tokens += std::max<int64_t>(std::ssize(marks) - kWarm, 0);
  }
};

// What `count` requests took together.
Json counts(const Model& model, const PoolCounts& before, int64_t made, size_t count) {
  const PoolCounts after = pool_of(model);
  const double hits = after.hits - before.hits, misses = after.misses - before.misses;
  const auto requests = static_cast<double>(count);
  return {{"pool_hit_rate", hits + misses > 0 ? hits / (hits + misses) : 0},
          {"blocks_asked_of_pool_per_request", (hits + misses) / requests},
          {"blocks_from_system_per_request", misses / requests},
          {"operator_new_per_request", static_cast<double>(made) / requests}};
}

const GenerationOptions kGeneration{.max_tokens = kTokens, .temperature = 0};

Json by_conversation(const Model& model, std::span<const std::string> pictures) {
  TokenCounts per_token;
  per_token.marks.reserve(kTokens + 1);
  const Listeners listeners{.text = {},
                            .progress =
                                [&](const Progress& progress) {
                                  if (progress.stage == "decode") per_token.mark();
                                },
                            .stop = {}};
  const auto ask = [&](const std::string& picture) {
    per_token.begin();
    Conversation(model).ask({.text = "Describe this picture.", .images = {picture}}, kGeneration, listeners);
  };
  for (const std::string& picture : pictures) ask(picture);
  const PoolCounts before = pool_of(model);
  int64_t made = 0;
  for (const std::string& picture : pictures) {
    const int64_t begin = allocations;
    ask(picture);
    made += allocations - begin;
    per_token.end();
  }
  Json json = counts(model, before, made, pictures.size());
  json["decoded_tokens"] = per_token.tokens;
  // Those in which it looked at the processors it may use, twice a second.
  json["tokens_with_operator_new"] = per_token.making;
  json["operator_new_of_these"] = per_token.made;
  return json;
}

Json by_pipeline(const Model& model, std::span<const std::string> pictures,
                 const SystemOptimizationConfig& config) {
  auto pipeline = apply_system_level_optimizations(model, config);
  const auto ask = [&](const std::string& picture) {
    pipeline.run_inference(
        {.prompt = "Describe this picture.", .images = {picture}, .generation = kGeneration});
  };
  for (const std::string& picture : pictures) ask(picture);
  const PoolCounts before = pool_of(model);
  const int64_t begin = allocations;
  for (const std::string& picture : pictures) ask(picture);
  return counts(model, before, allocations - begin, pictures.size());
}

// Of one variant, for the figure: names and numbers without the layer of who was asked.
Json figures_of(const Json& variant) {
  Json figures;
  for (const auto& [asked, found] : variant.items()) {
    figures[asked + "_hit_rate"] = found.at("pool_hit_rate");
    figures[asked + "_allocations"] = found.at("blocks_from_system_per_request");
  }
  return figures;
}

void save(const std::filesystem::path& path, const Json& json) {
  Json figures;
  for (const auto& [variant, found] : json.items()) figures[variant] = figures_of(found);
  AtomicFile file(path, ErrorCode::environment);
  file.write(figures.dump(1) + "\n");
  file.commit();
}

int run(std::span<const std::string> args) {
  std::optional<std::filesystem::path> figures;
  if (args.size() > 1 && args[0] == "--save") {
    figures = args[1];
    args = args.subspan(2);
  }
  if (args.size() < 2) fail(ErrorCode::usage, "found {} arguments, expected MODEL PICTURE...", args.size());
  Json json;
  for (const Pool pool : {Pool::on, Pool::off}) {
    const LoadOptions options = load_options(args[0], pool);
    const Model model = load_model(options);
    json[pool == Pool::on ? "with_pool" : "without_pool"] = {
        {"conversation", by_conversation(model, args.subspan(1))},
        {"pipeline", by_pipeline(model, args.subspan(1), options.system)}};
  }
  std::cout << json.dump(2) << "\n";
  if (figures) save(*figures, json);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  try {
    return run(args);
  } catch (const std::exception& error) {
    std::cerr << "qvl_allocations: " << error.what() << "\n";
    return 2;
  }
}
