// Keys and values of what several begin with are there once, and nobody's answer shows it.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <vector>

#include "pipeline/prefill.h"
#include "pipeline/runtime.h"
#include "qvl/pipeline.h"

namespace qvl {
namespace {

const std::filesystem::path kSource = QVL_SOURCE_DIR;
const std::filesystem::path kPicture = kSource / "examples/blue-heart.png";  // 28 tokens
const GenerationOptions kGreedy{.max_tokens = 8, .temperature = 0};

class SharedPages : public ::testing::Test {
 protected:
  static LoadOptions options() {
    LoadOptions options{.path = kSource / "models/shapes", .threads = 1, .cache_folder = ""};
    options.system.memory_pool_size = 0;
    options.system.dynamic_resource_adjustment = false;
    return options;
  }
  // The same without anything kept.
  static Model plain_model() {
    LoadOptions plain = options();
    plain.disabled_passes = {"feature_cache", "prefix_cache"};
    return load_model(plain);
  }
  // Some hundred tokens that all requests begin with, and some more behind the picture.
  static std::string beginning() { return "Answer." + sentences(30); }
  static std::string question() { return "What is in the picture?" + sentences(30); }
  static std::string sentences(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += " Look at colours and shapes.";
    return text;
  }
  static SystemOptimizationConfig config() {
    return {.num_compute_threads = 1, .memory_pool_size = 0, .dynamic_resource_adjustment = false};
  }

  detail::Runtime& runtime() { return model_.runtime(); }
  uint64_t page_bytes() { return MemoryHome::taken_bytes(runtime().network.make_cache().block_bytes()); }
  LedgerReport::Part kv() { return runtime().layer.memory().ledger().report().of(MemoryPart::kv); }
  uint64_t pages() {
    EXPECT_EQ(kv().held_bytes % page_bytes(), 0u);
    return kv().held_bytes / page_bytes();
  }
  static Answer ask(Conversation& conversation) {
    return conversation.ask({.text = question(), .images = {kPicture}}, kGreedy, {});
  }
  static InferenceRequest request() {
    return {.prompt = question(), .images = {kPicture}, .system = beginning(), .generation = kGreedy};
  }
  // Of a prompt, without the block that its last token is in; and those that are left for prompt and answer.
  static uint64_t shared_of(const Answer& answer) {
    return static_cast<uint64_t>((answer.usage.prompt_tokens - 1) / kBlockKeys);
  }
  static uint64_t own_of(const Answer& answer) {
    const int64_t tokens = answer.usage.prompt_tokens + kGreedy.max_tokens;
    return static_cast<uint64_t>((tokens + kBlockKeys - 1) / kBlockKeys) - shared_of(answer);
  }

  const Model model_ = load_model(options());
};

TEST_F(SharedPages, are_held_once_by_eight_conversations_about_one_picture) {
  Conversation plain(plain_model(), {.system = beginning()});
  const Answer expected = ask(plain);
  const uint64_t shared = shared_of(expected), own = own_of(expected);
  ASSERT_GE(shared, 4u);
  std::vector<std::unique_ptr<Conversation>> conversations;
  for (uint64_t count = 1; count <= 8; ++count) {
    conversations.push_back(
        std::make_unique<Conversation>(model_, ConversationOptions{.system = beginning()}));
    const Answer answer = ask(*conversations.back());
    EXPECT_EQ(answer.tokens, expected.tokens);
    EXPECT_EQ(answer.usage.cached_tokens, count == 1 ? 0 : static_cast<int64_t>(shared) * kBlockKeys);
    EXPECT_EQ(pages(), shared + count * own);
  }
  EXPECT_EQ(kv().peak_bytes, (shared + 8 * own) * page_bytes()) << "nor were there more on the way";
  EXPECT_EQ(runtime().caches->prefixes.stats().bytes, shared * page_bytes());
  EXPECT_EQ(runtime().caches->prefixes.idle_bytes(), 0u);
  // All go on as one alone does.
  const Answer next = plain.ask({.text = "Which colour is it?"}, kGreedy, {});
  for (const auto& conversation : conversations) {
    EXPECT_EQ(conversation->ask({.text = "Which colour is it?"}, kGreedy, {}).tokens, next.tokens);
  }
  conversations.clear();
  EXPECT_EQ(pages() * page_bytes(), runtime().caches->prefixes.stats().bytes);
  EXPECT_EQ(runtime().caches->idle_bytes(), runtime().caches->bytes());
}

TEST_F(SharedPages, are_held_once_by_a_batch_about_one_picture) {
  Conversation plain(plain_model(), {.system = beginning()});
  const Answer expected = ask(plain);
  const uint64_t shared = shared_of(expected), own = own_of(expected);
  auto pipeline = apply_system_level_optimizations(model_, config());
  const auto outputs = pipeline.run_batch_inference(std::vector<InferenceRequest>(8, request()));
  for (const Answer& output : outputs) EXPECT_EQ(output.tokens, expected.tokens);
  // Each is admitted with all it might have to compute itself, until it takes over what another one has.
  EXPECT_LE(kv().peak_bytes, 8 * (shared + own) * page_bytes());
  EXPECT_EQ(pages(), shared) << "kept, and nothing else";
  EXPECT_EQ(pipeline.get_performance_metrics().caches.prefix_reused_tokens,
            7 * shared * static_cast<uint64_t>(kBlockKeys));
}

TEST_F(SharedPages, are_those_of_conversations_and_pipelines) {
  Conversation conversation(model_, {.system = beginning()});
  const Answer first = ask(conversation);
  const uint64_t shared = shared_of(first), held = pages();
  auto pipeline = apply_system_level_optimizations(model_, config());
  const Answer output = pipeline.run_inference(request());
  EXPECT_EQ(output.tokens, first.tokens);
  EXPECT_EQ(output.usage.cached_tokens, static_cast<int64_t>(shared) * kBlockKeys);
  EXPECT_EQ(pages(), held);
  EXPECT_EQ(kv().peak_bytes, (held + own_of(first)) * page_bytes());
  EXPECT_EQ(output.media.at(0).features, FeatureOrigin::not_needed);
}

TEST_F(SharedPages, are_not_needed_again) {
  auto pipeline = apply_system_level_optimizations(model_, config());
  const auto planned = [&] {
    const RequestPlan plan = pipeline.plan(request());
    uint64_t bytes = 0;
    for (const auto& [part, of_part] : plan.memory) bytes += part == "kv" ? of_part : 0;
    return std::pair(plan.cached_tokens, bytes);
  };
  Conversation conversation(model_, {.system = beginning()});
  const Answer answer = ask(conversation);
  const uint64_t shared = shared_of(answer), own = own_of(answer);
  EXPECT_EQ(planned(), std::pair(static_cast<int64_t>(shared) * kBlockKeys, own * page_bytes()));
  // As much as that is enough for the request, and one byte less is not: nobody can give anything back.
  Ledger& ledger = runtime().layer.memory().ledger();
  runtime().layer.memory().clean_up(uint64_t{1} << 40);
  const RequestPlan plan = pipeline.plan(request());
  EXPECT_EQ(plan.cached_tokens, static_cast<int64_t>(shared) * kBlockKeys);
  EXPECT_EQ(runtime().caches->idle_bytes(), 0u);
  ledger.set_cap(ledger.report().held_bytes + plan.memory_bytes - 1);
  EXPECT_FALSE(pipeline.plan(request()).fits);
  EXPECT_THROW((void)pipeline.run_inference(request()), Error);
  ledger.set_cap(ledger.report().held_bytes + plan.memory_bytes);
  EXPECT_EQ(pipeline.run_inference(request()).tokens, answer.tokens);
}

TEST_F(SharedPages, of_which_the_cache_lets_go_stay_with_whoever_holds_them) {
  Conversation plain(plain_model(), {.system = beginning()});
  ask(plain);
  const Answer expected = plain.ask({.text = "Which colour is it?"}, kGreedy, {});
  auto first = std::make_optional<Conversation>(model_, ConversationOptions{.system = beginning()});
  Conversation second(model_, {.system = beginning()});
  const uint64_t shared = shared_of(ask(*first));
  ask(second);
  ModelCaches& caches = *runtime().caches;
  EXPECT_EQ(caches.prefixes.reclaim(uint64_t{1} << 40), 0u) << "held by two";
  first.reset();
  EXPECT_EQ(caches.prefixes.reclaim(uint64_t{1} << 40), 0u) << "held by one";
  EXPECT_EQ(caches.prefixes.stats().bytes, shared * page_bytes());
  EXPECT_EQ(second.ask({.text = "Which colour is it?"}, kGreedy, {}).tokens, expected.tokens);
  // Idle ones behind those that are held go on their own.
  const uint64_t others = [&] {
    Conversation other(model_, {.system = "Another one. " + beginning()});
    return shared_of(ask(other));
  }();
  EXPECT_EQ(caches.prefixes.idle_bytes(), others * page_bytes());
  const uint64_t held = pages();
  EXPECT_EQ(caches.prefixes.reclaim(uint64_t{1} << 40), others * page_bytes());
  EXPECT_EQ(pages(), held - others);
}

TEST_F(SharedPages, are_given_back_by_a_request_that_is_cancelled) {
  {
    Conversation conversation(model_, {.system = beginning()});
    ask(conversation);
  }
  auto pipeline = apply_system_level_optimizations(model_, config());
  const uint64_t held = pages();
  InferenceRequest longer = request();
  longer.generation.max_tokens = 512;
  longer.generation.temperature = 2;  // it does not come to an end soon
  auto stream = pipeline.submit(longer);
  (void)stream.next();
  stream.cancel();
  (void)stream.result();
  EXPECT_LE(pages(), held + 1) << "what was computed whole meanwhile";
  EXPECT_EQ(runtime().caches->prefixes.idle_bytes(), pages() * page_bytes());
}

// Tokens of a sequence one by one, and the last hidden state.
std::vector<float> compute(detail::Runtime& runtime, KvCache& cache, std::span<const int32_t> ids) {
  PositionCounter counter;
  std::vector<Position> positions;
  counter.append_text(cache.size() + std::ssize(ids), positions);
  const SequenceStep step{
      .chunk = {.ids = ids,
                .positions = std::span(positions).subspan(static_cast<size_t>(cache.size())),
                .visual = {}},
      .cache = &cache};
  runtime.network.forward({&step, 1}, runtime.pass, runtime.ops);
  const Tensor& x = runtime.pass.x;
  return {x.row(x.rows() - 1), x.row(x.rows() - 1) + x.columns()};
}

TEST_F(SharedPages, that_one_writes_into_are_the_others_as_before) {
  for (const KvPrecision kv : {KvPrecision::f32, KvPrecision::bits16, KvPrecision::bits8}) {
    SCOPED_TRACE(static_cast<int>(kv));
    LoadOptions with = options();
    with.kv = kv;
    detail::Runtime runtime(with);
    std::vector<int32_t> ids(200), other(200);
    std::iota(ids.begin(), ids.end(), 100);
    std::iota(other.begin(), other.end(), 100);
    std::reverse(other.begin() + 90, other.end());
    const auto whole = std::span<const int32_t>(ids);
    const auto alone = [&](std::span<const int32_t> tokens) {
      KvCache cache = runtime.network.make_cache();
      return compute(runtime, cache, tokens);
    };
    KvCache first = runtime.network.make_cache(), second = runtime.network.make_cache();
    (void)compute(runtime, first, whole.first(150));
    const std::vector<KvPage> pages = {first.share_page(0), first.share_page(1)};
    second.append_pages(pages);
    second.truncate(90);
    EXPECT_EQ(compute(runtime, second, std::span<const int32_t>(other).subspan(90)), alone(other));
    EXPECT_EQ(compute(runtime, first, whole.subspan(150)), alone(ids));
    // And the other way round.
    first.truncate(70);
    EXPECT_EQ(compute(runtime, first, whole.subspan(70)), alone(ids));
    KvCache third = runtime.network.make_cache();
    third.append_pages(pages);
    EXPECT_EQ(compute(runtime, third, whole.subspan(128)), alone(ids));
  }
}

}  // namespace
}  // namespace qvl
