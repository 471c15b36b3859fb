// Threads that the system refuses, a machine that tells nothing of itself, processors that go and come back,
// weights that shrink: what becomes of loading and of requests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/error_testing.h"
#include "base/fake_system.h"
#include "pipeline/runtime.h"
#include "qvl/pipeline.h"
#include "thread_refusal.h"

namespace qvl::faults {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

const std::filesystem::path kSource = QVL_SOURCE_DIR;
const Turn kTurn{.text = "What is in the picture?", .images = {kSource / "examples/blue-heart.png"}};
const InferenceRequest kRequest{.prompt = kTurn.text, .images = {kTurn.images.begin(), kTurn.images.end()}};

LoadOptions options() { return {.path = kSource / "models/shapes", .threads = 2, .cache_folder = ""}; }

std::vector<int32_t> answer(const Model& model) { return Conversation(model).ask(kTurn, {}, {}).tokens; }

constexpr const char* kRefused = "Resource temporarily unavailable";

class ThreadFaults : public testing::TestWithParam<Refusing> {};

TEST_P(ThreadFaults, leave_fewer_threads_and_a_warning_or_one_error) {
  const auto expected = answer(load_model(options()));
  int loaded = 0, failed = 0, asked = 0;
  for (int k = 1; asked >= k - 1; ++k) {
    SCOPED_TRACE("thread " + std::to_string(k));
    refuse_threads(k, GetParam());
    std::optional<Model> model;
    const std::string problem =
        error_of(ErrorCode::environment, [&] { model.emplace(load_model(options())); });
    asked = allow_threads();
    if (!model) {
      EXPECT_THAT(problem, AllOf(HasSubstr(" pool: no thread could be started: "), HasSubstr(kRefused)));
      ++failed;
      continue;
    }
    EXPECT_EQ(answer(*model), expected);
    if (asked < k) break;
    EXPECT_THAT(
        model->warnings(),
        Contains(testing::AnyOf(HasSubstr("threads, the system refused another: Resource temporarily"),
                                HasSubstr("the machine is not sampled: the system has no thread to spare"))));
    ++loaded;
  }
  EXPECT_EQ(failed, 2);  // of the pools for files and for pictures, the first thread
  EXPECT_GE(loaded, 2);  // the second that computes, further ones of those pools, the sampler's
}

std::string name_of_refusing(const testing::TestParamInfo<Refusing>& refusing) {
  return refusing.param == Refusing::once ? "once" : "from_then_on";
}

INSTANTIATE_TEST_SUITE_P(Each, ThreadFaults, testing::Values(Refusing::once, Refusing::from_then_on),
                         name_of_refusing);

TEST(ThreadFaultsOfAPipeline, are_an_error_and_leave_the_model_usable) {
  const Model model = load_model(options());
  const auto expected = answer(model);
  refuse_threads(1, Refusing::from_then_on);
  const std::string problem =
      error_of(ErrorCode::environment, [&] { apply_system_level_optimizations(model, {}); });
  EXPECT_EQ(answer(model), expected);
  allow_threads();
  EXPECT_EQ(problem, std::string("engine pool: no thread could be started: ") + kRefused);
  EXPECT_EQ(apply_system_level_optimizations(model, {}).run_inference(kRequest).tokens, expected);
}

TEST(MachineThatTellsNothing, answers_all_the_same_and_says_what_it_does_not_know) {
  const auto expected = answer(load_model(options()));
  const FakeSystem nothing;
  const auto runtime =
      std::make_shared<detail::Runtime>(options(), detail::RuntimeSystem{.files = nothing.files()});
  const Model model(runtime);
  EXPECT_EQ(answer(model), expected);
  EXPECT_EQ(apply_system_level_optimizations(model, {}).run_inference(kRequest).tokens, expected);
  const auto physical =
      static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  EXPECT_EQ(runtime->layer.memory().limit().bytes, runtime->loaded_by.inputs.memory_cap());
  EXPECT_EQ(runtime->loaded_by.inputs.hardware.usable_memory(), physical);
  EXPECT_EQ(runtime->layer.threads().topology().cores(), this_thread_affinity().size());
}

// Moves every thread of the process, as taskset -a and a cpuset do.
void move_all_threads(const CpuSet& cpus) {
  for (const std::string& name : SystemFiles().names("/proc/self/task")) {
    set_thread_affinity(static_cast<ThreadId>(*parse_whole(name)), cpus);
  }
}

class ShrinkingAffinity : public testing::Test {
 protected:
  ShrinkingAffinity() {
    const std::vector<int> cpus(own_.begin(), own_.end());
    if (cpus.size() < 2) return;
    one_ = CpuSet{cpus[0]};
    both_ = CpuSet{cpus[0], cpus[1]};
    LoadOptions wanted = options();
    wanted.system.dynamic_resource_adjustment = false;  // what others do here must not count
    move_all_threads(both_);
    runtime_ = std::make_shared<detail::Runtime>(wanted);
  }
  void SetUp() override {
    if (own_.size() < 2) GTEST_SKIP() << "needs two processors";
  }
  ~ShrinkingAffinity() override { move_all_threads(own_); }

  int threads() const { return runtime_->layer.compute().size(); }

  const CpuSet own_ = this_thread_affinity();
  CpuSet one_, both_;
  std::shared_ptr<detail::Runtime> runtime_;
};

// From two processors to one and back, in the middle of answers.
TEST_F(ShrinkingAffinity, is_followed_in_both_directions_while_a_conversation_answers) {
  const Model model(runtime_);
  const auto expected = answer(model);
  EXPECT_EQ(threads(), 2);
  for (const auto& [cpus, wanted] : {std::pair(one_, 1), std::pair(both_, 2)}) {
    bool moved = false;
    const Listeners listeners{.text =
                                  [&, to = cpus](std::string_view) {
                                    if (!std::exchange(moved, true)) move_all_threads(to);
                                  },
                              .progress = {},
                              .stop = {}};
    do {  // it looks twice a second, and may have placed a thread just after that was moved
      moved = false;
      EXPECT_EQ(Conversation(model).ask(kTurn, {}, listeners).tokens, expected);
    } while (threads() != wanted);
  }
}

TEST_F(ShrinkingAffinity, is_followed_in_both_directions_while_a_pipeline_serves) {
  const Model model(runtime_);
  const auto expected = answer(model);
  auto pipeline = apply_system_level_optimizations(model, {.dynamic_resource_adjustment = false});
  for (const auto& [cpus, wanted] : {std::pair(one_, 1), std::pair(both_, 2)}) {
    do {
      auto stream = pipeline.submit(kRequest);
      EXPECT_EQ(stream.next()->kind, InferenceEvent::Kind::admitted);
      move_all_threads(cpus);
      EXPECT_EQ(stream.result().tokens, expected);
    } while (threads() != wanted);
  }
}

/// A copy of the checkpoint that a test may cut off.
class ShrinkingWeights : public testing::Test {
 protected:
  ShrinkingWeights() {
    std::filesystem::remove_all(folder_);
    std::filesystem::copy(kSource / "models/shapes", folder_);
    bytes_ = std::filesystem::file_size(weights());
  }
  ~ShrinkingWeights() override { std::filesystem::remove_all(folder_); }

  Model load() const {
    LoadOptions wanted = options();
    wanted.path = folder_;
    wanted.weights = WeightPrecision::bf16;  // computed as they are stored: each step reads the file
    return load_model(wanted);
  }
  std::filesystem::path weights() const { return folder_ / "model.safetensors"; }
  void cut_off() const { std::filesystem::resize_file(weights(), 1000); }
  std::string changed() const {
    return weights().string() + ": changed while in use: found 1000 bytes, expected " +
           std::to_string(bytes_);
  }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("qvl-shrinking-" + std::to_string(::getpid()));
  uintmax_t bytes_ = 0;
};

TEST_F(ShrinkingWeights, end_the_answer_of_a_conversation_before_another_token_leaves) {
  const Model model = load();
  Conversation conversation(model);
  int pieces = 0;
  const Listeners listeners{.text =
                                [&](std::string_view) {
                                  if (++pieces == 1) cut_off();
                                },
                            .progress = {},
                            .stop = {}};
  EXPECT_EQ(error_of(ErrorCode::model_file, [&] { conversation.ask(kTurn, {}, listeners); }), changed());
  EXPECT_EQ(pieces, 1);
  EXPECT_EQ(error_of(ErrorCode::model_file, [&] { conversation.ask(kTurn, {}, {}); }), changed());
}

TEST_F(ShrinkingWeights, end_every_request_of_a_pipeline_and_not_the_process) {
  const Model model = load();
  const auto expected = answer(model);
  auto pipeline = apply_system_level_optimizations(model, {});
  std::vector<InferenceStream> streams;
  for (int i = 0; i < 8; ++i) streams.push_back(pipeline.submit(kRequest));
  EXPECT_EQ(streams.front().next()->kind, InferenceEvent::Kind::admitted);
  cut_off();
  for (InferenceStream& stream : streams) {
    std::vector<int32_t> tokens;
    const std::string problem = error_of(ErrorCode::model_file, [&] { tokens = stream.result().tokens; });
    if (problem.empty()) {
      EXPECT_EQ(tokens, expected);  // it was over before
    } else {
      EXPECT_EQ(problem, changed());
    }
  }
  EXPECT_EQ(error_of(ErrorCode::model_file, [&] { pipeline.run_inference(kRequest); }), changed());
}

}  // namespace
}  // namespace qvl::faults
