// A model of the user's own in a pipeline: scheduled, bounded in memory, cancelled and counted as ours.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <latch>
#include <stdexcept>
#include <thread>

#include "base/error_testing.h"
#include "base/json.h"
#include "qvl/pipeline.h"
#include "threads/os_thread.h"

namespace qvl {
namespace {

using Step = std::function<InferenceStep(StepContext& context, int64_t index)>;

/// Counts jobs that are there.
class FakeJob : public InferenceJob {
 public:
  FakeJob(InferenceNeeds needs, Step step, std::atomic<int>& alive)
      : needs_(needs), step_(std::move(step)), alive_(alive) {
    ++alive_;
  }
  ~FakeJob() override { --alive_; }
  InferenceNeeds needs() const override { return needs_; }
  InferenceStep step(StepContext& context) override { return step_(context, index_++); }

 private:
  const InferenceNeeds needs_;
  const Step step_;
  std::atomic<int>& alive_;
  int64_t index_ = 0;
};

/// Answers each request by what the test says of its prompt.
class FakeModel : public InferenceModel {
 public:
  struct Plan {
    InferenceNeeds needs = {};
    Step step = {};
  };
  explicit FakeModel(std::function<Plan(const std::string& prompt)> plan, uint64_t bytes = 0)
      : plan_(std::move(plan)), bytes_(bytes) {}

  std::string name() const override { return "fake"; }
  uint64_t memory_bytes() const override { return bytes_; }
  std::unique_ptr<InferenceJob> prepare(const InferenceRequest& request, std::stop_token) override {
    Plan plan = plan_(request.prompt);
    if (!plan.step) return nullptr;
    return std::make_unique<FakeJob>(plan.needs, std::move(plan.step), alive_);
  }
  int alive() const { return alive_; }

 private:
  const std::function<Plan(const std::string&)> plan_;
  const uint64_t bytes_;
  std::atomic<int> alive_{0};
};

// `count` steps of one word each.
FakeModel::Plan words(int64_t count) {
  return {.needs = {.steps = count}, .step = [count](StepContext&, int64_t i) {
            InferenceStep made{.text = "w" + std::to_string(i) + " ", .tokens = {static_cast<int32_t>(i)}};
            if (i + 1 == count) made.finish = FinishReason::stop;
            return made;
          }};
}

InferenceStep done(std::string text) { return {.text = std::move(text), .finish = FinishReason::stop}; }

InferenceStep pause() {
  std::this_thread::yield();
  return {};
}

TEST(OpaqueModel, answers_step_by_step) {
  const auto model = std::make_shared<FakeModel>([](const std::string&) { return words(3); });
  auto pipeline = apply_system_level_optimizations(model, {.num_compute_threads = 2});
  InferenceStream stream = pipeline.submit({.prompt = "Say."});
  std::string text;
  std::vector<InferenceEvent::Kind> kinds;
  while (const auto event = stream.next()) {
    if (kinds.empty() || kinds.back() != event->kind) kinds.push_back(event->kind);
    text += event->text;
  }
  const InferenceOutput output = stream.result();
  using Kind = InferenceEvent::Kind;
  EXPECT_THAT(kinds, ::testing::ElementsAre(Kind::admitted, Kind::text, Kind::finished));
  EXPECT_EQ(text, "w0 w1 w2 ");
  EXPECT_EQ(output.text, text);
  EXPECT_THAT(output.tokens, ::testing::ElementsAre(0, 1, 2));
  EXPECT_EQ(output.usage.completion_tokens, 3);
  EXPECT_EQ(output.finish_reason, FinishReason::stop);
  EXPECT_EQ(model->alive(), 0);
}

TEST(OpaqueModel, answers_batches_in_order_and_counts_them) {
  auto pipeline = apply_system_level_optimizations(
      std::make_shared<FakeModel>([](const std::string& prompt) { return words(std::ssize(prompt)); }),
      {.num_compute_threads = 2});
  std::vector<InferenceRequest> requests;
  for (int i = 0; i < 100; ++i)
    requests.push_back({.prompt = std::string(static_cast<size_t>(i % 7 + 1), 'x')});
  const auto outputs = pipeline.run_batch_inference(requests);
  ASSERT_EQ(outputs.size(), 100U);
  int64_t steps = 0;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(std::ssize(outputs[static_cast<size_t>(i)].tokens), i % 7 + 1) << i;
    steps += i % 7 + 1;
  }
  const PerformanceMetrics metrics = pipeline.get_performance_metrics();
  EXPECT_EQ(metrics.total_inferences, 100U);
  ASSERT_EQ(metrics.stages.size(), 2U);
  EXPECT_EQ(metrics.stages[0].stage, "queue");
  EXPECT_EQ(metrics.stages[1].stage, "step");
  EXPECT_EQ(metrics.stages[1].count, static_cast<uint64_t>(steps));
}

class OpaqueModelUnder : public ::testing::TestWithParam<SchedulingAlgorithm> {};

// Each goes on until both have made three steps: one after the other, the first would never end.
TEST_P(OpaqueModelUnder, gives_requests_their_steps_in_turns) {
  std::atomic<int> steps[2] = {0, 0};
  const auto model = std::make_shared<FakeModel>([&](const std::string& prompt) {
    const size_t own = prompt == "a" ? 0 : 1;
    return FakeModel::Plan{.needs = {.steps = InferenceNeeds::kMostSteps},
                           .step = [&steps, own](StepContext&, int64_t) {
                             ++steps[own];
                             return std::min<int>(steps[0], steps[1]) >= 3 ? done("done") : pause();
                           }};
  });
  auto pipeline =
      apply_system_level_optimizations(model, {.num_compute_threads = 2, .scheduling_algorithm = GetParam()});
  InferenceStream a = pipeline.submit({.prompt = "a"}), b = pipeline.submit({.prompt = "b"});
  EXPECT_EQ(a.result().text, "done");
  EXPECT_EQ(b.result().text, "done");
}

INSTANTIATE_TEST_SUITE_P(EachAlgorithm, OpaqueModelUnder,
                         ::testing::Values(SchedulingAlgorithm::round_robin, SchedulingAlgorithm::priority,
                                           SchedulingAlgorithm::load_balanced));

uint64_t free_bytes(const OptimizedInferencePipeline& pipeline) {
  const auto report = OrderedJson::parse(pipeline.get_performance_metrics().system_optimization_report);
  const auto& memory = report["memory_efficiency"];
  return memory["cap_bytes"].get<uint64_t>() - memory["held_bytes"].get<uint64_t>();
}

TEST(OpaqueModel, is_given_no_more_requests_than_fit_in_memory) {
  std::atomic<uint64_t> bytes{0};
  std::atomic<int> under_way{0}, most{0};
  const auto model = std::make_shared<FakeModel>([&](const std::string&) {
    return FakeModel::Plan{.needs = {.memory_bytes = bytes, .steps = 4},
                           .step = [&](StepContext&, int64_t i) {
                             if (i == 0) most = std::max<int>(most, ++under_way);
                             if (i == 3) --under_way;
                             return i == 3 ? done("") : pause();
                           }};
  });
  auto pipeline = apply_system_level_optimizations(
      model, {.num_compute_threads = 2, .memory_limit_ratio = 0.8, .resource_reservation_ratio = 0.7});
  bytes = free_bytes(pipeline) / 5 * 2;  // one fits into seven tenths, two do not
  const std::vector<InferenceRequest> requests(20, {.prompt = "x"});
  EXPECT_EQ(pipeline.run_batch_inference(requests).size(), 20U);
  EXPECT_EQ(most, 1);
  bytes = free_bytes(pipeline) * 2;
  EXPECT_THAT(error_of(ErrorCode::limit, [&] { pipeline.run_inference({.prompt = "x"}); }),
              ::testing::MatchesRegex("request: needs .* GiB \\(other .*\\), .* GiB are free of the limit of "
                                      ".*"));
  EXPECT_EQ(model->alive(), 0);
}

TEST(OpaqueModel, is_refused_where_it_does_not_fit_itself) {
  const auto model = std::make_shared<FakeModel>([](const std::string&) { return words(1); }, 1ULL << 60);
  EXPECT_THAT(error_of(ErrorCode::limit, [&] { apply_system_level_optimizations(model, {}); }),
              ::testing::StartsWith("fake: the model needs 1073741824.00 GiB (weights 1073741824.00), "));
  EXPECT_EQ(error_of(ErrorCode::usage,
                     [] { apply_system_level_optimizations(std::shared_ptr<InferenceModel>(), {}); }),
            "model: found none, expected one");
}

TEST(OpaqueModel, ends_a_cancelled_request_after_its_step) {
  const auto model = std::make_shared<FakeModel>([](const std::string&) {
    return FakeModel::Plan{.needs = {.steps = InferenceNeeds::kMostSteps},
                           .step = [](StepContext& context, int64_t i) {
                             if (i == 0) return InferenceStep{.text = "begun"};
                             while (!context.cancelled()) std::this_thread::yield();
                             return InferenceStep{};
                           }};
  });
  auto pipeline = apply_system_level_optimizations(model, {.num_compute_threads = 2});
  InferenceStream stream = pipeline.submit({.prompt = "x"});
  while (stream.next()->text.empty()) {
  }
  stream.cancel();
  const InferenceOutput output = stream.result();
  EXPECT_EQ(output.finish_reason, FinishReason::cancelled);
  EXPECT_EQ(output.text, "begun");
  EXPECT_EQ(model->alive(), 0);
  InferenceStream left = pipeline.submit({.prompt = "x"});
  while (left.next()->text.empty()) {
  }
  pipeline.cleanup();
  EXPECT_EQ(left.result().finish_reason, FinishReason::cancelled);
  EXPECT_EQ(model->alive(), 0);
}

TEST(OpaqueModel, fails_for_one_request_alone) {
  const auto model = std::make_shared<FakeModel>([](const std::string& prompt) {
    if (prompt == "prepare") throw std::domain_error("no such place");
    if (prompt == "nothing") return FakeModel::Plan{};
    if (prompt == "many") return FakeModel::Plan{.needs = {.steps = 0}, .step = words(1).step};
    if (prompt != "step") return words(50);
    return FakeModel::Plan{.needs = {.steps = 9}, .step = [](StepContext&, int64_t i) -> InferenceStep {
                             if (i == 4) throw std::domain_error("of the fifth step");
                             if (i == 3) return {.text = "x"};
                             return {};
                           }};
  });
  auto pipeline = apply_system_level_optimizations(model, {.num_compute_threads = 2});
  std::vector<InferenceStream> good;
  for (int i = 0; i < 3; ++i) good.push_back(pipeline.submit({.prompt = "good"}));
  EXPECT_THROW(pipeline.run_inference({.prompt = "step"}), std::domain_error);
  EXPECT_THROW(pipeline.run_inference({.prompt = "prepare"}), std::domain_error);
  EXPECT_EQ(error_of(ErrorCode::usage, [&] { pipeline.run_inference({.prompt = "nothing"}); }),
            "fake: prepare: found no job, expected one");
  EXPECT_EQ(error_of(ErrorCode::usage, [&] { pipeline.run_inference({.prompt = "many"}); }),
            "fake: needs: steps: found 0, expected 1 to 16777216");
  for (InferenceStream& stream : good) EXPECT_EQ(stream.result().tokens.size(), 50U);
  const PerformanceMetrics metrics = pipeline.get_performance_metrics();
  EXPECT_EQ(metrics.total_inferences, 3U);
  EXPECT_EQ(metrics.failed_inferences, 4U);
}

TEST(OpaqueModel, ends_for_its_length_where_it_has_no_end) {
  auto pipeline = apply_system_level_optimizations(
      std::make_shared<FakeModel>([](const std::string&) {
        return FakeModel::Plan{.needs = {.steps = 5},
                               .step = [](StepContext&, int64_t) { return InferenceStep{.text = "x"}; }};
      }),
      {.num_compute_threads = 2});
  const InferenceOutput output = pipeline.run_inference({.prompt = "x"});
  EXPECT_EQ(output.text, "xxxxx");
  EXPECT_EQ(output.finish_reason, FinishReason::length);
}

TEST(OpaqueModel, computes_on_the_threads_of_the_pipeline) {
  std::vector<int> touched(1000);
  const auto model = std::make_shared<FakeModel>([&](const std::string& prompt) {
    return FakeModel::Plan{.step = [&touched, prompt](StepContext& context, int64_t) {
      context.parallel_for(touched.size(), 7, [&](size_t begin, size_t end) {
        EXPECT_LE(end - begin, 7U);
        for (size_t i = begin; i < end; ++i) ++touched[i];
        if (prompt == "fail" && begin == 0) throw std::domain_error("of a block");
      });
      return done("");
    }};
  });
  auto pipeline = apply_system_level_optimizations(model, {.num_compute_threads = 2});
  pipeline.run_inference({.prompt = "x"});
  EXPECT_THAT(touched, ::testing::Each(1));
  EXPECT_THROW(pipeline.run_inference({.prompt = "fail"}), std::domain_error);
  EXPECT_THAT(touched, ::testing::Each(2));
}

// The calling thread's. Other classes than batch are normal.
OsPriority::Class os_class() { return thread_priority(this_thread_id()).os_class; }

bool can_tell_background_work() {
  const OsPriority own = thread_priority(this_thread_id());
  const OsPriority batch{.nice = own.nice, .os_class = OsPriority::Class::batch};
  const bool told = own.os_class == OsPriority::Class::normal &&
                    set_thread_priority(this_thread_id(), batch) && os_class() == OsPriority::Class::batch;
  return set_thread_priority(this_thread_id(), own) && told;
}

TEST(OpaqueModel, lets_others_go_first_while_nobody_waits_for_an_answer) {
  if (!can_tell_background_work()) GTEST_SKIP() << "this system has no class for background work";
  using Class = OsPriority::Class;
  std::latch begun(1), joined(1);
  std::atomic<bool> answered = false;
  std::vector<Class> background, interactive;  // of the engine's thread
  int steps_behind = 0;
  const auto model = std::make_shared<FakeModel>([&](const std::string& prompt) -> FakeModel::Plan {
    if (prompt == "interactive") {
      return {.step = [&](StepContext&, int64_t) {
        interactive.push_back(os_class());
        return done("now");
      }};
    }
    return {.needs = {.steps = InferenceNeeds::kMostSteps}, .step = [&](StepContext&, int64_t i) {
              if (i == 0) {
                background.push_back(os_class());
                begun.count_down();
                joined.wait();
              } else if (i == 1) {
                background.push_back(os_class());
              }
              // The engine knows of the answer by the step after the one in which it is seen.
              if (!answered || steps_behind++ == 0) return pause();
              background.push_back(os_class());
              return done("later");
            }};
  });
  auto pipeline = apply_system_level_optimizations(model, {.num_compute_threads = 2});
  InferenceStream later =
      pipeline.submit({.prompt = "background", .request_class = RequestClass::background});
  begun.wait();
  InferenceStream now =
      pipeline.submit({.prompt = "interactive", .request_class = RequestClass::interactive});
  joined.count_down();
  EXPECT_EQ(now.result().text, "now");
  answered = true;
  EXPECT_EQ(later.result().text, "later");
  EXPECT_THAT(interactive, ::testing::ElementsAre(Class::normal));
  EXPECT_THAT(background, ::testing::ElementsAre(Class::batch, Class::normal, Class::batch));
}

/// Prepares a request when the test says so.
class PatientModel : public InferenceModel {
 public:
  explicit PatientModel(std::latch& ready) : ready_(ready) {}
  std::string name() const override { return "patient"; }
  std::unique_ptr<InferenceJob> prepare(const InferenceRequest&, std::stop_token) override {
    ready_.wait();
    return std::make_unique<FakeJob>(
        InferenceNeeds{},
        [](StepContext&, int64_t) {
          std::this_thread::sleep_for(std::chrono::milliseconds(3));
          return done("now");
        },
        alive_);
  }

 private:
  std::latch& ready_;
  std::atomic<int> alive_{0};
};

// Sleeping takes no less than it was told to, and both times begin before it and end behind it.
TEST(OpaqueModel, has_what_it_computes_and_waits_for_preparation_in_the_metrics) {
  std::latch ready(1);
  auto pipeline = apply_system_level_optimizations(std::make_shared<PatientModel>(ready), {});
  EXPECT_EQ(pipeline.get_performance_metrics().preparation_wait_time, 0);
  EXPECT_EQ(pipeline.get_performance_metrics().compute_time, 0);
  const auto begin = std::chrono::steady_clock::now();
  InferenceStream stream = pipeline.submit({.prompt = "When?"});
  const auto preparing = [&] {
    const auto report = Json::parse(pipeline.get_performance_metrics().system_optimization_report);
    return report["resource_status"]["requests"]["preparing"] == 1;
  };
  while (!preparing()) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  ready.count_down();
  EXPECT_EQ(stream.result().text, "now");
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const PerformanceMetrics metrics = pipeline.get_performance_metrics();
  EXPECT_GE(metrics.preparation_wait_time, 0.005);
  EXPECT_GE(metrics.compute_time, 0.003);
  EXPECT_LE(metrics.preparation_wait_time + metrics.compute_time, seconds);
}

}  // namespace
}  // namespace qvl
