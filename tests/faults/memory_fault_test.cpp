// The n-th request for memory gets nothing, for every n, once and from then on: the one request ends with an
// error of memory, everything else goes on as before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "memory_faults.h"
#include "pipeline/runtime.h"
#include "qvl/pipeline.h"

namespace qvl::faults {
namespace {

const std::filesystem::path kSource = QVL_SOURCE_DIR;

// Where a scenario asks for memory more often than this, not every n is tried, but the first and last of
// them, and as many between. QVL_ALL_FAULTS=1 tries all.
constexpr uint64_t kEdge = 200, kBetween = 400;

std::vector<uint64_t> faults_to_try(uint64_t count) {
  const bool all = std::getenv("QVL_ALL_FAULTS") != nullptr;
  const uint64_t step = all || count < 2 * kEdge + kBetween ? 1 : (count - 2 * kEdge) / kBetween + 1;
  std::vector<uint64_t> out;
  for (uint64_t n = 1; n <= count;) {
    out.push_back(n);
    n += n < kEdge || n + kEdge >= count ? 1 : std::min(step, count - kEdge - n + 1);
  }
  return out;
}

// The number of the fault under way, for whoever looks for what ended the process.
uint64_t trying = 0;
[[noreturn]] void tell_and_abort() {
  allow_memory();
  std::fprintf(stderr, "the program was terminated with fault %llu\n",
               static_cast<unsigned long long>(trying));
  std::abort();
}

/// Something that takes memory.
struct Scenario {
  std::function<void()> prepare;  ///< with memory for all
  std::function<void()> run;      ///< with one that gets none
  std::function<void()> check;    ///< what must hold afterwards, however it ended
};

// What is wrong with how `run` ended: nothing where it went well or failed for want of memory.
std::string problem_of(const std::function<void()>& run) {
  try {
    run();
    return "";
  } catch (const Error& error) {
    if (error.code() == ErrorCode::limit) return "";
    return std::string("error ") + std::to_string(static_cast<int>(error.code())) + ": " + error.what();
  } catch (const std::exception& error) {
    return std::string("not an Error: ") + error.what();
  }
}

// How often `scenario` asks for memory.
uint64_t requests_of(const Scenario& scenario) {
  scenario.prepare();
  refuse_memory(0, Failing::once);
  scenario.run();
  const uint64_t count = allow_memory();
  scenario.check();
  return count;
}

void fail_everywhere(const Scenario& scenario, Failing failing) {
  std::set_terminate(tell_and_abort);
  requests_of(scenario);  // what is kept from then on is there
  // On a slow machine now and then something falls due meanwhile that looks at the machine: the least counts.
  uint64_t count = requests_of(scenario);
  for (int i = 0; i < 3; ++i) count = std::min(count, requests_of(scenario));
  const auto faults = faults_to_try(count);
  size_t ended = 0;
  for (const uint64_t n : faults) {
    SCOPED_TRACE("fault " + std::to_string(n) + " of " + std::to_string(count));
    scenario.prepare();
    trying = n;
    bool complete = false;
    refuse_memory(n, failing);
    std::string problem = problem_of([&] {
      scenario.run();
      complete = true;
    });
    allow_memory();
    EXPECT_EQ(problem, "");
    ended += complete ? 0 : 1;
    scenario.check();
    if (testing::Test::HasFailure()) return;
  }
  std::printf("%llu requests for memory, %zu faults, %zu of them ended it\n",
              static_cast<unsigned long long>(count), faults.size(), ended);
  // Few do not: a report that is not made, a block that is there after others have given theirs back.
  EXPECT_GT(ended, faults.size() / 2);
}

LoadOptions options() { return {.path = kSource / "models/shapes", .threads = 2, .cache_folder = ""}; }

class MemoryFaults : public testing::TestWithParam<Failing> {};

TEST_P(MemoryFaults, while_loading_leave_nothing_behind) {
  const LoadOptions wanted = options();
  int64_t live = 0;
  const Scenario loading{.prepare = [&] { live = live_blocks(); },
                         .run = [&] { const Model model = load_model(wanted); },
                         .check = [&] { EXPECT_EQ(live_blocks(), live); }};
  fail_everywhere(loading, GetParam());
}

// What each part holds, but for blocks that the pool keeps for the next request.
std::vector<uint64_t> held_by(detail::Runtime& runtime) {
  std::vector<uint64_t> held;
  const LedgerReport report = runtime.layer.memory().ledger().report();
  for (size_t i = 0; i < kMemoryParts; ++i) {
    if (static_cast<MemoryPart>(i) != MemoryPart::pool) held.push_back(report.parts[i].held_bytes);
  }
  return held;
}

/// A loaded checkpoint that records a trace, and what it answers as long as there is memory.
class MemoryFaultsOfRequests : public MemoryFaults {
 protected:
  static LoadOptions traced() {
    LoadOptions wanted = options();
    wanted.trace = true;
    // A sample while a scenario is counted would count as well, and so would a look at the processors.
    wanted.system.enable_profiling = false;
    wanted.system.dynamic_resource_adjustment = false;
    return wanted;
  }
  std::vector<int32_t> answer(const Turn& turn) const {
    return Conversation(model_).ask(turn, generation_, {}).tokens;
  }
  static Turn question(const std::string& picture) {
    return {.text = "What is in the picture?", .images = {kSource / picture}};
  }

  const GenerationOptions generation_{.max_tokens = 6, .temperature = 0};
  const std::shared_ptr<detail::Runtime> runtime_ = std::make_shared<detail::Runtime>(traced());
  const Model model_{runtime_};
};

TEST_P(MemoryFaultsOfRequests, end_the_question_and_neither_the_model_nor_what_it_holds) {
  for (const char* picture : {"examples/blue-heart.png", "examples/white-number-5.jpg",
                              "examples/white-cross.webp", "tests/data/media/animated.gif"}) {
    const Turn turn = question(picture);
    const auto expected = answer(turn);
    const auto held = held_by(*runtime_);
    const Scenario asking{.prepare = [] {},
                          .run = [&] { EXPECT_EQ(answer(turn), expected); },
                          .check =
                              [&] {
                                EXPECT_EQ(held_by(*runtime_), held);
                                EXPECT_EQ(answer(turn), expected);
                                EXPECT_EQ(held_by(*runtime_), held);
                              }};
    fail_everywhere(asking, GetParam());
    if (HasFailure()) return;
  }
}

TEST_P(MemoryFaultsOfRequests, of_a_pipeline_end_one_and_serve_the_next) {
  const Turn turn = question("examples/blue-heart.png");
  const auto expected = answer(turn);
  const auto held = held_by(*runtime_);
  const InferenceRequest request{
      .prompt = turn.text, .images = {turn.images.begin(), turn.images.end()}, .generation = generation_};
  std::optional<OptimizedInferencePipeline> pipeline;
  std::optional<InferenceRequest> next;  // the caller's copies are not what is tried
  const Scenario serving{
      .prepare =
          [&] {
            pipeline.emplace(apply_system_level_optimizations(model_, {}));
            next = request;
          },
      .run = [&] { EXPECT_EQ(pipeline->submit(std::move(*next)).result().tokens, expected); },
      .check =
          [&] {
            EXPECT_EQ(pipeline->run_inference(request).tokens, expected);
            pipeline.reset();
            EXPECT_EQ(held_by(*runtime_), held);
          }};
  fail_everywhere(serving, GetParam());
}

TEST_P(MemoryFaultsOfRequests, of_a_pipeline_that_is_made_leave_the_model_usable) {
  const auto held = held_by(*runtime_);
  const Scenario making{.prepare = [] {},
                        .run = [&] { apply_system_level_optimizations(model_, {}).cleanup(); },
                        .check = [&] { EXPECT_EQ(held_by(*runtime_), held); }};
  fail_everywhere(making, GetParam());
}

std::string name_of_failing(const testing::TestParamInfo<Failing>& info) {
  return info.param == Failing::once ? "once" : "from_then_on";
}
INSTANTIATE_TEST_SUITE_P(Each, MemoryFaults, testing::Values(Failing::once, Failing::from_then_on),
                         name_of_failing);
INSTANTIATE_TEST_SUITE_P(Each, MemoryFaultsOfRequests, testing::Values(Failing::once, Failing::from_then_on),
                         name_of_failing);

}  // namespace
}  // namespace qvl::faults
