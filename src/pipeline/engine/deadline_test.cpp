// Requests whose time is up: they end with what they have, wherever they are, and leave nothing behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/error_testing.h"
#include "base/json.h"
#include "pipeline/runtime.h"
#include "qvl/pipeline.h"

namespace qvl {
namespace {

const std::filesystem::path kSource = QVL_SOURCE_DIR;

Model small_model() {
  return load_model({.path = kSource / "models/shapes", .threads = 2, .cache_folder = ""});
}

InferenceRequest picture_request() {
  return {.prompt = "What is in the picture?", .images = {kSource / "examples/blue-heart.png"}};
}

/// A word each step, for ever; what it was asked for is counted.
class Endless : public InferenceModel {
 public:
  struct Job : InferenceJob {
    explicit Job(Endless& model) : owner(model) { ++owner.alive; }
    ~Job() override { --owner.alive; }
    InferenceNeeds needs() const override { return {.steps = InferenceNeeds::kMostSteps}; }
    InferenceStep step(StepContext& context) override {
      if (owner.waits) {
        while (!context.cancelled()) std::this_thread::yield();
      }
      return {.text = "w ", .tokens = {static_cast<int32_t>(owner.steps++)}};
    }
    Endless& owner;
  };
  enum class Hangs { nowhere, preparing, computing };
  explicit Endless(Hangs hangs) : waits(hangs == Hangs::computing), preparing(hangs == Hangs::preparing) {}

  std::string name() const override { return "endless"; }
  std::unique_ptr<InferenceJob> prepare(const InferenceRequest&, std::stop_token stop) override {
    while (preparing && !stop.stop_requested()) std::this_thread::yield();
    return std::make_unique<Job>(*this);
  }

  const bool waits, preparing;
  std::atomic<int> steps{0}, alive{0};
};

TEST(Deadline, ends_an_answer_with_all_that_was_made_until_then) {
  const auto model = std::make_shared<Endless>(Endless::Hangs::nowhere);
  auto pipeline = apply_system_level_optimizations(model, {.num_compute_threads = 1});
  const InferenceOutput output = pipeline.run_inference({.prompt = "Go on.", .deadline_ms = 30});
  EXPECT_EQ(output.finish_reason, FinishReason::deadline);
  EXPECT_EQ(name_of(output.finish_reason), "deadline");
  EXPECT_EQ(std::ssize(output.tokens), model->steps);
  EXPECT_EQ(std::ssize(output.text), 2 * model->steps);
  EXPECT_EQ(output.usage.completion_tokens, model->steps);
  EXPECT_EQ(model->alive, 0);
  const PerformanceMetrics metrics = pipeline.get_performance_metrics();
  EXPECT_EQ(metrics.overdue_inferences, 1u);
  EXPECT_EQ(metrics.total_inferences + metrics.cancelled_inferences + metrics.failed_inferences, 0u);
  EXPECT_EQ(OrderedJson::parse(to_json(metrics))["overdue_inferences"], 1);
}

TEST(Deadline, is_told_to_a_step_that_waits) {
  const auto model = std::make_shared<Endless>(Endless::Hangs::computing);
  auto pipeline = apply_system_level_optimizations(model, {.num_compute_threads = 1});
  const InferenceOutput output = pipeline.run_inference({.prompt = "Go on.", .deadline_ms = 30});
  EXPECT_EQ(output.finish_reason, FinishReason::deadline);
  EXPECT_EQ(std::ssize(output.tokens), model->steps);  // none where its time was up before its first step
  EXPECT_LE(model->steps, 1);
}

TEST(Deadline, ends_a_request_that_is_being_prepared_without_an_answer) {
  const auto model = std::make_shared<Endless>(Endless::Hangs::preparing);
  auto pipeline = apply_system_level_optimizations(model, {.num_compute_threads = 1});
  const InferenceOutput output = pipeline.run_inference({.prompt = "Go on.", .deadline_ms = 1});
  EXPECT_EQ(output.finish_reason, FinishReason::deadline);
  EXPECT_TRUE(output.tokens.empty());
  EXPECT_EQ(output.text, "");
  EXPECT_EQ(model->steps, 0);
  EXPECT_EQ(model->alive, 0);
}

TEST(Deadline, of_one_request_leaves_the_others_alone) {
  const auto model = std::make_shared<Endless>(Endless::Hangs::nowhere);
  auto pipeline = apply_system_level_optimizations(model, {.num_compute_threads = 1});
  InferenceStream first = pipeline.submit({.prompt = "Go on.", .deadline_ms = 60});
  InferenceStream second = pipeline.submit({.prompt = "Go on."});
  InferenceStream third = pipeline.submit({.prompt = "Go on.", .deadline_ms = 20});
  EXPECT_EQ(third.result().finish_reason, FinishReason::deadline);
  EXPECT_EQ(first.result().finish_reason, FinishReason::deadline);
  EXPECT_FALSE(second.wait_for_result(std::chrono::milliseconds(0)));
  second.cancel();
  EXPECT_EQ(second.result().finish_reason, FinishReason::cancelled);
  EXPECT_EQ(pipeline.get_performance_metrics().overdue_inferences, 2u);
}

TEST(Deadline, cuts_the_answer_of_a_checkpoint_anywhere) {
  const Model model = small_model();
  InferenceRequest request = picture_request();
  auto pipeline = apply_system_level_optimizations(model, {});
  const std::vector<int32_t> whole = pipeline.run_inference(request).tokens;
  for (const int64_t ms : {1, 2, 4, 8, 16, 32, 64, 128, 600'000}) {
    request.deadline_ms = ms;
    const InferenceOutput output = pipeline.run_inference(request);
    ASSERT_LE(output.tokens.size(), whole.size()) << ms;
    const auto end = whole.begin() + std::ssize(output.tokens);
    EXPECT_TRUE(std::equal(whole.begin(), end, output.tokens.begin())) << ms;
    if (end == whole.end() && output.finish_reason == FinishReason::stop) continue;
    EXPECT_EQ(output.finish_reason, FinishReason::deadline) << ms;
  }
}

// While a conversation answers, nothing of a pipeline is computed: its requests wait, admitted, with memory
// for keys and values.
TEST(Deadline, ends_a_request_that_waits_for_its_turn_and_gives_its_memory_back) {
  const Model model = small_model();
  auto pipeline = apply_system_level_optimizations(model, {});
  const auto held = [&] {
    return model.runtime().layer.memory().ledger().report().of(MemoryPart::kv).held_bytes;
  };
  Conversation conversation(model);
  int answered = 0;
  const auto on_text = [&](std::string_view) {
    if (answered++ > 0) return;
    const uint64_t before = held();
    InferenceRequest request = picture_request();
    request.deadline_ms = 50;
    const InferenceOutput output = pipeline.run_inference(request);
    EXPECT_EQ(output.finish_reason, FinishReason::deadline);
    EXPECT_TRUE(output.tokens.empty());
    EXPECT_EQ(held(), before);
  };
  const Answer answer = conversation.ask({.text = "Name a colour."}, {}, {.text = on_text});
  EXPECT_GT(answered, 0);
  EXPECT_NE(answer.finish_reason, FinishReason::cancelled);
  EXPECT_EQ(pipeline.get_performance_metrics().overdue_inferences, 1u);
  EXPECT_THAT(pipeline.run_inference(picture_request()).text, ::testing::HasSubstr("heart"));
}

TEST(Deadline, out_of_its_range_is_refused_at_once) {
  auto pipeline = apply_system_level_optimizations(std::make_shared<Endless>(Endless::Hangs::nowhere), {});
  for (const int64_t ms : {int64_t{0}, int64_t{-1}, int64_t{1} << 31}) {
    EXPECT_EQ(error_of(ErrorCode::usage, [&] { pipeline.submit({.prompt = "x", .deadline_ms = ms}); }),
              "deadline_ms: found " + std::to_string(ms) + ", expected 1 to 2147483647");
  }
}

/// Notes in which order requests are prepared; the first waits until it is told to go on.
class Noting : public InferenceModel {
 public:
  struct Job : InferenceJob {
    InferenceStep step(StepContext&) override { return {.finish = FinishReason::stop}; }
  };
  std::string name() const override { return "noting"; }
  std::unique_ptr<InferenceJob> prepare(const InferenceRequest& request, std::stop_token) override {
    if (order.empty()) {
      begun.count_down();
      go_on.wait();
    }
    order += request.prompt;
    return std::make_unique<Job>();
  }
  std::latch begun{1}, go_on{1};
  std::string order;  // of the one thread that prepares
};

TEST(Deadline, comes_first_among_requests_of_one_client) {
  const auto model = std::make_shared<Noting>();
  auto pipeline = apply_system_level_optimizations(std::static_pointer_cast<InferenceModel>(model),
                                                   {.num_compute_threads = 1, .num_preprocess_threads = 1});
  std::vector<InferenceStream> streams;
  const auto submit = [&](const char* prompt, uint64_t client, std::optional<int64_t> deadline_ms) {
    streams.push_back(pipeline.submit({.prompt = prompt, .client = client, .deadline_ms = deadline_ms}));
  };
  submit("a", 1, {});  // a turn of client 1
  model->begun.wait();
  submit("b", 1, {});
  submit("c", 1, 2'000'000);
  submit("d", 1, 1'000'000);
  submit("e", 2, {});  // client 2 has the next
  const auto arrived = [&] {
    const auto report = Json::parse(pipeline.get_performance_metrics().system_optimization_report);
    return report["resource_status"]["requests"]["arrived"];
  };
  while (arrived() != 4) std::this_thread::yield();  // the engine has all of them in its queue
  model->go_on.count_down();
  for (InferenceStream& stream : streams) EXPECT_EQ(stream.result().finish_reason, FinishReason::stop);
  EXPECT_EQ(model->order, "aedcb");
}

}  // namespace
}  // namespace qvl
