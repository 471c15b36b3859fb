// Thousands of requests from many clients, some cancelled, some impossible, while memory runs out at random
// and the disk refuses: whoever was not hit has the answer of a quiet moment, and nothing is left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/file_size_limit.h"
#include "memory_faults.h"
#include "pipeline/cache/kept_testing.h"
#include "qvl/pipeline.h"
#include "trouble.h"

namespace qvl::faults {
namespace {

namespace fs = std::filesystem;

const fs::path kSource = QVL_SOURCE_DIR;

// Sanitizers make all of it many times slower, and keep memory back.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kWarmUp = 100, kRequests = 400;
constexpr bool kMeasuresMemory = false;
#else
constexpr int kWarmUp = 500, kRequests = 2000;
constexpr bool kMeasuresMemory = true;
#endif
constexpr int kClients = 8;
constexpr unsigned kSeed = 20;

/// A request, and what comes of it where nobody disturbs it.
struct Kind {
  InferenceRequest request = {};
  std::optional<InferenceOutput> answer = {};
  std::optional<Error> error = {};  ///< in place of an answer
};

/// What became of the requests of one client. Its memory is there before memory runs out.
struct Tally {
  int answered = 0, refused = 0, cancelled = 0, hit = 0;
  std::string problem;  ///< the first thing that must not happen
};

bool is_one_line(std::string_view text) { return !text.empty() && text.find('\n') == std::string_view::npos; }

// Nothing, where `output` may be the end of a request of this kind.
const char* problem_with(const InferenceOutput& output, const Kind& kind) {
  static const std::vector<int32_t> none;
  const auto& expected = kind.answer ? kind.answer->tokens : none;
  if (output.finish_reason == FinishReason::cancelled) {
    const bool begins_so = output.tokens.size() <= expected.size() &&
                           std::equal(output.tokens.begin(), output.tokens.end(), expected.begin());
    return begins_so ? nullptr : "a cancelled request has other tokens";
  }
  if (!kind.answer) return "an impossible request was answered";
  const bool same = output.tokens == expected && output.text == kind.answer->text &&
                    output.finish_reason == kind.answer->finish_reason;
  return same ? nullptr : "an answer is not that of a quiet moment";
}

void note(Tally& tally, const Error& error, const Kind& kind) {
  if (kind.error && error.code() == kind.error->code() &&
      std::string_view(error.what()) == kind.error->what()) {
    ++tally.refused;
  } else if (error.code() == ErrorCode::limit && is_one_line(error.what())) {
    ++tally.hit;
  } else if (tally.problem.empty()) {
    tally.problem = error.what();
  }
}

void note(Tally& tally, const InferenceOutput& output, const Kind& kind) {
  const bool cancelled = output.finish_reason == FinishReason::cancelled;
  ++(cancelled ? tally.cancelled : tally.answered);
  const char* const problem = problem_with(output, kind);
  if (problem != nullptr && tally.problem.empty()) tally.problem = problem;
}

// The caller's own copy, which is not what is tried.
InferenceRequest copy_of(const InferenceRequest& request) {
  while (true) {
    try {
      return request;
    } catch (const std::bad_alloc&) {
    }
  }
}

/// What the disk does while requests are served.
enum class Disk { damaged, full, gone };

class StressedPipeline : public testing::TestWithParam<Disk> {
 protected:
  StressedPipeline() {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    replace_caches(*runtime_, {}, features_);
    make_kinds();
    runtime_->caches->disk.wait();
    if (GetParam() == Disk::gone) fs::remove_all(features_);
  }
  ~StressedPipeline() override {
    runtime_->caches->disk.wait();
    fs::remove_all(folder_);
  }

  static LoadOptions options() {
    LoadOptions wanted{.path = kSource / "models/shapes", .threads = 2, .cache_folder = ""};
    wanted.system.enable_profiling = false;  // its history grows for a while
    return wanted;
  }
  static SystemOptimizationConfig config() { return {.num_compute_threads = 2, .enable_profiling = false}; }

  // A file with the first `bytes` of a sample picture, in which `damaged` is another byte.
  fs::path picture(const std::string& of, size_t bytes, std::optional<size_t> damaged = {}) const {
    std::ifstream in(kSource / "examples" / of, std::ios::binary);
    std::string data((std::istreambuf_iterator<char>(in)), {});
    EXPECT_GT(data.size(), bytes);
    data.resize(bytes);
    if (damaged) data.at(*damaged) = static_cast<char>(~data.at(*damaged));
    const fs::path path = folder_ / (std::to_string(bytes) + of);
    std::ofstream(path, std::ios::binary) << data;
    return path;
  }

  // Those that can be answered, then fewer that cannot.
  void make_kinds() {
    const auto ask = [this](std::string prompt, std::vector<fs::path> images, GenerationOptions generation) {
      for (fs::path& image : images) image = kSource / "examples" / image;
      kinds_.push_back({.request = {.prompt = std::move(prompt),
                                    .images = {images.begin(), images.end()},
                                    .generation = generation}});
    };
    const GenerationOptions greedy{.max_tokens = 12, .temperature = 0};
    for (const char* image :
         {"blue-heart.png", "white-number-5.jpg", "white-cross.webp", "red-cross-red-number-0.jpg",
          "yellow-cross-green-square.jpg", "green-heart-green-star.webp"}) {
      ask("What is in the picture?", {image}, greedy);
    }
    ask("What is there?", {"white-cross.webp", "green-ring-purple-heart.png"}, greedy);
    ask("What is there?", {"white-number-5.jpg", "blue-heart.png", "white-cross.webp"}, greedy);
    ask("Is there a heart?", {"red-cross-red-number-0.jpg"}, {.max_tokens = 12, .temperature = 1, .seed = 5});
    ask("Name a colour.", {}, greedy);
    std::string context;  // longer than the whole context
    while (context.size() < 30'000) context += "one two three ";
    const std::vector<fs::path> impossible = {picture("white-number-5.jpg", 700),
                                              picture("blue-heart.png", 60, 20),
                                              picture("white-cross.webp", 10), folder_ / "missing.png"};
    for (const fs::path& image : impossible) {
      kinds_.push_back({.request = {.prompt = "What is it?", .images = {image}, .generation = greedy}});
    }
    const std::vector<Picture> second = {kSource / "examples/blue-heart.png", impossible.front()};
    kinds_.push_back({.request = {.prompt = "What is it?", .images = second, .generation = greedy}});
    kinds_.push_back({.request = {.prompt = context, .generation = greedy}});

    auto pipeline = apply_system_level_optimizations(model_, config());
    for (Kind& kind : kinds_) {
      try {
        kind.answer = pipeline.run_inference(kind.request);
      } catch (const Error& error) {
        kind.error = error;
      }
    }
  }

  // The `client`th of kClients asks its share of `count` requests, cancelling three in ten of them at any
  // moment.
  void ask(OptimizedInferencePipeline& pipeline, int client, int count, Tally& tally) const {
    std::mt19937 random(kSeed + static_cast<unsigned>(client));
    for (int i = client; i < count; i += kClients) {
      const Kind& kind = kinds_[random() % kinds_.size()];
      const bool cancels = random() % 10 < 3;
      const auto moment = std::chrono::microseconds(random() % 10'000);
      try {
        InferenceRequest request = copy_of(kind.request);
        request.client = static_cast<uint64_t>(client);
        InferenceStream stream = pipeline.submit(std::move(request));
        if (cancels) {
          std::this_thread::sleep_for(moment);
          stream.cancel();
        }
        note(tally, stream.result(), kind);
      } catch (const Error& error) {
        note(tally, error, kind);
      }
    }
  }

  // All clients at once, beside somebody who makes trouble. Anything but an Error that leaves the library
  // ends the program.
  Tally serve(int count) {
    std::vector<Tally> tallies(kClients);
    for (Tally& tally : tallies) tally.problem.reserve(1000);
    {
      auto pipeline = apply_system_level_optimizations(model_, config());
      std::atomic<bool> begun = false;
      std::vector<std::jthread> clients;
      for (int client = 0; client < kClients; ++client) {
        clients.emplace_back([&, client] {
          begun.wait(false);
          ask(pipeline, client, count, tallies[static_cast<size_t>(client)]);
        });
      }
      std::optional<FileSizeLimit> limit;
      if (GetParam() == Disk::full) limit.emplace(1000);
      const Trouble trouble(*runtime_, features_, kSeed);
      begun = true;
      begun.notify_all();
      for (std::jthread& client : clients) client.join();
    }
    Tally sum;
    for (const Tally& tally : tallies) {
      sum.answered += tally.answered;
      sum.refused += tally.refused;
      sum.cancelled += tally.cancelled;
      sum.hit += tally.hit;
      if (sum.problem.empty()) sum.problem = tally.problem;
    }
    return sum;
  }

  // What is held when nobody asks and nothing is kept.
  struct Held {
    std::vector<uint64_t> bytes;  ///< of each part of the account
    uint64_t blocks_in_use = 0;   ///< of the pool
    int64_t live_blocks = 0;      ///< of operator new
    uint64_t resident_bytes = 0;  ///< that no file stands behind
  };
  Held held() {
    runtime_->caches->disk.wait();
    runtime_->layer.memory().clean_up(UINT64_MAX);
    Held held;
    held.live_blocks = live_blocks();
    const MemoryReport report = runtime_->layer.memory().report();
    for (const auto& part : report.ledger.parts) held.bytes.push_back(part.held_bytes);
    held.blocks_in_use = report.pool.in_use_blocks;
    held.resident_bytes = report.process->rss_anon.value_or(0);
    return held;
  }

  const fs::path folder_ = fs::temp_directory_path() / ("qvl-stress-" + std::to_string(::getpid()));
  const fs::path features_ = folder_ / "features";
  const std::shared_ptr<detail::Runtime> runtime_ = std::make_shared<detail::Runtime>(options());
  const Model model_{runtime_};
  std::vector<Kind> kinds_;
};

TEST_P(StressedPipeline, answers_as_in_a_quiet_moment_whoever_is_not_hit_and_leaves_nothing_behind) {
  const Held before = held();
  const uint64_t refused_before = refused_requests();
  const Tally warm = serve(kWarmUp);
  const Held between = held();
  const Tally rest = serve(kRequests - kWarmUp);
  const Held after = held();

  std::printf("seed %u: %d answered, %d impossible, %d cancelled, %d hit by %llu refusals of memory\n", kSeed,
              warm.answered + rest.answered, warm.refused + rest.refused, warm.cancelled + rest.cancelled,
              warm.hit + rest.hit, static_cast<unsigned long long>(refused_requests() - refused_before));
  for (const Tally* tally : {&warm, &rest}) EXPECT_EQ(tally->problem, "");
  EXPECT_EQ(rest.answered + rest.refused + rest.cancelled + rest.hit, kRequests - kWarmUp);
  EXPECT_GT(rest.answered, 0);
  EXPECT_GT(rest.refused, 0);
  EXPECT_GT(rest.cancelled, 0);
  EXPECT_GT(rest.hit, 0);
  EXPECT_GT(refused_requests() - refused_before, 0U);

  EXPECT_EQ(after.bytes, before.bytes);
  EXPECT_EQ(after.blocks_in_use, before.blocks_in_use);
  // One block for every tenth of those requests, or 8 KB for each, would be more.
  constexpr int64_t requests = kRequests - kWarmUp;
  EXPECT_LT(after.live_blocks - between.live_blocks, requests / 10);
  if (kMeasuresMemory) {
    EXPECT_LT(after.resident_bytes, between.resident_bytes + requests * 8000);
  }

  // Only what the disk itself refuses is refused for good.
  const std::string problem = runtime_->caches->disk.problem();
  const bool refuses = GetParam() != Disk::damaged;
  EXPECT_THAT(problem, testing::StartsWith(refuses ? "features of pictures are not kept on disk: " : ""));
  EXPECT_EQ(problem.empty(), !refuses);

  if (GetParam() == Disk::damaged) {
    EXPECT_GT(runtime_->caches->features.stats().disk_hits, 0U);
  }
  auto pipeline = apply_system_level_optimizations(model_, config());
  for (const Kind& kind : kinds_) {
    if (!kind.answer) continue;
    EXPECT_EQ(pipeline.run_inference(kind.request).tokens, kind.answer->tokens);
  }
}

std::string name_of_disk(const testing::TestParamInfo<Disk>& info) {
  if (info.param == Disk::damaged) return "damaged";
  return info.param == Disk::full ? "full" : "gone";
}
INSTANTIATE_TEST_SUITE_P(EachDisk, StressedPipeline, testing::Values(Disk::damaged, Disk::full, Disk::gone),
                         name_of_disk);

}  // namespace
}  // namespace qvl::faults
