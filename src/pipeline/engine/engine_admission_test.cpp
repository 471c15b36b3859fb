// Requests that find no memory while others hold some: they wait, and are answered as they would be alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <latch>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/error_testing.h"
#include "base/json.h"
#include "memory/memory_testing.h"
#include "pipeline/runtime.h"
#include "qvl/pipeline.h"

namespace qvl {
namespace {

using testing::ElementsAre;
using testing::MatchesRegex;

// How many requests the engine has in each state.
Json requests_of(const OptimizedInferencePipeline& pipeline) {
  const auto report = Json::parse(pipeline.get_performance_metrics().system_optimization_report);
  return report["resource_status"]["requests"];
}

/// Has memory for one request at a time, and none for one called "huge". A job called "long" goes on until it
/// is told to end; the others take one step.
class Narrow : public InferenceModel {
 public:
  struct Job : InferenceJob {
    Job(Narrow& model, bool endless) : owner(model), goes_on(endless) {}
    ~Job() override { owner.taken = false; }
    InferenceNeeds needs() const override { return {.steps = InferenceNeeds::kMostSteps}; }
    InferenceStep step(StepContext&) override {
      ++owner.steps;
      if (goes_on && !owner.released) return {.text = "w "};
      return {.text = "end", .finish = FinishReason::stop};
    }
    Narrow& owner;
    const bool goes_on;
  };

  std::string name() const override { return "narrow"; }
  std::unique_ptr<InferenceJob> prepare(const InferenceRequest& request, std::stop_token) override {
    {
      const std::lock_guard lock(mutex_);
      tried_.push_back(request.prompt);
    }
    if (request.prompt == "huge" || taken.exchange(true)) {
      fail_short_of_memory("not enough memory for {}", request.prompt);
    }
    return std::make_unique<Job>(*this, request.prompt == "long");
  }
  /// Of those whose preparation has begun, in this order.
  std::vector<std::string> tried() const {
    const std::lock_guard lock(mutex_);
    return tried_;
  }

  std::atomic<bool> taken{false}, released{false};
  std::atomic<int> steps{0};

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> tried_;
};

class NarrowMemory : public testing::Test {
 protected:
  InferenceStream submit(const char* prompt, RequestClass urgency = RequestClass::normal,
                         std::optional<int64_t> deadline_ms = {}) {
    return pipeline_.submit({.prompt = prompt, .request_class = urgency, .deadline_ms = deadline_ms});
  }
  // One that holds the memory from now on.
  InferenceStream submit_long() {
    InferenceStream stream = submit("long");
    wait_for_steps(1);
    return stream;
  }
  void wait_for_steps(int more) const {
    const int until = model_->steps + more;
    while (model_->steps < until) std::this_thread::yield();
  }
  // Until a request waits to be prepared: while one may be, none does but those that were set back.
  void wait_for_one_set_back() const {
    while (requests_of(pipeline_)["arrived"] != 1) std::this_thread::yield();
  }

  std::shared_ptr<Narrow> model_ = std::make_shared<Narrow>();
  OptimizedInferencePipeline pipeline_ =
      apply_system_level_optimizations(std::static_pointer_cast<InferenceModel>(model_),
                                       {.num_compute_threads = 1,
                                        .num_preprocess_threads = 1,
                                        .enable_profiling = false,
                                        .scheduling_algorithm = SchedulingAlgorithm::priority,
                                        .dynamic_resource_adjustment = false});
};

TEST_F(NarrowMemory, is_waited_for_while_another_request_holds_it) {
  InferenceStream first = submit_long();
  InferenceStream second = submit("second");
  wait_for_one_set_back();
  wait_for_steps(100);
  EXPECT_FALSE(second.wait_for_result(std::chrono::milliseconds(0)));
  EXPECT_THAT(model_->tried(), ElementsAre("long", "second"));  // nothing came free: nothing to try again for
  model_->released = true;
  EXPECT_EQ(first.result().finish_reason, FinishReason::stop);
  EXPECT_EQ(second.result().text, "end");
  EXPECT_THAT(model_->tried(), ElementsAre("long", "second", "second"));
  EXPECT_EQ(pipeline_.get_performance_metrics().total_inferences, 2u);
}

TEST_F(NarrowMemory, is_the_more_urgent_ones_first) {
  InferenceStream first = submit_long();
  std::vector<InferenceStream> streams;
  streams.push_back(submit("later", RequestClass::background));
  wait_for_one_set_back();
  streams.push_back(submit("soon", RequestClass::normal));
  streams.push_back(submit("now", RequestClass::interactive));
  wait_for_steps(100);
  model_->released = true;
  for (InferenceStream& stream : streams) EXPECT_EQ(stream.result().text, "end");
  EXPECT_THAT(model_->tried(), ElementsAre("long", "later", "now", "soon", "later"));
}

TEST_F(NarrowMemory, that_will_never_do_is_an_error_of_one_request) {
  EXPECT_EQ(error_of(ErrorCode::limit, [&] { submit("huge").result(); }), "not enough memory for huge");
  EXPECT_THAT(model_->tried(), ElementsAre("huge"));  // alone it is not tried twice
  InferenceStream first = submit_long();
  InferenceStream huge = submit("huge");
  wait_for_one_set_back();
  InferenceStream small = submit("small");
  model_->released = true;
  EXPECT_EQ(first.result().finish_reason, FinishReason::stop);
  EXPECT_EQ(error_of(ErrorCode::limit, [&] { huge.result(); }), "not enough memory for huge");
  EXPECT_EQ(small.result().text, "end");
  const PerformanceMetrics metrics = pipeline_.get_performance_metrics();
  EXPECT_EQ(metrics.total_inferences, 2u);
  EXPECT_EQ(metrics.failed_inferences, 2u);
}

TEST_F(NarrowMemory, need_not_come_free_for_a_request_that_is_cancelled_or_overdue) {
  InferenceStream first = submit_long();
  InferenceStream cancelled = submit("cancelled");
  wait_for_one_set_back();
  InferenceStream overdue = submit("overdue", RequestClass::normal, 20);
  cancelled.cancel();
  EXPECT_EQ(cancelled.result().finish_reason, FinishReason::cancelled);
  EXPECT_EQ(overdue.result().finish_reason, FinishReason::deadline);
  EXPECT_FALSE(first.wait_for_result(std::chrono::milliseconds(0)));
  model_->released = true;
  EXPECT_EQ(first.result().finish_reason, FinishReason::stop);
  EXPECT_EQ(submit("next").result().text, "end");
}

TEST_F(NarrowMemory, need_not_come_free_for_a_shutdown) {
  InferenceStream first = submit_long();
  InferenceStream second = submit("second");
  wait_for_one_set_back();
  pipeline_.cleanup();
  EXPECT_EQ(first.result().finish_reason, FinishReason::cancelled);
  EXPECT_EQ(second.result().finish_reason, FinishReason::cancelled);
  EXPECT_FALSE(model_->taken);
}

const std::filesystem::path kSource = QVL_SOURCE_DIR;

// Pictures that are as good as all different: nothing is kept for later requests.
class PicturesUnderACap : public testing::Test {
 protected:
  static constexpr int kPreparing = 4;

  /// Of the memory, requests may hold the share `together`.
  explicit PicturesUnderACap(double together = 1) : together_(together) {}

  static LoadOptions options() {
    LoadOptions options{.path = kSource / "models/shapes", .threads = 1, .cache_folder = ""};
    options.disabled_passes = {"feature_cache", "prefix_cache"};
    options.system.memory_pool_size = 0;
    options.system.dynamic_resource_adjustment = false;
    return options;
  }
  static std::vector<InferenceRequest> requests(size_t count) {
    const char* names[] = {"blue-heart.png",
                           "white-number-5.jpg",
                           "white-cross.webp",
                           "yellow-square-orange-number-0.png",
                           "black-triangle-blue-star.jpg",
                           "yellow-cross-green-square.jpg",
                           "green-heart-green-star.webp"};
    std::vector<InferenceRequest> out;
    for (size_t i = 0; i < count; ++i) {
      InferenceRequest request{.prompt = "What is in the picture?",
                               .generation = {.max_tokens = 8, .temperature = 0}};
      request.images.push_back(kSource / "examples" / names[i % std::size(names)]);
      if (i % 5 == 4) request.images.push_back(kSource / "examples" / names[(i + 1) % std::size(names)]);
      out.push_back(std::move(request));
    }
    return out;
  }
  Ledger& ledger() { return runtime_->layer.memory().ledger(); }
  uint64_t refusals() { return runtime_->layer.memory().pool().stats().refusals; }
  // When the engine has given back what its steps share.
  uint64_t held_at_the_end() {
    pipeline_.cleanup();
    return ledger().report().held_bytes;
  }
  uint64_t most_of(std::span<const InferenceRequest> requests) {
    uint64_t most = 0;
    for (const InferenceRequest& request : requests) {
      most = std::max(most, pipeline_.plan(request).memory_bytes);
    }
    return most;
  }
  std::vector<InferenceStream> submit(std::span<const InferenceRequest> requests) {
    std::vector<InferenceStream> streams;
    for (const InferenceRequest& request : requests) streams.push_back(pipeline_.submit(request));
    return streams;
  }
  std::vector<std::vector<int32_t>> answers_alone(std::span<const InferenceRequest> requests) {
    std::vector<std::vector<int32_t>> answers;
    for (const InferenceRequest& request : requests) {
      answers.push_back(pipeline_.run_inference(request).tokens);
      EXPECT_FALSE(answers.back().empty());
    }
    return answers;
  }

  const double together_;
  // Asked all at once under a cap that holds one of them, as without a cap.
  void expect_answers_one_at_a_time(std::span<const InferenceRequest> asked) {
    const auto expected = answers_alone(asked);
    ledger().set_cap(base_ + most_of(asked));
    auto streams = submit(asked);
    for (size_t i = 0; i < streams.size(); ++i) EXPECT_EQ(streams[i].result().tokens, expected[i]) << i;
    EXPECT_EQ(held_at_the_end(), base_);
  }

  CountedMemory blocks_;
  std::shared_ptr<detail::Runtime> runtime_ =
      std::make_shared<detail::Runtime>(options(), detail::RuntimeSystem{.blocks = &blocks_});
  OptimizedInferencePipeline pipeline_ =
      apply_system_level_optimizations(Model(runtime_), {.num_compute_threads = 1,
                                                         .num_preprocess_threads = kPreparing,
                                                         .memory_pool_size = 0,
                                                         .enable_profiling = false,
                                                         .resource_reservation_ratio = together_,
                                                         .dynamic_resource_adjustment = false});
  const uint64_t base_ = ledger().report().held_bytes;
};

TEST_F(PicturesUnderACap, of_which_one_fits_at_a_time_are_all_answered_as_without_one) {
  const auto asked = requests(20);
  expect_answers_one_at_a_time(asked);
  EXPECT_EQ(pipeline_.get_performance_metrics().failed_inferences, 0u);
  EXPECT_EQ(runtime_->layer.requests().done(), 2 * asked.size());  // each once, however often it was set back
}

class PicturesThatShareLess : public PicturesUnderACap {
 protected:
  PicturesThatShareLess() : PicturesUnderACap(0.3) {}
};

TEST_F(PicturesThatShareLess, than_one_of_them_takes_are_answered_one_at_a_time) {
  expect_answers_one_at_a_time(requests(10));
}

TEST_F(PicturesUnderACap, fail_alone_where_they_never_fit) {
  auto asked = requests(12);
  const uint64_t most = most_of(asked);
  std::set<size_t> largest;
  for (size_t i = 0; i < asked.size(); ++i) {
    if (pipeline_.plan(asked[i]).memory_bytes == most) largest.insert(i);
  }
  ASSERT_LT(largest.size(), asked.size() / 2);
  const auto expected = answers_alone(asked);
  ledger().set_cap(base_ + most - 1);
  auto streams = submit(asked);
  for (size_t i = 0; i < streams.size(); ++i) {
    if (!largest.contains(i)) {
      EXPECT_EQ(streams[i].result().tokens, expected[i]) << i;
      continue;
    }
    EXPECT_THAT(
        error_of(ErrorCode::limit, [&] { streams[i].result(); }),
        MatchesRegex("request: needs [0-9.]+ [KM]iB \\(.*\\), [0-9.]+ [KM]iB are free of the limit of "
                     "[0-9.]+ MiB \\(--memory-limit\\)"))
        << i;
  }
  EXPECT_EQ(held_at_the_end(), base_);
}

TEST_F(PicturesUnderACap, are_cancelled_wherever_they_wait) {
  const auto asked = requests(20);
  const auto expected = answers_alone(asked);
  ledger().set_cap(base_ + most_of(asked));
  auto streams = submit(asked);
  for (size_t i = 0; i < streams.size(); i += 2) streams[i].cancel();
  for (size_t i = 0; i < streams.size(); ++i) {
    const InferenceOutput output = streams[i].result();
    if (i % 2 == 0 && output.finish_reason == FinishReason::cancelled) continue;
    EXPECT_EQ(output.tokens, expected[i]) << i;
  }
  EXPECT_EQ(held_at_the_end(), base_);
}

// None is prepared until all are under way, so each has met the others: one block is refused in the midst of
// their preparation or their steps, and none of them fails for it.
TEST_F(PicturesUnderACap, do_not_notice_a_block_that_is_refused_while_they_are_together) {
  const auto asked = requests(4);
  const auto expected = answers_alone(asked);
  bool refused = true;
  uint64_t n = 0;
  while (refused && n < 10'000) {
    std::latch open{1};
    auto& pool = runtime_->layer.threads().preprocess();
    std::vector<std::future<void>> closed;
    for (int i = 0; i < kPreparing; ++i) closed.push_back(pool.submit([&] { open.wait(); }));
    auto streams = submit(asked);
    while (requests_of(pipeline_)["preparing"] != asked.size()) std::this_thread::yield();
    const uint64_t before = refusals();
    blocks_.fail_at(++n, [&] { return refusals() > before; });
    open.count_down();
    for (size_t i = 0; i < streams.size(); ++i) {
      ASSERT_EQ(streams[i].result().tokens, expected[i]) << n << " " << i;
    }
    blocks_.fail_never();
    refused = refusals() > before;
    for (const auto& thread : closed) thread.wait();
  }
  EXPECT_GT(n, 20u);
  EXPECT_LT(n, 10'000u);
  EXPECT_EQ(held_at_the_end(), base_);
}

}  // namespace
}  // namespace qvl
