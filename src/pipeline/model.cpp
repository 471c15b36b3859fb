// Model, TextTokenizer: what a loaded checkpoint does besides conversations.
#include <algorithm>

#include "base/error.h"
#include "pipeline/memory_guard.h"
#include "pipeline/prefill.h"
#include "pipeline/prompt.h"
#include "pipeline/request_memory.h"
#include "pipeline/tensor_inputs.h"
#include "pipeline/tokenizer_files.h"
#include "pipeline/turn.h"
#include "profiler/trace_writer.h"
#include "qvl/qvl.h"

namespace qvl {
namespace {

using detail::Runtime;

// Rows of logits computed together: a row of a large vocabulary is over half a megabyte.
constexpr int64_t kLogitsRows = 16;
constexpr int64_t kMaxChunk = 1 << 16;

std::vector<PromptPiece> pieces_of(const LogitsRequest& request) {
  if (request.form == LogitsRequest::Form::chat) return render_chat({user_message(request.turn)}, {});
  if (request.turn.images.empty() && request.turn.videos.empty()) {
    return {{.kind = PromptPiece::Kind::control, .text = request.turn.text}};
  }
  return split_raw_prompt(request.turn.text);
}

Sequence prompt_of(const LogitsRequest& request, const Media& media, Runtime& runtime) {
  const ModelConfig& config = runtime.files.config;
  if (request.tensors) return place_media(request.tensors->ids, media, config);
  if (request.form == LogitsRequest::Form::tokens) {
    check_ids(request.tokens, config.text.vocab_size);
    return place_media(request.tokens, media, config);
  }
  Sequence sequence = sequence_of(pieces_of(request), media, request.video_prompt, runtime);
  if (sequence.ids.empty()) fail(ErrorCode::usage, "prompt: it is empty, expected at least one token");
  return sequence;
}

// Computes the logits of all rows of `hidden` in groups, and hands them out.
class LogitsWriter {
 public:
  LogitsWriter(Runtime& runtime, const LogitsSink& sink)
      : runtime_(runtime),
        sink_(sink),
        vocabulary_(static_cast<size_t>(runtime.files.config.text.vocab_size)),
        rows_(kLogitsRows * vocabulary_, runtime.layer.home(MemoryPart::scratch)) {}

  void write(int64_t first, const Tensor& hidden) {
    const auto count = static_cast<int64_t>(hidden.rows());
    for (int64_t done = 0; done < count; done += kLogitsRows) {
      const int64_t group = std::min(kLogitsRows, count - done);
      runtime_.network.logits(hidden.row(static_cast<uint64_t>(done)), group, rows_.data(), runtime_.ops);
      for (int64_t row = 0; row < group; ++row) {
        sink_(first + done + row,
              std::span(rows_).subspan(static_cast<size_t>(row) * vocabulary_, vocabulary_));
      }
    }
  }

 private:
  Runtime& runtime_;
  const LogitsSink& sink_;
  size_t vocabulary_;
  HomeVector<float> rows_;  // [kLogitsRows, vocab_size]
};

int64_t compute_logits(const LogitsRequest& request, Runtime& runtime, const LogitsSink& sink,
                       const Listeners& listeners) {
  if (request.chunk < 1 || request.chunk > kMaxChunk) {
    fail(ErrorCode::usage, "chunk: found {}, expected 1 to {}", request.chunk, kMaxChunk);
  }
  if (request.tensors) check_tensor_inputs(*request.tensors, runtime.files.config);
  const ComputeTurn turn(runtime.computing, runtime.layer.threads());
  const RequestScope scope(runtime);  // ends before the turn
  const Media media =
      request.tensors ? media_of(*request.tensors, runtime) : read_media(request.turn, runtime, listeners);
  if (listeners.stop.stop_requested()) return 0;
  const Sequence prompt = prompt_of(request, media, runtime);
  const ModelConfig& config = runtime.files.config;
  check_fits_context(prompt, 0, config.text);
  CachedSequence cached(runtime);
  check_room({.media = media,
              .prompt = prompt,
              .chunk = std::min(request.chunk, runtime.layer.limits().prefill_chunk),
              .logit_rows = kLogitsRows},
             cached.cache, runtime);
  Timings unused;
  if (!encode_media(media, runtime, listeners, unused)) return 0;
  reserve_cache(cached.cache, prompt.size(), config.text);
  PositionCounter counter;
  const auto positions = positions_of(prompt, config.vision.spatial_merge_size, counter);
  LogitsWriter writer(runtime, sink);
  const PrefillRun run{
      .wanted = prompt, .positions = positions, .chunk = request.chunk, .listeners = listeners};
  prefill(run, cached, runtime, [&](int64_t first, const Tensor& hidden) { writer.write(first, hidden); });
  return cached.held.size();
}

}  // namespace

std::vector<int32_t> TextTokenizer::tokenize(std::string_view text, ControlText control) const {
  return with_memory_for([&] { return fmt::format("to tokenise {} bytes", text.size()); },
                         [&] {
                           return tokenizer_->encode(text, control == ControlText::parsed
                                                               ? ControlTokens::parse
                                                               : ControlTokens::plain_text);
                         });
}

std::string TextTokenizer::detokenize(std::span<const int32_t> tokens) const {
  return with_memory_for([&] { return fmt::format("to write {} tokens as text", tokens.size()); },
                         [&] {
                           for (int32_t token : tokens) (void)tokenizer_->bytes(token);  // refuses ids beyond
                           return tokenizer_->decode(tokens, Tokenizer::Special::keep);
                         });
}

TextTokenizer load_tokenizer(const std::filesystem::path& path) {
  return with_memory_for("to load the tokenizer", [&] { return TextTokenizer(read_tokenizer(path)); });
}

TextTokenizer Model::tokenizer() const {
  (void)runtime_->words();
  return TextTokenizer(runtime_->tokenizer);
}

PatchValues Model::pixels(const std::filesystem::path& image) const {
  return with_memory_for(
      [&] { return fmt::format("for the pixels of {}", image.string()); },
      [&] {
        const PatchedMedia media =
            image_to_patches(read_image(image, {}, runtime_->layer.home(MemoryPart::pixels)),
                             patch_options(runtime_->files.image_preprocessor), image.string());
        const auto values = media.pixels.values();
        return PatchValues{.values = {values.begin(), values.end()},
                           .patches = static_cast<int64_t>(media.pixels.rows()),
                           .values_per_patch = static_cast<int64_t>(media.pixels.columns()),
                           .grid_t = media.grid.t,
                           .grid_h = media.grid.h,
                           .grid_w = media.grid.w};
      });
}

int64_t Model::logits(const LogitsRequest& request, const LogitsSink& sink,
                      const Listeners& listeners) const {
  return with_memory_for("to compute logits",
                         [&] { return compute_logits(request, *runtime_, sink, listeners); });
}

bool Model::has_vision() const { return runtime_->files.config.has_vision; }
std::vector<BatchedPrompt> Model::split(const TensorBatch& batch) const {
  return with_memory_for("for the tensors of a batch",
                         [&] { return split_batch(batch, runtime_->files.config); });
}

int64_t Model::vocabulary() const { return runtime_->files.config.text.vocab_size; }
double Model::load_seconds() const { return runtime_->load_seconds; }
Packing Model::packing() const {
  const PackReport& packed = runtime_->packed;
  if (packed.bytes == 0) return Packing::none;
  switch (packed.cache) {
    case CacheOutcome::used:
      return Packing::mapped;
    case CacheOutcome::written:
      return Packing::kept;
    case CacheOutcome::none:
    case CacheOutcome::failed:
      break;
  }
  return Packing::not_kept;
}
std::string_view Model::isa() const { return name_of(runtime_->ops.isa()); }
int Model::threads() const { return runtime_->layer.compute_threads(); }
std::string Model::memory_json() const { return to_json(runtime_->layer.memory().report()).dump(); }
std::string Model::followed_json() const { return runtime_->followed_json().dump(); }
std::optional<std::string> Model::write_trace(const std::filesystem::path& path) const {
  auto missing = qvl::write_trace(*runtime_->layer.tracer(), "qvl", path);
  const std::lock_guard lock(runtime_->notes_mutex);
  return runtime_->trace_warning = std::move(missing);
}
void Model::check_can_write_trace(const std::filesystem::path& path) { qvl::check_can_write_trace(path); }
std::vector<std::string> Model::warnings() const {
  const std::lock_guard lock(runtime_->notes_mutex);
  std::vector<std::string> out = runtime_->warnings;
  if (runtime_->trace_warning) out.push_back(*runtime_->trace_warning);
  return out;
}

}  // namespace qvl
