// Many requests over one model: the same answers as alone, and nothing left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <functional>
#include <random>
#include <thread>

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

std::filesystem::path example(const std::string& name) { return kSource / "examples" / name; }

// Requests of every kind: no picture, one, two, a small and a large one, a system turn, another length.
std::vector<InferenceRequest> mixed_requests() {
  return {
      {.prompt = "What is in the picture?", .images = {example("blue-heart.png")}},
      {.prompt = "Name a colour."},
      {.prompt = "What is there?",
       .images = {example("green-ring-purple-heart.png"), example("white-cross.webp")}},
      {.prompt = "How many objects are there?",
       .images = {example("red-cross-red-number-0.jpg")},
       .system = "Answer briefly."},
      {.prompt = "What is in the picture?",
       .images = {example("white-number-5.jpg")},
       .generation = {.max_tokens = 3}},
      {.prompt = "Is there a heart?",
       .images = {example("green-heart-green-star.webp")},
       .generation = {.temperature = 0.8, .seed = 7}},
  };
}

std::vector<std::filesystem::path> paths_of(std::span<const Picture> pictures) {
  std::vector<std::filesystem::path> paths;
  for (const Picture& picture : pictures) paths.push_back(picture.path());
  return paths;
}

struct Expected {
  std::string text;
  std::vector<int32_t> tokens;
};

// Of conversations that have the model for themselves.
std::vector<Expected> answers_alone(const Model& model, std::span<const InferenceRequest> requests) {
  std::vector<Expected> answers;
  for (const InferenceRequest& request : requests) {
    Conversation conversation(model, {.system = request.system});
    const Answer answer = conversation.ask({.text = request.prompt, .images = paths_of(request.images)},
                                           request.generation, {});
    answers.push_back({answer.text, answer.tokens});
  }
  return answers;
}

class PipelineUnder : public ::testing::TestWithParam<SchedulingAlgorithm> {};

TEST_P(PipelineUnder, answers_a_batch_as_each_request_alone) {
  const Model model = small_model();
  const auto requests = mixed_requests();
  const auto expected = answers_alone(model, requests);
  auto pipeline =
      apply_system_level_optimizations(model, {.num_compute_threads = 2, .scheduling_algorithm = GetParam()});
  for (int round = 0; round < 3; ++round) {
    const auto outputs = pipeline.run_batch_inference(requests);
    ASSERT_EQ(outputs.size(), requests.size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      EXPECT_EQ(outputs[i].text, expected[i].text) << i;
      EXPECT_EQ(outputs[i].tokens, expected[i].tokens) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EachAlgorithm, PipelineUnder,
                         ::testing::Values(SchedulingAlgorithm::round_robin, SchedulingAlgorithm::priority,
                                           SchedulingAlgorithm::load_balanced));

TEST(Pipeline, streams_the_text_of_an_answer_between_admission_and_end) {
  auto pipeline = apply_system_level_optimizations(small_model(), {});
  InferenceStream stream =
      pipeline.submit({.prompt = "What is in the picture?", .images = {example("blue-heart.png")}});
  std::vector<InferenceEvent::Kind> kinds;
  std::string text;
  while (const auto event = stream.next()) {
    if (kinds.empty() || kinds.back() != event->kind) kinds.push_back(event->kind);
    text += event->text;
  }
  using Kind = InferenceEvent::Kind;
  EXPECT_THAT(kinds, ::testing::ElementsAre(Kind::admitted, Kind::text, Kind::finished));
  EXPECT_EQ(text, stream.result().text);
  EXPECT_THAT(text, ::testing::HasSubstr("heart"));
  EXPECT_EQ(stream.next(), std::nullopt);
}

std::string error_of(InferenceStream stream, ErrorCode expected) {
  try {
    stream.result();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), expected);
    return error.what();
  }
  return "";
}

TEST(Pipeline, lets_a_request_fail_alone) {
  const Model model = small_model();
  const auto requests = mixed_requests();
  const auto expected = answers_alone(model, requests);
  auto pipeline = apply_system_level_optimizations(model, {});
  std::vector<InferenceStream> good, bad;
  for (const InferenceRequest& request : requests) {
    good.push_back(pipeline.submit(request));
    bad.push_back(pipeline.submit({.prompt = "What?", .images = {kSource / "README.md"}}));
  }
  for (size_t i = 0; i < good.size(); ++i) {
    EXPECT_EQ(good[i].result().tokens, expected[i].tokens) << i;
    EXPECT_THAT(error_of(bad[i], ErrorCode::media), ::testing::HasSubstr("README.md"));
  }
  const PerformanceMetrics metrics = pipeline.get_performance_metrics();
  EXPECT_EQ(metrics.total_inferences, good.size());
  EXPECT_EQ(metrics.failed_inferences, bad.size());
}

// The second picture is cut on another thread while the first is looked at.
TEST(Pipeline, lets_a_request_fail_for_its_second_picture) {
  const auto cut_off = std::filesystem::temp_directory_path() / ("qvl-cut-off-" + std::to_string(::getpid()));
  std::filesystem::copy_file(example("white-number-5.jpg"), cut_off,
                             std::filesystem::copy_options::overwrite_existing);
  std::filesystem::resize_file(cut_off, 700);
  auto pipeline = apply_system_level_optimizations(small_model(), {});
  const InferenceRequest request{.prompt = "What is there?", .images = {example("blue-heart.png"), cut_off}};
  for (int i = 0; i < 5; ++i) {
    InferenceStream stream = pipeline.submit(request);
    EXPECT_EQ(error_of(stream, ErrorCode::media),
              cut_off.string() + ": damaged or unsupported JPEG: Premature end of JPEG file");
  }
  std::filesystem::remove(cut_off);
  EXPECT_EQ(pipeline.run_inference(mixed_requests()[1]).finish_reason, FinishReason::stop);
}

TEST(Pipeline, refuses_bad_values_before_anything_is_done) {
  auto pipeline = apply_system_level_optimizations(small_model(), {});
  const auto message = [&](const InferenceRequest& request) {
    try {
      pipeline.submit(request);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage);
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(message({.prompt = ""}), "prompt: it is empty, expected a text, a picture or a video");
  EXPECT_THAT(message({.prompt = "x", .generation = {.temperature = -1}}),
              ::testing::HasSubstr("temperature: found -1"));
  EXPECT_THAT(message({.prompt = "x", .system = "\xff"}), ::testing::HasSubstr("system: byte 0"));
  EXPECT_THROW(apply_system_level_optimizations(small_model(), {.memory_limit_ratio = 2}), Error);
}

TEST(Pipeline, ends_a_cancelled_request_with_what_it_has) {
  auto pipeline = apply_system_level_optimizations(small_model(), {});
  InferenceStream stream =
      pipeline.submit({.prompt = "What is in the picture?", .images = {example("blue-heart.png")}});
  stream.cancel();
  const InferenceOutput output = stream.result();
  EXPECT_EQ(output.finish_reason, FinishReason::cancelled);
  EXPECT_EQ(pipeline.get_performance_metrics().cancelled_inferences, 1u);
  EXPECT_THAT(
      pipeline.run_inference({.prompt = "What is in the picture?", .images = {example("blue-heart.png")}})
          .text,
      ::testing::HasSubstr("heart"));
}

TEST(Pipeline, takes_requests_and_cancellations_from_many_threads) {
  const Model model = small_model();
  const auto requests = mixed_requests();
  const auto expected = answers_alone(model, requests);
  auto pipeline = apply_system_level_optimizations(model, {});
  const auto client = [&](unsigned seed) {
    std::mt19937 random(seed);
    for (int i = 0; i < 12; ++i) {
      const size_t which = random() % requests.size();
      InferenceStream stream = pipeline.submit(requests[which]);
      if (random() % 3 == 0) {
        if (random() % 2 == 0) stream.next();
        stream.cancel();
      }
      const InferenceOutput output = stream.result();
      if (output.finish_reason == FinishReason::cancelled) continue;
      EXPECT_EQ(output.tokens, expected[which].tokens) << seed << " " << i;
    }
  };
  std::vector<std::thread> clients;
  for (unsigned seed = 1; seed <= 4; ++seed) clients.emplace_back(client, seed);
  for (std::thread& thread : clients) thread.join();
  const PerformanceMetrics metrics = pipeline.get_performance_metrics();
  EXPECT_EQ(metrics.total_inferences + metrics.cancelled_inferences, 48u);
  EXPECT_EQ(metrics.failed_inferences, 0u);
}

TEST(Pipeline, shares_the_model_with_a_conversation) {
  const Model model = small_model();
  const auto requests = mixed_requests();
  const auto expected = answers_alone(model, requests);
  auto pipeline = apply_system_level_optimizations(model, {});
  std::vector<InferenceStream> streams;
  for (const InferenceRequest& request : requests) streams.push_back(pipeline.submit(request));
  const auto beside = answers_alone(model, requests);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(beside[i].tokens, expected[i].tokens) << i;
    EXPECT_EQ(streams[i].result().tokens, expected[i].tokens) << i;
  }
}

// "A white square and a black square above a yellow square and a yellow number 7 ...": behind the second
// " square and" the guess is " a black square above", of which one token is right. The first guess does not
// depend on how long steps take.
TEST(Pipeline, guesses_tokens_without_changing_the_answer) {
  const Model model = small_model();
  for (const double temperature : {0.0, 1.5}) {
    const InferenceRequest request{.prompt = "Describe this picture.",
                                   .images = {example("white-square-black-square.png")},
                                   .generation = {.max_tokens = 200, .temperature = temperature, .seed = 3}};
    const auto expected = answers_alone(model, {&request, 1});
    auto pipeline = apply_system_level_optimizations(model, {});
    for (int round = 0; round < 20; ++round) {
      EXPECT_EQ(pipeline.run_inference(request).tokens, expected.front().tokens) << temperature;
    }
    const PerformanceMetrics metrics = pipeline.get_performance_metrics();
    EXPECT_GT(metrics.accepted_tokens, 0u);
    EXPECT_LT(metrics.accepted_tokens, metrics.guessed_tokens);
  }
}

void expect_refuses_all_with(OptimizedInferencePipeline& pipeline, const std::string& message) {
  const InferenceRequest request{.prompt = "Name a colour."};
  const auto refusal = [](const std::function<void()>& call) {
    return error_of(ErrorCode::environment, call);
  };
  EXPECT_EQ(refusal([&] { pipeline.submit(request); }), message);
  EXPECT_EQ(refusal([&] { pipeline.run_inference(request); }), message);
  EXPECT_EQ(refusal([&] { pipeline.run_batch_inference({}); }), message);
  EXPECT_EQ(refusal([&] { pipeline.plan(request); }), message);
  EXPECT_EQ(refusal([&] { pipeline.logits({.turn = {.text = "x"}}, [](auto...) {}, {}); }), message);
}

TEST(Pipeline, is_over_after_cleanup) {
  auto pipeline = apply_system_level_optimizations(small_model(), {});
  InferenceStream stream = pipeline.submit({.prompt = "Count.", .generation = {.max_tokens = 500}});
  pipeline.cleanup();
  EXPECT_NO_THROW(stream.result());
  expect_refuses_all_with(pipeline, "pipeline: it was cleaned up, and takes no more requests");
  EXPECT_EQ(pipeline.get_performance_metrics().failed_inferences, 0u);
  pipeline.cleanup();
}

TEST(Pipeline, says_of_which_request_of_a_batch_an_error_is) {
  auto pipeline = apply_system_level_optimizations(small_model(), {});
  const InferenceRequest good{.prompt = "Name a colour.", .generation = {.max_tokens = 1}};
  const InferenceRequest gone{.prompt = "x", .images = {"/nowhere.png"}};
  InferenceRequest wrong = good;
  wrong.generation.max_tokens = 0;
  const auto run = [&](const std::vector<InferenceRequest>& batch) {
    return [&pipeline, batch] { pipeline.run_batch_inference(batch); };
  };
  EXPECT_EQ(error_of(ErrorCode::media, run({good, gone, good})),
            "request 1: /nowhere.png: cannot open: No such file or directory");
  std::vector<InferenceRequest> many(70, good);
  many.push_back(wrong);
  EXPECT_EQ(error_of(ErrorCode::usage, run(many)), "request 70: max_tokens: found 0, expected 1 to 16777216");
  EXPECT_EQ(pipeline.get_performance_metrics().total_inferences, 72u) << "all others were answered";
}

TEST(Pipeline, says_that_it_was_moved_from) {
  auto pipeline = apply_system_level_optimizations(small_model(), {});
  auto other = std::move(pipeline);
  const std::string message = "pipeline: it was moved from, and takes no more requests";
  expect_refuses_all_with(pipeline, message);  // NOLINT: that is what it is about
  EXPECT_EQ(error_of(ErrorCode::environment, [&] { (void)pipeline.get_performance_metrics(); }), message);
  pipeline.cleanup();
  InferenceStream stream = other.submit({.prompt = "Count.", .generation = {.max_tokens = 1}});
  InferenceStream moved = std::move(stream);
  EXPECT_EQ(stream.result().tokens, moved.result().tokens);  // NOLINT
  pipeline = std::move(other);
  EXPECT_EQ(pipeline.get_performance_metrics().total_inferences, 1u);
}

TEST(Pipeline, its_streams_are_waited_for_as_long_as_it_takes) {
  auto pipeline = apply_system_level_optimizations(small_model(), {});
  InferenceStream stream = pipeline.submit({.prompt = "Count.", .generation = {.max_tokens = 200}});
  EXPECT_TRUE(stream.wait_for_event(std::chrono::milliseconds::max()));
  EXPECT_TRUE(stream.wait_for_result(std::chrono::milliseconds::max()));
  EXPECT_TRUE(stream.wait_for_result(std::chrono::milliseconds::min()));
}

// As the documents write it.
TEST(Pipeline, is_used_as_its_documents_say) {
  const std::filesystem::path path = kSource / "models/shapes";
  const std::string picture = example("blue-heart.png");

  auto config =
      qvl::SystemOptimizationConfig{.num_compute_threads = 4,
                                    .num_io_threads = 2,
                                    .memory_limit_ratio = 0.7,
                                    .scheduling_algorithm = qvl::SchedulingAlgorithm::load_balanced};
  auto pipeline = qvl::apply_system_level_optimizations(qvl::load_model(path), config);
  auto output = pipeline.run_inference({.prompt = "What is this?", .images = {picture}});
  auto metrics = pipeline.get_performance_metrics();
  pipeline.cleanup();

  EXPECT_THAT(output.text, ::testing::HasSubstr("heart"));
  EXPECT_EQ(metrics.total_inferences, 1u);
}

OrderedJson followed_by(const Model& model) { return OrderedJson::parse(model.followed_json()); }

TEST(Pipeline, puts_its_whole_configuration_over_that_of_the_loaded_model) {
  const Model model = small_model();
  auto pipeline = apply_system_level_optimizations(model, {.num_compute_threads = 1,
                                                           .num_io_threads = 3,
                                                           .num_preprocess_threads = 1,
                                                           .thread_priority = 0,
                                                           .scheduler_policy = SchedulerPolicy::balanced,
                                                           .memory_limit_ratio = 0.5,
                                                           .memory_pool_size = 1 << 20,
                                                           .memory_cleanup_interval = 7,
                                                           .profile_interval = 0.25});
  const OrderedJson followed = followed_by(model);
  EXPECT_EQ(followed["compute_threads"], 1);
  EXPECT_EQ(followed["io_threads"], 3);
  EXPECT_EQ(followed["preprocess_threads"], 1);
  EXPECT_EQ(followed["thread_priority"], "equal");
  EXPECT_EQ(followed["scheduler_policy"], "balanced");
  EXPECT_EQ(followed["placing"], "confined");
  EXPECT_EQ(followed["waiting_awake"], false);
  EXPECT_EQ(followed["memory_pool_size"], 1 << 20);
  EXPECT_EQ(followed["memory_cleanup_interval"], 7);
  EXPECT_EQ(followed["profile_interval"], 0.25);
  EXPECT_EQ(followed["notes"].dump(), "[]");
  const auto memory = OrderedJson::parse(model.memory_json());
  EXPECT_EQ(followed["memory_limit_bytes"], memory["cap_bytes"]);
  EXPECT_THAT(followed["memory_limit_cause"].get<std::string>(), ::testing::StartsWith("50 % of "));
  EXPECT_EQ(OrderedJson::parse(pipeline.get_performance_metrics().system_optimization_report)["followed"],
            followed);
  EXPECT_FALSE(pipeline.run_inference(mixed_requests().front()).tokens.empty());
}

TEST(Pipeline, the_configuration_that_was_applied_last_counts) {
  const Model model = small_model();
  const auto requests = mixed_requests();
  const auto expected = answers_alone(model, requests);
  auto first = apply_system_level_optimizations(model, {.num_compute_threads = 2});
  auto stream = first.submit(requests.front());
  auto second = apply_system_level_optimizations(
      model, {.num_compute_threads = 1, .memory_limit_ratio = 0.4, .enable_profiling = false});
  const OrderedJson followed = followed_by(model);
  EXPECT_EQ(followed["compute_threads"], 1);
  EXPECT_TRUE(followed["profile_interval"].is_null());
  EXPECT_EQ(stream.result().text, expected.front().text);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(first.run_inference(requests[i]).text, expected[i].text) << i;
    EXPECT_EQ(second.run_inference(requests[i]).text, expected[i].text) << i;
  }
}

TEST(Pipeline, may_be_made_while_a_conversation_answers) {
  const Model model = small_model();
  std::jthread talking([&model](const std::stop_token& stop) {
    Conversation conversation(model);
    while (!stop.stop_requested()) (void)conversation.ask({.text = "Name a colour."}, {.max_tokens = 4}, {});
  });
  for (const int64_t threads : {1, 2, 1, 2}) {
    auto pipeline = apply_system_level_optimizations(
        model, {.num_compute_threads = threads, .profile_interval = 0.1 * static_cast<double>(threads)});
    EXPECT_FALSE(pipeline.run_inference(mixed_requests()[1]).tokens.empty());
  }
}

TEST(Pipeline, says_what_loading_has_settled_otherwise) {
  const Model model = small_model();
  const auto pipeline = apply_system_level_optimizations(model, {.optimization_level = 0});
  const OrderedJson followed = followed_by(model);
  EXPECT_EQ(followed["compute_threads"], 1);
  EXPECT_EQ(followed["loaded"]["instruction set"], model.isa());
  EXPECT_TRUE(followed["memory_cleanup_interval"].is_null());
  EXPECT_EQ(followed["feature_cache_bytes"], 0);
  std::vector<std::string> notes = followed["notes"];
  EXPECT_THAT(notes, ::testing::Contains("keys and values: this configuration would choose f32, loading has "
                                         "chosen " +
                                         followed["loaded"]["keys and values"].get<std::string>()));
}

TEST(Pipeline, refuses_a_memory_limit_below_what_is_held_and_changes_nothing) {
  const Model model = small_model();
  const auto before = followed_by(model);
  Ledger& ledger = model.runtime().layer.memory().ledger();
  const auto held = *ledger.reserve(MemoryPart::staging, ledger.free_bytes() / 2);
  try {
    apply_system_level_optimizations(model, {.num_io_threads = 9, .memory_limit_ratio = 0.1});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::limit);
    EXPECT_THAT(error.what(), ::testing::MatchesRegex("memory limit: .* are not enough for what is held, .* "
                                                      "missing \\(held: program .* staging .*\\)"));
  }
  EXPECT_EQ(followed_by(model), before);
}

// What the scheduler has shared out is taken by somebody else: there is room for two requests, not for six.
TEST(Pipeline, requests_wait_for_each_other_where_memory_is_shorter_than_it_seems) {
  const Model model = small_model();
  auto pipeline = apply_system_level_optimizations(model, {.num_compute_threads = 2,
                                                           .memory_pool_size = 0,
                                                           .enable_profiling = false,
                                                           .resource_reservation_ratio = 1,
                                                           .dynamic_resource_adjustment = false});
  const InferenceRequest request{.prompt = "Name a colour.", .generation = {.temperature = 0}};
  const std::string expected = pipeline.run_inference(request).text;
  Ledger& ledger = model.runtime().layer.memory().ledger();
  const uint64_t one = pipeline.plan(request).memory_bytes;
  ledger.set_cap(ledger.report().held_bytes + 6 * one);
  const auto taken = *ledger.reserve(MemoryPart::staging, 4 * one - one / 2);
  for (const InferenceOutput& output :
       pipeline.run_batch_inference(std::vector<InferenceRequest>(48, request))) {
    EXPECT_EQ(output.text, expected);
  }
}

}  // namespace
}  // namespace qvl
