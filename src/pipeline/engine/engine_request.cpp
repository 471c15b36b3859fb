#include "pipeline/engine/engine_request.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "optimizer/time_model.h"
#include "pipeline/engine/prompt_lookup.h"
#include "pipeline/generation_options.h"
#include "pipeline/memory_guard.h"
#include "pipeline/prompt.h"
#include "pipeline/request_memory.h"
#include "pipeline/turn.h"

namespace qvl {
namespace {

// Of the largest picture; the plan's are for one of 512 x 512.
uint32_t blocks_in_a_step(const Media& media, const detail::Runtime& runtime) {
  int64_t patches = 1;
  for (const auto& medium : media) patches = std::max(patches, medium->grid.patches());
  return static_cast<uint32_t>(
      std::max<int64_t>(runtime.layer.limits().vision_blocks * kReferencePatches / patches, 1));
}

Turn turn_of(const InferenceRequest& request) {
  return {.text = request.prompt, .images = request.images, .videos = request.videos};
}

}  // namespace

void check_request(const InferenceRequest& request) {
  check_generation_options(request.generation);
  check_utf8("system", request.system);
  (void)user_message(turn_of(request));
  check_media_count(request.images.size() + request.videos.size());
}

EngineRequest::EngineRequest(InferenceRequest request, std::shared_ptr<detail::InferenceChannel> channel,
                             detail::Runtime& runtime)
    : request_(std::move(request)), channel_(std::move(channel)), runtime_(runtime), cached_(runtime) {
  counted_.emplace(runtime.layer.requests());
}

EngineRequest::~EngineRequest() { give_back(); }

void EngineRequest::give_back() {
  if (cutting_.valid()) cutting_.wait();  // the pool may be at one of the pictures
  cutting_ = {};
  vision_run_.reset();
  cached_ = CachedSequence(runtime_);
  spans_.clear();
  prompt_ = {};
  media_.clear();
  counted_.reset();
}

void EngineRequest::prepare() {
  with_memory_for("to prepare a request", [&] {
    const Stopwatch watch;
    const Turn turn = turn_of(request_);
    const Listeners listeners{.text = {}, .progress = {}, .stop = channel_->stop_token()};
    media_ = read_media(turn, runtime_, listeners);
    std::vector<ChatMessage> messages;
    if (!request_.system.empty()) messages.push_back(text_message(Role::system, request_.system));
    messages.push_back(user_message(turn));
    if (media_.size() < turn.images.size() + turn.videos.size()) return;  // cancelled meanwhile
    const ModelConfig& config = runtime_.files.config;
    const auto expanded = expand_media(
        render_chat(messages, {}),
        {.media = media_, .merge = config.vision.spatial_merge_size, .video_prompt = request_.video_prompt});
    prompt_ = place_media(encode_pieces(expanded, *runtime_.tokenizer), media_, config);
    check_fits_context(prompt_, 1, config.text);
    positions_ = positions_of(prompt_, config.vision.spatial_merge_size, counter_);
    writer_.emplace(request_.generation, prompt_.size(), runtime_,
                    [this](std::string_view text) { new_text_ += text; });
    if (!media_.empty()) cut_patches(*media_.front(), runtime_);
    cut_ = std::min<size_t>(1, media_.size());
    timings_.preprocess_s = watch.seconds();
  });
}

scheduling::Work EngineRequest::work() const {
  const auto blocks = static_cast<size_t>(runtime_.files.config.vision.depth);
  return {.prepare_units = 1,
          .vision_steps = static_cast<uint32_t>(media_.size() * blocks),
          .most_vision_steps = blocks_in_a_step(media_, runtime_),
          .prompt_tokens = static_cast<uint32_t>(prompt_.size()),
          .answer_tokens = static_cast<uint32_t>(writer_->room())};
}

std::vector<MemoryNeed> EngineRequest::needs() const {
  return needs_of({.media = media_,
                   .prompt = prompt_,
                   .answer_tokens = reserved_answer(request_.generation),
                   .chunk = std::min(kMostPromptTokens, runtime_.layer.limits().prefill_chunk)},
                  cached_.cache, runtime_);
}

void EngineRequest::begin() {
  counted_->begin();
  const ModelConfig& config = runtime_.files.config;
  reserve_cache(cached_.cache, prompt_.size() + reserved_answer(request_.generation), KvCache::Growth::needed,
                config.text);
  sampler_.emplace(resolve_sampling(request_.generation, runtime_.files.generation), config.text.vocab_size);
  sampler_->observe_prompt(prompt_.ids);
  writer_->answer.usage.prompt_tokens = prompt_.size();
  writer_->answer.usage.image_tokens = prompt_.visual_tokens();
  channel_->admitted();
}

// Cuts a picture on the preprocess pool while the one before it is encoded.
void EngineRequest::cut_ahead(size_t index) {
  if (index >= media_.size() || index < cut_) return;
  cut_ = index + 1;
  auto cutting = runtime_.layer.threads().preprocess().try_submit(
      [medium = media_[index].get(), this] { cut_patches(*medium, runtime_); });
  if (cutting) {
    cutting_ = std::move(*cutting);
  } else {
    cut_patches(*media_[index], runtime_);  // the pool has enough to do: at least this one goes on
  }
}

void EngineRequest::wait_for_patches(size_t index) {
  cut_ahead(index);
  if (cutting_.valid()) cutting_.get();
}

void EngineRequest::see(uint32_t steps, BetweenPieces between) {
  const VisionTower* tower = runtime_.network.vision();
  QVL_CHECK(tower != nullptr);
  for (; steps > 0; --steps) {
    QVL_CHECK(seen_ < media_.size());
    Medium& medium = *media_[seen_];
    if (!vision_run_) wait_for_patches(seen_);  // until then another thread has the picture
    with_memory_for(fmt::format("to look at {} ({} patches)", medium.name, medium.grid.patches()), [&] {
      const Stopwatch watch;
      const StageZone zone(runtime_.layer.stages(), runtime_.layer.tracer(), Stage::vision, id());
      if (!vision_run_) {
        vision_run_ = tower->begin(medium.patches, runtime_.ops, between);
        medium.patches = {};
        cut_ahead(seen_ + 1);
      }
      tower->step(*vision_run_, runtime_.ops, between);
      if (tower->done(*vision_run_)) {
        medium.features = tower->finish(std::move(*vision_run_), runtime_.ops, between);
        medium.encoded = true;
        vision_run_.reset();
        ++seen_;
      }
      timings_.vision_s += watch.seconds();
    });
  }
}

SequenceStep EngineRequest::prompt_step(int64_t count) {
  const int64_t first = cached_.held.size();
  QVL_CHECK(seen_ == media_.size() && first + count <= prompt_.size());
  if (spans_.empty() && !prompt_.blocks.empty()) spans_ = visual_spans(prompt_, 0);
  computing_ = count;
  if (!since_prefill_) since_prefill_.emplace();
  const auto part = [&](const auto& values) {
    return std::span(values).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
  };
  return {.chunk = {.ids = part(prompt_.ids), .positions = part(positions_), .visual = spans_},
          .cache = &cached_.cache};
}

SequenceStep EngineRequest::decode_step(size_t guesses) {
  ahead_.resize(1);
  if (guesses > 0) {
    // Guesses behind the room of the answer would be for nothing.
    const auto left = static_cast<size_t>(writer_->room() - std::ssize(writer_->answer.tokens) - 1);
    cached_.held.ids.push_back(ahead_.front());
    const auto guessed = look_up(cached_.held.ids, std::min(guesses, left));
    ahead_.insert(ahead_.end(), guessed.begin(), guessed.end());
    cached_.held.ids.pop_back();
  }
  computing_ = std::ssize(ahead_);
  reserve_cache(cached_.cache, computing_, KvCache::Growth::ahead, runtime_.files.config.text);
  positions_ahead_.clear();
  PositionCounter next = counter_;
  next.append_text(computing_, positions_ahead_);
  return {.chunk = {.ids = ahead_, .positions = positions_ahead_, .visual = {}}, .cache = &cached_.cache};
}

size_t EngineRequest::rows_wanted() const {
  if (decoding()) return static_cast<size_t>(computing_);
  return cached_.held.size() + computing_ == prompt_.size() ? 1 : 0;
}

bool EngineRequest::take(std::span<float> logits) {
  const auto vocabulary = static_cast<size_t>(runtime_.files.config.text.vocab_size);
  std::vector<int32_t>& held = cached_.held.ids;
  if (!decoding()) {
    const auto first = prompt_.ids.begin() + cached_.held.size();
    held.insert(held.end(), first, first + computing_);
    return logits.empty() || choose(logits);
  }
  computed_ = ahead_;
  bool goes_on = true;
  size_t right = 0;  // of the computed tokens, those that belong to the answer
  while (goes_on && right < computed_.size() && (right == 0 || computed_[right] == ahead_.front())) {
    held.push_back(computed_[right]);
    goes_on = choose(logits.subspan(right * vocabulary, vocabulary));
    ++right;
  }
  cached_.cache.truncate(cached_.held.size());
  positions_ahead_.clear();
  counter_.append_text(static_cast<int64_t>(right), positions_ahead_);
  return goes_on;
}

// The next token, put down as the one chosen last. False where it ended the answer.
bool EngineRequest::choose(std::span<float> logits) {
  const StageZone zone(runtime_.layer.stages(), runtime_.layer.tracer(), Stage::sampling, id());
  ahead_.resize(1);
  try {
    ahead_.front() = sampler_->sample(logits);
  } catch (const Error& error) {  // the sampler knows numbers, not where they come from
    fail(error.code(), "{}: {}", runtime_.name, error.what());
  }
  if (!since_first_) {
    timings_.time_to_first_token_s = age_s();
    timings_.prefill_s = since_prefill_->seconds();
    since_first_.emplace();
  }
  const bool goes_on = writer_->add(ahead_.front());
  tell();
  return goes_on;
}

void EngineRequest::tell() {
  channel_->advance(new_text_, std::ssize(writer_->answer.tokens));
  new_text_.clear();
}

InferenceOutput EngineRequest::finish(std::optional<FinishReason> reason) {
  if (!writer_) {  // cancelled before it was prepared
    Answer answer;
    answer.finish_reason = reason.value_or(FinishReason::cancelled);
    return answer;
  }
  if (reason) {
    writer_->end(*reason);
    tell();
  }
  if (since_first_) timings_.decode_s = since_first_->seconds();
  Answer answer = std::move(writer_->answer);
  answer.timings = timings_;
  return answer;
}

}  // namespace qvl
