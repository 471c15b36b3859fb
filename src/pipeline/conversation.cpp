// Conversation: turns rendered anew each time, computed only from where they differ from what is cached.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "pipeline/answer_writer.h"
#include "pipeline/conversation_state.h"
#include "pipeline/generate.h"
#include "pipeline/generation_options.h"
#include "pipeline/memory_guard.h"
#include "pipeline/request_memory.h"
#include "pipeline/session/session.h"
#include "pipeline/tool_calls.h"
#include "pipeline/turn.h"
#include "qvl/qvl.h"

namespace qvl {
namespace {

using detail::ConversationState;
using detail::Runtime;

// What one call adds: its messages with their media.
struct Addition {
  std::vector<ChatMessage> messages;
  Media media;
};

struct AskArgs {
  const GenerationOptions& options;
  const Listeners& listeners;
  const Stopwatch& since_call;
};

Answer cancelled() {
  Answer answer;
  answer.finish_reason = FinishReason::cancelled;
  return answer;
}

// A request of a conversation. Where it fails, the memory for keys and values is as large as before it, and
// however it ends, features are left to those that keep them for later requests.
class Asking {
 public:
  Asking(ConversationState& state, const Media& media)
      : state_(state), media_(media), capacity_(state.cached.cache.capacity()) {}
  ~Asking() {
    for (const auto& medium : media_) {
      medium->features.reset();
      medium->drop_patches();
    }
    if (done_) return;
    const int64_t left = std::min({capacity_, state_.cached.cache.size(), state_.cached.held.size()});
    state_.cached.held.truncate(left);
    state_.cached.cache.truncate(left);
    state_.cached.cache.shrink(capacity_);
  }
  Asking(const Asking&) = delete;
  Asking& operator=(const Asking&) = delete;

  void done() { done_ = true; }

 private:
  ConversationState& state_;
  const Media media_;
  int64_t capacity_;
  bool done_ = false;
};

// What a prompt begins with that is there already, and what it takes for the rest.
struct Needed {
  const Sequence& prompt;
  const PrefixKeys& keys;
  const std::vector<KvPage>& pages;  // of others, held from here on
  Media media;                       // that are to be seen
};

// Sees to the features of all media, then takes over what earlier requests have left of the prompt. False
// where it was stopped.
bool make_ready(const Needed& needed, ConversationState& state, const AskArgs& args, Timings& timings) {
  Runtime& runtime = state.model.runtime();
  if (!encode_media(needed.media, runtime, args.listeners, timings)) return false;
  (void)keep_common_prefix(state.cached, needed.prompt);
  (void)take_kept_pages(needed.prompt, needed.keys, needed.pages, state.cached, runtime);
  return true;
}

// All changes to the turns are made on copies and swapped in at the end, where nothing can fail any more.
Answer answer_to(ConversationState& state, Addition addition, const AskArgs& args) {
  Runtime& runtime = state.model.runtime();
  RequestGauge::Request counted(runtime.layer.requests());
  std::vector<ChatMessage> messages = state.messages;
  Media media = state.media;
  messages.insert(messages.end(), addition.messages.begin(), addition.messages.end());
  media.insert(media.end(), addition.media.begin(), addition.media.end());
  check_media_count(media.size());
  const Sequence prompt = render_prompt(state, messages, media);
  check_fits_context(prompt, 1, runtime.files.config.text);
  Timings before{.load_s = runtime.load_seconds, .preprocess_s = args.since_call.seconds()};
  const ComputeTurn turn(runtime.computing, runtime.layer.threads());
  const RequestScope scope(runtime);  // ends before the turn
  const PrefixKeys keys = runtime.caches->prefixes.keys_of(prompt);
  runtime.caches->prefixes.fetch(keys, state.cached.cache.block_bytes());
  const int64_t held = kept_tokens(state.cached, prompt);
  const std::vector<KvPage> pages = runtime.caches->prefixes.look_up(keys, held);
  const KvKept kept{.tokens = held, .pages = std::ssize(pages)};
  Asking asking(state, media);
  const Needed needed{
      .prompt = prompt, .keys = keys, .pages = pages, .media = media_from(prompt, media, kept.all_tokens())};
  for (const auto& medium : needed.media) find_features(*medium, runtime);
  check_room({.media = needed.media,
              .prompt = prompt,
              .kept = kept,
              .answer_tokens = reserved_answer(args.options),
              .chunk = std::min(args.options.prefill_chunk, runtime.layer.limits().prefill_chunk)},
             state.cached.cache, runtime);
  counted.begin();
  if (!make_ready(needed, state, args, before)) return cancelled();
  const GenerateRequest request{.prompt = prompt,
                                .keys = keys,
                                .options = args.options,
                                .listeners = args.listeners,
                                .since_call = args.since_call};
  Answer answer = generate(request, state.cached, runtime);
  asking.done();
  answer.timings.load_s = before.load_s;
  answer.timings.preprocess_s = before.preprocess_s;
  answer.timings.vision_s = before.vision_s;
  answer.media = reports_of(addition.media);
  if (answer.finish_reason == FinishReason::cancelled && answer.tokens.empty()) return answer;

  messages.push_back(assistant_message(answer.text));
  state.messages.swap(messages);
  state.media.swap(media);
  return answer;
}

}  // namespace

Conversation::Conversation(Model model, ConversationOptions options)
    : state_(with_memory_for("to begin a conversation", [&] {
        return std::make_unique<ConversationState>(std::move(model), std::move(options));
      })) {}
Conversation::Conversation(std::unique_ptr<ConversationState> state) : state_(std::move(state)) {}
Conversation::~Conversation() = default;
Conversation::Conversation(Conversation&&) noexcept = default;

Answer Conversation::ask(const Turn& turn, const GenerationOptions& options, const Listeners& listeners) {
  return with_memory_for("to answer", [&] {
    const Stopwatch since_call;
    check_generation_options(options);
    Addition addition{.messages = {user_message(turn)}, .media = {}};
    addition.media = read_media(turn, state_->model.runtime(), listeners);
    if (listeners.stop.stop_requested()) return cancelled();
    return answer_to(*state_, std::move(addition),
                     {.options = options, .listeners = listeners, .since_call = since_call});
  });
}

Answer Conversation::tool_results(const std::vector<std::string>& results, const GenerationOptions& options,
                                  const Listeners& listeners) {
  return with_memory_for("to answer", [&] {
    const Stopwatch since_call;
    check_generation_options(options);
    if (results.empty() || state_->messages.empty() || state_->messages.back().role != Role::assistant) {
      fail(ErrorCode::usage, "tool results: found {}, expected at least one, after an answer",
           results.size());
    }
    Addition addition;
    for (const std::string& result : results) {
      check_utf8("tool result", result);
      addition.messages.push_back(text_message(Role::tool, result));
    }
    return answer_to(*state_, std::move(addition),
                     {.options = options, .listeners = listeners, .since_call = since_call});
  });
}

void Conversation::save(const std::filesystem::path& path) const {
  with_memory_for("to save the conversation", [&] { save_session(*state_, path); });
}

const ConversationOptions& Conversation::options() const { return state_->options; }

Conversation Model::resume(const std::filesystem::path& path) const {
  return with_memory_for("to resume the conversation",
                         [&] { return Conversation(resume_session(*this, path)); });
}

}  // namespace qvl
