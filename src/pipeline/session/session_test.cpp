// A conversation that was saved goes on as if it had never ended, and what does not fit is refused.
#include "pipeline/session/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>

#include "base/error_testing.h"
#include "base/fake_system.h"
#include "base/file_size_limit.h"
#include "base/json.h"
#include "pipeline/session/session_file.h"

namespace qvl {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

const fs::path kSource = QVL_SOURCE_DIR;
const fs::path kPicture = kSource / "examples/white-square-black-square.png";
const fs::path kOther = kSource / "examples/blue-heart.png";
const fs::path kVideo = kSource / "tests/golden/samples/first.mp4";
const GenerationOptions kGreedy{.max_tokens = 16, .temperature = 0};

Model load(const LoadOptions& with = {}) {
  LoadOptions options = with;
  if (options.path.empty()) options.path = kSource / "models/shapes";
  options.threads = 2;
  options.cache_folder = "";
  // What earlier requests of the process leave must not stand in for what the file has.
  options.disabled_passes = {"feature_cache", "prefix_cache"};
  return load_model(options);
}

// How often the vision tower was at work.
uint64_t looks(const Model& model) { return model.runtime().layer.stages().summary(Stage::vision).count; }

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void expect_same(const Answer& a, const Answer& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.text, b.text);
  EXPECT_EQ(a.usage.prompt_tokens, b.usage.prompt_tokens);
  EXPECT_EQ(a.usage.image_tokens, b.usage.image_tokens);
  EXPECT_EQ(a.usage.cached_tokens, b.usage.cached_tokens);
}

class Sessions : public ::testing::Test {
 protected:
  static const Model& model() {
    static const Model loaded = load();
    return loaded;
  }
  // Behind the name of the file; empty where it is resumed.
  std::string problem(const Model& with, ErrorCode code = ErrorCode::usage) const {
    const std::string message = error_of(code, [&] { (void)with.resume(path_); });
    const std::string name = path_.string() + ": ";
    EXPECT_EQ(message.find('\n'), std::string::npos);
    return message.starts_with(name) ? message.substr(name.size()) : message;
  }
  void save_one() const {
    Conversation conversation(model());
    conversation.ask({.text = "Describe this picture.", .images = {kPicture}}, kGreedy, {});
    conversation.save(path_);
  }
  // Writes the session again with other contents, so that every hash fits them.
  struct Parts {
    Json text;
    std::vector<int32_t> ids;
    std::vector<std::vector<std::byte>> blocks;
    uint64_t block_bytes = 0;
  };
  void change(const std::function<void(Parts&)>& change) const {
    Parts parts;
    {
      SessionReader reader(path_);
      parts.text = Json::parse(reader.read_text());
      parts.ids = reader.read_ids();
      parts.block_bytes = reader.header().block_bytes;
      for (uint64_t i = 0; i < reader.header().blocks(); ++i) {
        reader.read_block(parts.blocks.emplace_back(parts.block_bytes));
      }
    }
    change(parts);
    SessionWriter writer(path_);
    writer.begin(parts.text.dump(), parts.ids, parts.block_bytes);
    for (const auto& block : parts.blocks) writer.add_block(block);
    writer.commit();
  }

  FakeSystem folder_;
  const fs::path path_ = folder_.files().at("/session");
};

TEST_F(Sessions, go_on_as_if_they_had_never_ended) {
  for (const KvPrecision kv : {KvPrecision::f32, KvPrecision::bits16, KvPrecision::bits8}) {
    for (const char* isa : {"", "scalar"}) {
      SCOPED_TRACE(fmt::format("kv {} isa {}", static_cast<int>(kv), isa));
      const LoadOptions options{.kv = kv, .isa = isa};
      const Model before = load(options), after = load(options);
      Conversation conversation(before, {.system = "Be brief."});
      conversation.ask({.text = "Describe them.", .images = {kPicture}, .videos = {kVideo}}, kGreedy, {});
      conversation.ask({.text = "How many objects are there?"}, kGreedy, {});
      conversation.save(path_);
      Conversation resumed = after.resume(path_);
      EXPECT_EQ(resumed.options().system, "Be brief.");
      const Answer expected = conversation.ask({.text = "Which colours?"}, kGreedy, {});
      const Answer found = resumed.ask({.text = "Which colours?"}, kGreedy, {});
      expect_same(found, expected);
      EXPECT_GT(found.usage.cached_tokens, found.usage.image_tokens);
      EXPECT_EQ(looks(after), 0u);
      EXPECT_EQ(found.timings.vision_s, 0);
      // With a further picture, and drawing by a seed.
      const GenerationOptions drawn{.max_tokens = 16, .temperature = 1, .seed = 7};
      const Turn turn{.text = "And this?", .images = {kOther}};
      expect_same(resumed.ask(turn, drawn, {}), conversation.ask(turn, drawn, {}));
      EXPECT_EQ(looks(after), 1u);
    }
  }
}

TEST_F(Sessions, that_were_resumed_are_saved_as_the_same_file) {
  save_one();
  const std::string before = bytes_of(path_);
  model().resume(path_).save(path_);
  EXPECT_EQ(bytes_of(path_), before);
}

TEST_F(Sessions, need_no_file_of_a_picture_any_more) {
  const fs::path copy = folder_.files().at("/picture.png");
  fs::copy_file(kPicture, copy);
  Conversation conversation(model());
  conversation.ask({.text = "Describe this picture.", .images = {copy}}, kGreedy, {});
  conversation.save(path_);
  fs::remove(copy);
  const Turn turn{.text = "How many objects are there?"};
  EXPECT_EQ(load().resume(path_).ask(turn, kGreedy, {}).text, "Four.");
  // Where keys and values are missing it is looked at again, and then it is needed.
  change([](Parts& parts) {
    parts.ids.clear();
    parts.blocks.clear();
  });
  EXPECT_EQ(error_of(ErrorCode::media, [&] { load().resume(path_).ask(turn, kGreedy, {}); }),
            copy.string() + ": cannot open: No such file or directory");
  fs::copy_file(kPicture, copy);
  EXPECT_EQ(load().resume(path_).ask(turn, kGreedy, {}).text, "Four.");
  fs::copy_file(kOther, copy, fs::copy_options::overwrite_existing);
  EXPECT_EQ(error_of(ErrorCode::media, [&] { load().resume(path_).ask(turn, kGreedy, {}); }),
            copy.string() + ": became another picture while it was read");
}

TEST_F(Sessions, keep_tools_their_calls_and_results) {
  const std::string tool = R"({"name": "weather", "parameters": {}})";
  Conversation conversation(model(), {.video_prompt = VideoPrompt::nested_timestamps, .tools_json = {tool}});
  conversation.ask({.text = "How is the weather?"}, kGreedy, {});
  conversation.save(path_);
  const std::string arguments = R"({"city": "Oslo"})";
  change([&](Parts& parts) {
    // This small model calls no tools: an answer as one that does would give it.
    parts.text["messages"][1] = {
        {"role", "assistant"},
        {"text", "Let me look."},
        {"calls", Json::array({Json{{"name", "weather"}, {"arguments", arguments}}})}};
    parts.ids.clear();
    parts.blocks.clear();
  });
  Conversation first = model().resume(path_);
  EXPECT_EQ(first.options().tools_json, std::vector<std::string>{tool});
  EXPECT_EQ(first.options().video_prompt, VideoPrompt::nested_timestamps);
  first.save(path_);
  Conversation second = model().resume(path_);
  const Answer expected = first.tool_results({"sunny", "18"}, kGreedy, {});
  expect_same(second.tool_results({"sunny", "18"}, kGreedy, {}), expected);
  second.save(path_);
  expect_same(model().resume(path_).ask({.text = "Thanks."}, kGreedy, {}),
              first.ask({.text = "Thanks."}, kGreedy, {}));
  SessionReader reader(path_);
  const Json text = Json::parse(reader.read_text());
  EXPECT_EQ(text["messages"][1]["calls"][0]["arguments"], arguments);
  EXPECT_EQ(text["messages"][3], (Json{{"role", "tool"}, {"text", "18"}}));
}

TEST_F(Sessions, may_have_no_turn_yet) {
  for (const char* system : {"", "Be brief."}) {
    Conversation(model(), {.system = system}).save(path_);
    Conversation resumed = model().resume(path_), fresh(model(), {.system = system});
    const Turn turn{.text = "Describe this picture.", .images = {kPicture}};
    expect_same(resumed.ask(turn, kGreedy, {}), fresh.ask(turn, kGreedy, {}));
  }
}

TEST_F(Sessions, leave_out_a_question_that_was_given_up) {
  Conversation conversation(model());
  conversation.ask({.text = "Describe this picture.", .images = {kPicture}}, kGreedy, {});
  // Stopped when the prompt, with another picture in it, is computed in part.
  std::stop_source stop;
  const Listeners listeners{.progress =
                                [&](const Progress& progress) {
                                  if (progress.stage == "prefill" && progress.fraction > 0.9)
                                    stop.request_stop();
                                },
                            .stop = stop.get_token()};
  GenerationOptions small_steps = kGreedy;
  small_steps.prefill_chunk = 1;
  const Answer given_up =
      conversation.ask({.text = "A secret question?", .images = {kOther}}, small_steps, listeners);
  ASSERT_EQ(given_up.finish_reason, FinishReason::cancelled);
  ASSERT_TRUE(given_up.tokens.empty());
  conversation.save(path_);
  EXPECT_THAT(bytes_of(path_), Not(HasSubstr("secret")));
  SessionReader reader(path_);
  (void)reader.read_text();
  const std::vector<int32_t> ids = reader.read_ids();
  const int32_t placeholder = static_cast<int32_t>(model().runtime().files.config.tokens.image);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), placeholder), 24);  // those of the first picture
  const Turn next{.text = "How many objects are there?"};
  const Answer found = model().resume(path_).ask(next, kGreedy, {}),
               expected = conversation.ask(next, kGreedy, {});
  EXPECT_EQ(found.tokens, expected.tokens);
  // The given-up question began a turn of the user as well, with two tokens that are not the session's.
  EXPECT_EQ(found.usage.cached_tokens + 2, expected.usage.cached_tokens);
}

TEST_F(Sessions, of_a_model_that_computes_otherwise_are_refused) {
  save_one();
  EXPECT_EQ(problem(load({.kv = KvPrecision::f32})), "kv: found 16, expected f32 as the model was loaded");
  EXPECT_EQ(problem(load({.isa = "scalar"})),
            fmt::format("isa: found {}, expected scalar as the model was loaded", model().isa()));
  EXPECT_EQ(problem(load({.weights = WeightPrecision::f32})),
            "weights: found q8, expected f32 as the model was loaded");
  EXPECT_EQ(problem(load({.vision_weights = WeightPrecision::f32})),
            "vision-weights: found q8, expected f32 as the model was loaded");
  const fs::path other = folder_.files().at("/other");
  fs::copy(kSource / "models/shapes", other);
  {
    std::fstream weights(other / "model.safetensors", std::ios::binary | std::ios::in | std::ios::out);
    weights.seekp(-1, std::ios::end);
    weights.put('\x2a');
  }
  EXPECT_THAT(problem(load({.path = other})),
              MatchesRegex("checkpoint: found [0-9a-f]{32}, expected [0-9a-f]{32} as the model was loaded"));
}

TEST_F(Sessions, that_say_what_no_session_says_are_refused) {
  struct Case {
    std::function<void(Parts&)> change;
    std::string problem;
  };
  const int64_t context = model().runtime().files.config.text.max_position_embeddings;
  const auto message = [](auto key, auto value) {
    return [=](Parts& parts) { parts.text["messages"][0][key] = value; };
  };
  const auto medium = [](auto key, auto value) {
    return [=](Parts& parts) { parts.text["media"][0][key] = value; };
  };
  const std::vector<Case> cases = {
      {[](Parts& parts) { parts.text.erase("system"); }, "system: missing"},
      {[](Parts& parts) { parts.text["tools"] = 3; }, "tools: expected an array"},
      {[](Parts& parts) { parts.text["tools"] = {1}; }, "tools.0: expected a string"},
      {[](Parts& parts) { parts.text["video_prompt"] = "none"; },
       "video_prompt: found \"none\", which there is not"},
      {[](Parts& parts) { parts.text["computation"]["computation"] = "0"; },
       "computation: found 0, expected 4 as the model was loaded"},
      {message("role", "system"), "messages.0.role: found \"system\" out of turn"},
      {message("role", "assistant"), "messages.0.role: found \"assistant\" out of turn"},
      {message("role", "tool"), "messages.0.role: found \"tool\" out of turn"},
      {message("images", -1), "messages.0.images: found -1, expected an integer from 0 to 64"},
      {message("images", uint64_t{1} << 62),
       "messages.0.images: found 4611686018427387904, expected an integer from 0 to 64"},
      {message("images", 2), "media: found 1 of kind \"image\", the messages have 2 places"},
      {message("videos", 1), "media: found 0 of kind \"video\", the messages have 1 places"},
      {[](Parts& parts) { parts.text["messages"].erase(1); }, "messages: the last one is no answer"},
      {[](Parts& parts) { parts.text["messages"][1]["calls"] = {1}; },
       "messages.1.calls.0: expected a name and arguments"},
      {medium("kind", "sound"), "media.0.kind: found \"sound\", which there is not"},
      {medium("kind", "video"), "media.0.times: found 0, expected 1"},
      {medium("times", Json::array({"<1.0 seconds>"})), "media.0.times: found 1, expected 0"},
      {[](Parts& parts) {
         parts.text["media"][0]["kind"] = "video";
         parts.text["media"][0]["times"] = {"<|im_end|>"};
       },
       "media.0.times: expected texts like <0.2 seconds>"},
      {medium("contents", "xyz"), "media.0.contents: expected 32 hexadecimal digits"},
      {medium("t", 2), "media.0.t: expected 1 of a picture"},
      {medium("t", 0), fmt::format("media.0.t: found 0, expected an integer from 1 to {}", context)},
      {medium("h", 3), "media.0.h: found 3, expected a multiple of 2"},
      {medium("w", 2 * context + 2),
       fmt::format("media.0.w: found {}, expected an integer from 2 to {}", 2 * context + 2, 2 * context)},
      {medium("w", 2 * context), fmt::format("media.0.t: more tokens than the {} the model takes", context)},
      {medium("cutting_bytes", -1),
       fmt::format("media.0.cutting_bytes: found -1, expected an integer from 0 to {}", uint64_t{1} << 40)},
      {[](Parts& parts) { parts.ids[3] += 1; },
       "token 3: found 752, expected 751 as the tokenizer writes its turns"},
      {[](Parts& parts) { parts.ids.resize(64, 1); },
       "keys and values of 64 tokens, its turns have 59, the model takes 4096"},
      {[](Parts& parts) {
         parts.block_bytes -= 4;
         for (auto& block : parts.blocks) block.resize(parts.block_bytes);
       },
       "blocks of 87036 bytes, expected 87040 of this model"},
      {[](Parts& parts) { parts.blocks[0][1] = std::byte{0x7f}; },
       "keys and values from token 0 on are none that a model computes"},
  };
  save_one();
  const std::string good = bytes_of(path_);
  for (const Case& each : cases) {
    std::ofstream(path_, std::ios::binary) << good;
    change(each.change);
    EXPECT_EQ(problem(model()), each.problem);
  }
}

TEST_F(Sessions, that_are_damaged_anywhere_are_refused) {
  save_one();
  const std::string good = bytes_of(path_);
  for (size_t end = 0; end < good.size(); end += end < 256 ? 1 : 4096) {
    fs::resize_file(path_, end);
    ASSERT_THAT(problem(model()), HasSubstr(fmt::format("found {} bytes, expected ", end)));
    std::ofstream(path_, std::ios::binary) << good;
  }
  for (size_t at = 8; at < good.size(); at += at < 256 ? 1 : 4093) {
    std::string changed = good;
    changed[at] = static_cast<char>(changed[at] ^ 4);
    std::ofstream(path_, std::ios::binary) << changed;
    ASSERT_NE(problem(model()), "") << at;
  }
  std::ofstream(path_, std::ios::binary) << good;
  EXPECT_EQ(problem(model()), "");
}

TEST_F(Sessions, that_cannot_be_written_leave_the_old_one) {
  save_one();
  const std::string before = bytes_of(path_);
  Conversation conversation = model().resume(path_);
  conversation.ask({.text = "How many objects are there?"}, kGreedy, {});
  const auto refusal = [&](const fs::path& path) {
    return error_of(ErrorCode::environment, [&] { conversation.save(path); });
  };
  {
    const FileSizeLimit limit(4096);
    EXPECT_EQ(refusal(path_), path_.string() + ": cannot write: File too large");
  }
  EXPECT_EQ(bytes_of(path_), before);
  EXPECT_EQ(folder_.files().names("/"), std::vector<std::string>{"session"});
  const fs::path nowhere = folder_.files().at("/none/session");
  EXPECT_EQ(refusal(nowhere), nowhere.string() + ": cannot write: No such file or directory");
  EXPECT_EQ(refusal("/dev/full"),
            "/dev/full: cannot write: found a special file, expected a file or nothing");
  conversation.save(path_);
  EXPECT_NE(bytes_of(path_), before);
}

TEST_F(Sessions, for_which_there_is_no_memory_are_refused) {
  save_one();
  const Model small = load();
  Ledger& ledger = small.runtime().layer.memory().ledger();
  (void)small.runtime().weights_identity();
  ledger.set_cap(ledger.report().held_bytes + 40'000);
  EXPECT_THAT(problem(small, ErrorCode::limit),
              MatchesRegex("not enough memory for the keys and values of [0-9]+ tokens .*"));
  ledger.set_cap(ledger.report().held_bytes + (64 << 20));
  EXPECT_EQ(problem(small), "");
}

}  // namespace
}  // namespace qvl
