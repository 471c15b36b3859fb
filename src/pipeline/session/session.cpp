#include "pipeline/session/session.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "memory/memory_home.h"
#include "pipeline/session/session_file.h"
#include "pipeline/session/session_text.h"

namespace qvl {
namespace {

using detail::ConversationState;
using detail::Runtime;

std::vector<ComputationField> computation_of(Runtime& runtime) {
  return computation_fields(runtime.files.config, runtime.network.forms(), runtime.weights_identity());
}

// One block on its way between cache and file.
HomeVector<std::byte> block_buffer(uint64_t bytes, Runtime& runtime) {
  return HomeVector<std::byte>(bytes, runtime.layer.home(MemoryPart::staging));
}

// Texts of what is said, without the system turn: that is among the options.
SessionTurns turns_of(const ConversationState& state) {
  const auto said = state.messages.begin() + (state.options.system.empty() ? 0 : 1);
  return {.options = state.options, .messages = {said, state.messages.end()}, .media = state.media};
}

void check_tokens(const Sequence& prompt, std::span<const int32_t> ids, const std::string& name) {
  const auto [found, expected] = std::mismatch(ids.begin(), ids.end(), prompt.ids.begin());
  if (found == ids.end()) return;
  fail(ErrorCode::usage, "{}: token {}: found {}, expected {} as the tokenizer writes its turns", name,
       found - ids.begin(), *found, *expected);
}

// Keys and values of the beginning of `prompt`, as many as the file has.
void read_cache(SessionReader& reader, const Sequence& prompt, ConversationState& state) {
  Runtime& runtime = state.model.runtime();
  CachedSequence& cached = state.cached;
  const auto tokens = static_cast<int64_t>(reader.header().tokens);
  reserve_cache(cached.cache, tokens, runtime.files.config.text);
  HomeVector<std::byte> block = block_buffer(reader.header().block_bytes, runtime);
  for (int64_t first = 0; first < tokens; first += kBlockKeys) {
    reader.read_block(block);
    if (!cached.cache.accepts(block)) {
      fail(ErrorCode::usage, "{}: keys and values from token {} on are none that a model computes",
           reader.name(), first);
    }
    cached.cache.append_block(block, std::min(kBlockKeys, tokens - first));
  }
  cached.held.extend(prompt, tokens);
}

}  // namespace

// Of what is cached, what the next prompt will have in common with it: a question that was given up stays
// out.
void save_session(const ConversationState& state, const std::filesystem::path& path) {
  Runtime& runtime = state.model.runtime();
  const Sequence prompt =
      state.messages.empty() ? Sequence() : render_prompt(state, state.messages, state.media);
  const int64_t kept = common_prefix(state.cached.held, prompt);
  const std::string text = session_text(turns_of(state), computation_of(runtime));
  if (text.size() > kMostSessionText) {
    fail(ErrorCode::limit, "{}: {} bytes of text, at most {} are kept", path_name(path), text.size(),
         kMostSessionText);
  }
  const KvCache& cache = state.cached.cache;
  HomeVector<std::byte> block = block_buffer(cache.block_bytes(), runtime);
  SessionWriter writer(path);
  writer.begin(text, std::span(prompt.ids).first(static_cast<size_t>(kept)), cache.block_bytes());
  for (int64_t index = 0; index * kBlockKeys < kept; ++index) {
    cache.read_block(index, block);
    writer.add_block(block);
  }
  writer.commit();
}

std::unique_ptr<ConversationState> resume_session(const Model& model, const std::filesystem::path& path) {
  Runtime& runtime = model.runtime();
  SessionReader reader(path);
  const SessionHeader& header = reader.header();
  // The text, and what is made of it.
  const Reservation room = runtime.layer.home(MemoryPart::staging).charge(2 * header.text_bytes);
  const ModelConfig& config = runtime.files.config;
  SessionTurns turns = read_session_text(reader.read_text(), reader.name(),
                                         {.config = config, .computation = computation_of(runtime)});
  auto state = std::make_unique<ConversationState>(model, std::move(turns.options));
  std::move(turns.messages.begin(), turns.messages.end(), std::back_inserter(state->messages));
  state->media = std::move(turns.media);
  const Sequence prompt =
      state->messages.empty() ? Sequence() : render_prompt(*state, state->messages, state->media);
  const auto most = std::min(prompt.size(), config.text.max_position_embeddings);
  if (std::cmp_greater(header.tokens, most)) {
    fail(ErrorCode::usage, "{}: keys and values of {} tokens, its turns have {}, the model takes {}",
         reader.name(), header.tokens, prompt.size(), config.text.max_position_embeddings);
  }
  if (header.block_bytes != state->cached.cache.block_bytes()) {
    fail(ErrorCode::usage, "{}: blocks of {} bytes, expected {} of this model", reader.name(),
         header.block_bytes, state->cached.cache.block_bytes());
  }
  check_tokens(prompt, reader.read_ids(), reader.name());
  read_cache(reader, prompt, *state);
  reader.finish();
  return state;
}

}  // namespace qvl
