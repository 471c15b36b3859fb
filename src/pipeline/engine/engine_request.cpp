#include "pipeline/engine/engine_request.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "optimizer/time_model.h"
#include "pipeline/engine/prompt_lookup.h"
#include "pipeline/engine/request_prompt.h"
#include "pipeline/generation_options.h"
#include "pipeline/memory_guard.h"
#include "pipeline/request_memory.h"
#include "pipeline/tensor_inputs.h"
#include "profiler/steady_clock.h"

namespace qvl {
namespace {

// Of the largest picture; the plan's are for one of 512 x 512.
uint32_t blocks_in_a_step(const Media& media, const detail::Runtime& runtime) {
  int64_t patches = 1;
  for (const auto& medium : media) patches = std::max(patches, medium->grid.patches());
  return static_cast<uint32_t>(
      std::max<int64_t>(runtime.layer.limits().vision_blocks * kReferencePatches / patches, 1));
}

}  // namespace

EngineRequest::EngineRequest(InferenceRequest request, std::shared_ptr<detail::InferenceChannel> channel,
                             detail::Runtime& runtime, VisionTasks& tasks)
    : ScheduledRequest(std::move(request), std::move(channel), runtime.layer.requests()),
      runtime_(runtime),
      tasks_(tasks),
      cached_(runtime) {
  if (request_.tensors) check_tensor_inputs(*request_.tensors, runtime.files.config);
}

EngineRequest::~EngineRequest() { give_back(); }

// Makes nothing new: a request ends also where memory has run out.
void EngineRequest::give_back() noexcept {
  if (is_being_cut()) cutting_->done.wait();  // the pool is at one of the pictures
  cutting_.reset();
  task_.reset();
  cached_.cache.truncate(0);
  cached_.cache.shrink(0);
  owed_.reset();
  cached_.held = {};
  spans_.clear();
  prompt_ = {};
  media_.clear();
  counted_.reset();
}

void EngineRequest::read() {
  with_memory_for("to prepare a request", [&] {
    const Stopwatch watch;
    const ModelConfig& config = runtime_.files.config;
    if (request_.tensors) {
      media_ = media_of(*request_.tensors, runtime_);
      prompt_ = place_media(request_.tensors->ids, media_, config);
    } else {
      RequestPrompt read = read_prompt(request_, runtime_, channel_->stop_token());
      media_ = std::move(read.media);
      prompt_ = std::move(read.sequence);
    }
    if (prompt_.size() == 0) return;  // cancelled meanwhile
    check_fits_context(prompt_, 1, config.text);
    find_kept();
    writer_.emplace(request_.generation, prompt_.size(), runtime_,
                    [this](std::string_view text) { new_text_ += text; });
    writer_->answer.usage.cached_tokens = cached_.held.size();
    timings_.preprocess_s = watch.seconds();
  });
}

// What earlier requests have left, and where that is not all, the first picture's patches. Pages of keys and
// values are held from here on: what the request needs is counted without them.
void EngineRequest::find_kept() {
  PrefixCache& prefixes = runtime_.caches->prefixes;
  keys_ = prefixes.keys_of(prompt_);
  prefixes.fetch(keys_, cached_.cache.block_bytes());
  const auto pages = prefixes.look_up(keys_, 0);
  pinned_bytes_ = newly_held_bytes(pages);
  (void)take_kept_pages(prompt_, keys_, pages, cached_, runtime_);
  const Media needed = media_from(prompt_, media_, cached_.held.size());
  for (const auto& medium : needed) find_features(*medium, runtime_);
  for (size_t i = 0; i < media_.size(); ++i) {
    if (media_[i]->features || std::find(needed.begin(), needed.end(), media_[i]) == needed.end()) continue;
    cut_patches(*media_[i], runtime_);
    cut_ = i + 1;
    return;
  }
}

scheduling::Work EngineRequest::work() const {
  const auto unseen = static_cast<int64_t>(
      std::count_if(media_.begin(), media_.end(), [this](const auto& medium) { return is_to_see(*medium); }));
  return {.prepare_units = 1,
          .vision_steps = static_cast<uint32_t>(unseen * runtime_.files.config.vision.depth),
          .most_vision_steps = blocks_in_a_step(media_, runtime_),
          .prompt_tokens = static_cast<uint32_t>(prompt_.size() - cached_.held.size()),
          .answer_tokens = static_cast<uint32_t>(writer_->room())};
}

std::vector<MemoryNeed> EngineRequest::needs() const {
  return needs_of({.media = media_from(prompt_, media_, cached_.held.size()),
                   .prompt = prompt_,
                   .kept = {.tokens = cached_.cache.size()},
                   .answer_tokens = reserved_answer(request_.generation),
                   .chunk = std::min(kMostPromptTokens, runtime_.layer.limits().prefill_chunk),
                   .answer_rows = kMostAnswerRows},
                  cached_.cache, runtime_);
}

// Pictures that were cut, and what it shares with caches and keeps them from giving back.
bool EngineRequest::holds_ahead() const {
  return cached_.cache.capacity() > 0 || std::any_of(media_.begin(), media_.end(), [](const auto& medium) {
           return medium->features || medium->patches.pixels.rows() > 0;
         });
}

// What keys and values of the prompt and the answer take beyond what it has.
uint64_t EngineRequest::growth_left() const {
  return cached_.cache.growth_bytes({.tokens = cached_.cache.size()},
                                    prompt_.size() + reserved_answer(request_.generation));
}

// Keys and values are taken page by page as they are computed, so that what another request computes first
// takes no memory here; until then they are set down, so that nobody else takes them.
bool EngineRequest::reserve() {
  auto granted = runtime_.layer.memory().ledger().reserve(MemoryPart::kv, growth_left());
  if (!granted) return false;
  owed_ = *std::move(granted);
  return true;
}

void EngineRequest::begin() {
  counted_->begin();
  if (!owed_) {
    owed_ = runtime_.layer.memory()
                .ledger()
                .reserve(MemoryPart::kv, growth_left())
                .take_for("request: keys and values");
  }
  const ModelConfig& config = runtime_.files.config;
  sampler_.emplace(resolve_sampling(request_.generation, runtime_.files.generation), config.text.vocab_size);
  sampler_->observe_prompt(prompt_.ids);
  reserve_answer();
  writer_->answer.usage.prompt_tokens = prompt_.size();
  writer_->answer.usage.image_tokens = prompt_.visual_tokens();
  runtime_.layer.stages().add(Stage::queue, static_cast<int64_t>(age_s() * 1e9));
  channel_->admitted(writer_->answer.text.capacity());
}

// So that decoding allocates nothing, as long as the answer is no longer than memory is set aside for.
void EngineRequest::reserve_answer() {
  constexpr size_t step = 1 + LookupGauge::kGuesses;
  constexpr size_t text_of_a_step = 256;
  const auto ahead = static_cast<size_t>(reserved_answer(request_.generation));
  cached_.held.ids.reserve(prompt_.ids.size() + ahead + step);
  ahead_.reserve(step);
  computed_.reserve(step);
  positions_ahead_.reserve(step);
  new_text_.reserve(text_of_a_step);
}

// Whether its features are still to be computed: they are not known, and not all of its tokens are held.
bool EngineRequest::is_to_see(const Medium& medium) const {
  if (medium.features) return false;
  return std::any_of(prompt_.blocks.begin(), prompt_.blocks.end(), [&](const VisualBlock& block) {
    return block.medium.get() == &medium && block.position + block.count > cached_.held.size();
  });
}

// The place of the first medium from `from` on that is to be seen; behind the last one where there is none.
size_t EngineRequest::next_to_see(size_t from) const {
  while (from < media_.size() && !is_to_see(*media_[from])) ++from;
  return from;
}

ScheduledRequest::Left EngineRequest::left() const {
  int64_t blocks = task_ ? -task_->run.next_block : 0;
  for (const auto& medium : media_) {
    if (is_to_see(*medium)) blocks += runtime_.files.config.vision.depth;
  }
  return {.vision_steps = static_cast<uint32_t>(blocks),
          .prompt_tokens = static_cast<uint32_t>(prompt_.size() - cached_.held.size())};
}

std::optional<ScheduledRequest::Left> EngineRequest::take_kept() {
  if (!sampler_ || decoding()) return std::nullopt;
  const auto pages = runtime_.caches->prefixes.look_up(keys_, cached_.cache.size());
  writer_->answer.usage.cached_tokens += take_kept_pages(prompt_, keys_, pages, cached_, runtime_);
  if (!pages.empty()) let_go_of_covered();
  const size_t index = next_to_see(0);
  const bool goes_on = task_ && !task_->lost && index < media_.size() && media_[index].get() == seeing_;
  if (!goes_on) task_.reset();
  // A picture that another thread is cutting is left to it until it is to be seen.
  const bool taken = cutting_ && cut_ == index + 1;
  if (index < media_.size() && !taken) take_features_kept(*media_[index]);
  return left();
}

// What need not be computed any more takes no memory: keys and values set down, and pictures that were cut.
void EngineRequest::let_go_of_covered() {
  owed_->shrink(owed_->bytes() - std::min(owed_->bytes(), growth_left()));
  for (size_t i = 0; i < media_.size(); ++i) {
    const bool is_being_cut = cutting_ && cut_ == i + 1;
    if (!is_being_cut && !is_to_see(*media_[i])) media_[i]->drop_patches();
  }
}

// What the task it has joined, or anybody else, has made of it meanwhile.
void EngineRequest::take_features_kept(Medium& medium) {
  SharedFeatures kept = task_ ? task_->features : runtime_.caches->features.find_in_memory(medium.key);
  if (!kept) return;
  take_features(medium, std::move(kept), FeatureOrigin::memory);
  task_.reset();
}

// Whether it may be cut beside all that needs() counts, where pictures are cut one after another. Keys and
// values are set down already.
bool EngineRequest::has_room_ahead(const Medium& medium) const {
  const LedgerReport report = runtime_.layer.memory().ledger().report();
  uint64_t bytes = medium.cutting_bytes + patch_bytes(medium, runtime_.files.config.vision);
  for (const MemoryNeed& need : needs()) bytes += need.part == MemoryPart::kv ? 0 : need.bytes;
  return bytes <=
         report.free_bytes() + report.of(MemoryPart::pool).held_bytes + runtime_.caches->idle_bytes();
}

// Where memory is short it is cut when it is to be seen.
void EngineRequest::try_to_cut(Medium& medium) {
  try {
    cut_patches(medium, runtime_);
  } catch (const MemoryShortage&) {
  }
}

// Cuts a picture on the preprocess pool while the one before it is encoded.
void EngineRequest::cut_ahead(size_t index) {
  if (index >= media_.size() || index < cut_ || !has_room_ahead(*media_[index])) return;
  cut_ = index + 1;
  auto cutting = std::make_shared<Cutting>();
  auto done = runtime_.layer.threads().preprocess().try_submit(
      [cutting, medium = media_[index].get(), this] {
        if (!cutting->begun.exchange(true)) try_to_cut(*medium);
      },
      TaskPriority::high);
  if (!done) return try_to_cut(*media_[index]);  // the pool has enough to do: this one goes on
  cutting->done = std::move(*done);
  cutting_ = std::move(cutting);
}

// Whether a thread of the pool is at the picture that was to be cut ahead, or done with it. Where it has not
// come to it, it leaves it alone from now on: the engine waits for nothing that waits itself.
bool EngineRequest::is_being_cut() const { return cutting_ && cutting_->begun.exchange(true); }

// Throws what failed there; nobody asks for that a second time.
void EngineRequest::end_cutting() {
  const bool being_cut = is_being_cut();
  const auto cutting = std::exchange(cutting_, nullptr);
  if (being_cut) {
    cutting->done.get();
  } else if (cutting) {
    --cut_;
  }
}

// `cut` holds the tower up.
void EngineRequest::wait_for_cutting(FunctionRef<void()> cut) {
  const int64_t begin_ns = steady_ns();
  cut();
  cutting_wait_ns_ += steady_ns() - begin_ns;
}

// Joins whoever is at the same picture, or begins. Nothing where its features turned up meanwhile.
void EngineRequest::begin_to_see(size_t index, BetweenPieces between) {
  Medium& medium = *media_[index];
  wait_for_cutting(
      [&] { end_cutting(); });  // until then another thread has the picture, or the one behind it
  take_features_kept(medium);
  if (medium.features) return;
  const bool shared = runtime_.caches->features.enabled();
  seeing_ = &medium;
  if (shared) task_ = tasks_.find(medium.key);
  if (task_) {
    medium.drop_patches();
    return take_features_kept(medium);
  }
  cut_ = std::max(cut_, index + 1);
  wait_for_cutting([&] { cut_patches(medium, runtime_); });  // unless they are there
  auto task = std::make_shared<VisionTask>();
  task->run = runtime_.network.vision()->begin(medium.patches, runtime_.ops, between);
  if (shared) tasks_.add(medium.key, task);
  task_ = std::move(task);
  medium.drop_patches();
  cut_ahead(next_to_see(index + 1));
}

void EngineRequest::see_block(Medium& medium, BetweenPieces between) {
  const VisionTower& tower = *runtime_.network.vision();
  const StageZone zone = runtime_.layer.zone(Stage::vision, id());
  auto computed = std::make_shared<MediumFeatures>();
  task_->lost = true;  // until the block is done: others may hold the task
  tower.step(task_->run, runtime_.ops, between);
  const bool done = tower.done(task_->run);
  if (done) {
    computed->grid = task_->run.grid;
    computed->features = tower.finish(std::move(task_->run), runtime_.ops, between);
    task_->features = computed;
  }
  task_->lost = false;
  if (!done) return;
  runtime_.network.check_undamaged();
  runtime_.caches->features.keep(medium.key, computed);
  take_features(medium, std::move(computed), FeatureOrigin::computed);
  task_.reset();
}

int64_t EngineRequest::see(uint32_t steps, BetweenPieces between) {
  QVL_CHECK(runtime_.network.vision() != nullptr);
  int64_t patches = 0;
  while (steps > 0) {
    const size_t index = next_to_see(0);
    if (index == media_.size()) break;
    Medium& medium = *media_[index];
    with_memory_for(
        [&] { return fmt::format("to look at {} ({} patches)", medium.name, medium.grid.patches()); },
        [&] {
          const Stopwatch watch;
          if (task_ && task_->lost) task_.reset();
          if (task_) take_features_kept(medium);  // another request may have computed the rest in this step
          if (medium.features) return;
          if (!task_) begin_to_see(index, between);
          if (task_) {
            see_block(medium, between);
            patches += medium.grid.patches();
            --steps;
          }
          timings_.vision_s += watch.seconds();
        });
  }
  return patches;
}

SequenceStep EngineRequest::prompt_step(int64_t count) {
  const int64_t first = cached_.held.size();
  QVL_CHECK(next_to_see(0) == media_.size() && first + count <= prompt_.size());
  if (positions_.empty()) {
    positions_ = positions_of(prompt_, runtime_.files.config.vision.spatial_merge_size, counter_);
    spans_ = visual_spans(prompt_, first);
  }
  computing_ = count;
  if (!since_prefill_) since_prefill_.emplace();
  reserve_for_prompt(first, count);
  const auto part = [&](const auto& values) {
    return std::span(values).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
  };
  return {.chunk = {.ids = part(prompt_.ids), .positions = part(positions_), .visual = spans_},
          .cache = &cached_.cache};
}

// What was set down for these tokens is taken; with the end of the prompt for the answer too, so that
// decoding allocates nothing.
void EngineRequest::reserve_for_prompt(int64_t first, int64_t count) {
  const bool ends = first + count == prompt_.size();
  const int64_t tokens = count + (ends ? reserved_answer(request_.generation) : 0);
  const uint64_t taken = cached_.cache.growth_bytes({.tokens = first}, first + tokens);
  owed_->shrink(ends ? owed_->bytes() : std::min(owed_->bytes(), taken));
  reserve_cache(cached_.cache, tokens, runtime_.files.config.text);
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
  guesses_ = {.guessed = ahead_.size() - 1};
  reserve_cache(cached_.cache, computing_, runtime_.files.config.text);
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
    runtime_.caches->prefixes.keep(keys_, cached_.cache);
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
  guesses_.accepted = right - 1;
  cached_.cache.truncate(cached_.held.size());
  positions_ahead_.clear();
  counter_.append_text(static_cast<int64_t>(right), positions_ahead_);
  return goes_on;
}

// The next token, put down as the one chosen last. False where it ended the answer.
bool EngineRequest::choose(std::span<float> logits) {
  const StageZone zone = runtime_.layer.zone(Stage::sampling, id());
  ahead_.resize(1);
  try {
    ahead_.front() = sampler_->sample(logits);
  } catch (const Error& error) {  // the sampler knows numbers, not where they come from
    fail(error.code(), "{}: {}", runtime_.name, error.what());
  }
  const bool begins = !since_first_;
  if (begins) {
    timings_.time_to_first_token_s = age_s();
    timings_.prefill_s = since_prefill_->seconds();
    since_first_.emplace();
  }
  const bool goes_on = writer_->add(ahead_.front());
  tell();
  if (begins) let_go_of_pictures();
  return goes_on;
}

// What has begun to answer is not prepared again, so that nothing is read any more.
void EngineRequest::let_go_of_pictures() {
  for (Picture& picture : request_.images) picture.let_go();
  for (const auto& medium : media_) {
    if (medium->in_memory) medium->in_memory->let_go();
  }
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
  answer.media = reports_of(media_);
  return answer;
}

}  // namespace qvl
