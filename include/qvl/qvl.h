// The public interface of qvl: load a checkpoint, ask about pictures and videos, get words.
//
//   auto model = qvl::load_model({.path = "models/shapes"});
//   qvl::Conversation conversation(model);
//   qvl::Answer answer = conversation.ask({.text = "What is this?", .images = {"photo.jpg"}}, {}, {});
//
// Every function throws qvl::Error (error.h) where it cannot go on. The library never prints and never exits.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qvl/checkpoint_in_memory.h"
#include "qvl/error.h"
#include "qvl/system_config.h"
#include "qvl/tensor_inputs.h"

namespace qvl {

/// How far a long step has come.
struct Progress {
  std::string_view stage = {};   ///< "load", "pack", "preprocess", "vision", "prefill", "decode", "bench"
  double fraction = 0;           ///< 0 to 1
  std::string_view detail = {};  ///< which of several like it, "encode 512 x 512, run 1 of 3"; may be empty
};
using ProgressListener = std::function<void(const Progress&)>;

/// In which numbers weights are kept and multiplied. Activations, norms and softmax are float32 throughout.
enum class WeightPrecision {
  automatic,  ///< text: 4 bits, or 8 where the file holds finer blocks than that; vision: 8 bits
  f32,        ///< as stored, computed in float32: the reference's numbers
  bf16,       ///< at most BF16, computed in float32
  q8,         ///< 8-bit integers, a scale for each 256 weights; activations in 8 bits too
  q4,         ///< 4-bit integers, a scale for each 32 weights; activations in 8 bits
};
/// How keys and values of computed tokens are kept.
enum class KvPrecision {
  f32,
  bits16,  ///< 16-bit integers, a scale for each token and head
  bits8,   ///< 8-bit integers, a scale for each 32 numbers: half the memory of bits16
};

struct LoadOptions {
  std::filesystem::path path = {};                   ///< a Hugging Face folder or a text .gguf file
  std::optional<std::filesystem::path> mmproj = {};  ///< the vision .gguf beside a text .gguf
  /// There will be pictures or videos: a text .gguf without its vision file is refused before it is packed.
  bool needs_vision = false;
  std::shared_ptr<const CheckpointInMemory> in_memory =
      {};           ///< in place of files; packed weights are not kept
  int threads = 0;  ///< 0: as many as this process may use; larger: never more than that
  WeightPrecision weights = WeightPrecision::automatic;         ///< of the text decoder
  WeightPrecision vision_weights = WeightPrecision::automatic;  ///< of the vision tower
  KvPrecision kv = KvPrecision::bits16;
  std::string isa =
      {};  ///< "scalar", "avx2", "avxvnni", "avx512"; empty: the variable QVL_ISA, or the best there is
  /// Folder for packed weights, so that they are packed once; empty: none. Unset: $XDG_CACHE_HOME/qvl or
  /// ~/.cache/qvl. Small models are packed at each start.
  std::optional<std::filesystem::path> cache_folder = {};
  SystemOptimizationConfig system = {};        ///< how the machine may be used
  std::set<std::string> disabled_passes = {};  ///< of the optimizer, by name: PlanReport has them
  /// Bytes never passed, 16 MiB or more, in place of the configuration's share: memory_limit_from_text().
  std::optional<uint64_t> memory_limit = {};
  bool trace = false;              ///< record where the time goes: Model::write_trace
  ProgressListener progress = {};  ///< may be empty
  /// Ends loading within about a tenth of a second: load_model() throws Error{cancelled}, and the cache
  /// folder is as before.
  std::stop_token stop = {};
};

/// What loading had to do for the weights.
enum class Packing {
  none,      ///< nothing: they are computed as stored
  mapped,    ///< they were packed before, in the cache folder
  kept,      ///< they were packed, and are in the cache folder for the next time
  not_kept,  ///< they were packed into memory: there is no folder, it failed, or they are below 64 MiB
};

/// Unset fields take the checkpoint's generation_config.json.
struct GenerationOptions {
  int64_t max_tokens = 512;
  std::optional<double> temperature = {};         ///< 0: greedy
  std::optional<int64_t> top_k = {};              ///< 0: no limit
  std::optional<double> top_p = {};               ///< (0, 1]
  std::optional<double> repetition_penalty = {};  ///< > 0; over prompt and answer
  double presence_penalty = 0;                    ///< over the answer
  std::optional<uint64_t> seed = {};              ///< unset: from the system's entropy
  std::vector<std::string> stop = {};  ///< the answer ends before the first of these; at most 16 of 256 bytes
  int64_t prefill_chunk = 512;         ///< tokens of the prompt computed together
};

/// One turn of a user: pictures, then videos, then the text.
struct Turn {
  std::string text = {};
  std::vector<std::filesystem::path> images = {};
  std::vector<std::filesystem::path> videos = {};
  /// Of each picture, and of each temporal step of a video: it is resized to take at most so many tokens in
  /// the prompt. Unset: what the checkpoint allows. Fewer than its least are refused.
  std::optional<int64_t> max_image_tokens = {};
};

/// How the frames of a video stand in the prompt.
enum class VideoPrompt {
  timestamps,         ///< each step "<0.2 seconds>" and its frames: transformers 4.57 to 5.9, as in training
  nested_timestamps,  ///< the same inside one more pair of vision tokens: transformers 5.10 and later
};

enum class FinishReason { stop, length, cancelled, deadline };
/// "stop", "length", "cancelled", "deadline"
std::string_view name_of(FinishReason reason);

struct Usage {
  int64_t prompt_tokens = 0;      ///< all of the prompt, media included
  int64_t image_tokens = 0;       ///< of these, tokens of pictures and videos
  int64_t cached_tokens = 0;      ///< of these, kept from earlier turns or requests
  int64_t completion_tokens = 0;  ///< as many as Answer::tokens
};

/// Seconds; 0 for what was not done.
struct Timings {
  double load_s = 0;
  double preprocess_s = 0;
  double vision_s = 0;
  double prefill_s = 0;
  double decode_s = 0;
  double time_to_first_token_s = 0;  ///< from the call to the first token, load excluded
};

/// Where what a picture or video looks like to the text decoder came from.
enum class FeatureOrigin {
  computed,
  memory,      ///< kept of an earlier request
  disk,        ///< kept in the cache folder, perhaps by an earlier start
  not_needed,  ///< keys and values of all its tokens were kept
};
/// "computed", "memory", "disk", "not_needed"
std::string_view name_of(FeatureOrigin origin);

struct MediumReport {
  std::filesystem::path path = {};
  FeatureOrigin features = FeatureOrigin::computed;
};

struct Answer {
  std::string text = {};
  std::vector<int32_t>
      tokens;  ///< as sampled, without the end token; not cut where a stop string cuts the text
  FinishReason finish_reason = FinishReason::stop;
  std::optional<int32_t> end_token = {};  ///< that ended it, where one did
  Usage usage = {};
  Timings timings = {};
  std::vector<MediumReport> media = {};  ///< those of the turn: pictures, then videos
};

/// Who listens while an answer is made; both may be empty. Called on the calling thread.
struct Listeners {
  std::function<void(std::string_view)> text = {};  ///< complete characters, as they come
  ProgressListener progress = {};
  std::stop_token stop = {};  ///< ends the work after the current step
};

/// The prompt whose logits are wanted: a turn as a user would ask it, raw text with control tokens, or ids.
/// In raw text each <|image_pad|> and <|video_pad|> is the place of one picture or video; among ids they
/// stand as often as the medium has tokens. Without media they are tokens like any other.
struct LogitsRequest {
  Turn turn = {};
  enum class Form { chat, raw_text, tokens } form = Form::chat;
  std::vector<int32_t> tokens = {};          ///< for Form::tokens
  std::optional<TensorInputs> tensors = {};  ///< in place of all of these
  VideoPrompt video_prompt = VideoPrompt::timestamps;
  int64_t chunk = 512;  ///< tokens computed together
};
/// Receives one row: logits of `position`, valid during the call.
using LogitsSink = std::function<void(int64_t position, std::span<const float> logits)>;

/// One line of an inspection.
struct TensorSummary {
  std::string name = {}, dtype = {};
  std::vector<uint64_t> shape = {};
  uint64_t bytes = 0;
};

/// What a checkpoint is, as far as it can be read. Made without loading; damage is reported, not thrown.
struct Inspection {
  std::vector<std::pair<std::string, std::string>> configuration;  ///< name, value
  std::vector<TensorSummary> tensors;
  std::vector<std::pair<std::string, uint64_t>> bytes_by_part;  ///< "text", "embedding", "head", "vision"
  std::vector<std::string> warnings;
  std::vector<std::string> refusals;  ///< why it would not load; empty: it would
};

class Tokenizer;

namespace detail {
struct Runtime;
struct ConversationState;
}  // namespace detail

/// Whether "<|im_start|>" in a text is that control token or those twelve characters.
enum class ControlText { spelled_out, parsed };

/// The tokenizer of a checkpoint, alone. Cheap to copy, thread-safe.
class TextTokenizer {
 public:
  explicit TextTokenizer(std::shared_ptr<const Tokenizer> tokenizer) : tokenizer_(std::move(tokenizer)) {}

  std::vector<int32_t> tokenize(std::string_view text, ControlText control) const;
  /// The text of all tokens, control tokens included; bytes that are no UTF-8 become U+FFFD, unused ids give
  /// no text. Throws Error{usage} for an id beyond the vocabulary.
  std::string detokenize(std::span<const int32_t> tokens) const;

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
};

/// Of a folder or a text .gguf file; no weights are needed.
TextTokenizer load_tokenizer(const std::filesystem::path& path);

class Conversation;

/// A loaded checkpoint. Cheap to copy: copies share the weights. Thread-compatible: one computation at a
/// time.
class Model {
 public:
  explicit Model(std::shared_ptr<detail::Runtime> runtime) : runtime_(std::move(runtime)) {}

  /// Throws Error{usage} where the checkpoint came without one.
  TextTokenizer tokenizer() const;
  /// What the vision tower is given for one picture.
  PatchValues pixels(const std::filesystem::path& image) const;
  /// Logits of every position of the prompt, in order, `vocabulary()` values each. Returns the number of
  /// positions computed, fewer than the prompt has only where `listeners.stop` ended the work.
  int64_t logits(const LogitsRequest& request, const LogitsSink& sink, const Listeners& listeners) const;
  /// The prompts of a batch, without padding, each with the pictures and videos its placeholders stand for.
  /// Throws Error{usage} naming the tensor that does not fit the others or the model.
  std::vector<BatchedPrompt> split(const TensorBatch& batch) const;
  int64_t vocabulary() const;
  /// Whether it can be asked about pictures: a text .gguf loaded without its vision file cannot.
  bool has_vision() const;
  double load_seconds() const;
  int threads() const;
  /// The instruction set its kernels use, "avx2".
  std::string_view isa() const;
  Packing packing() const;
  /// What did not go as asked, a line each: so far, and while it is used. Thread-safe.
  std::vector<std::string> warnings() const;
  /// What memory is held for, under which cap, and how the pool is used: one JSON object.
  std::string memory_json() const;
  /// What is followed at this moment of the last configuration that was applied: one JSON object with the
  /// fields as they were granted, what loading has settled, and a line for each field that cannot be had.
  std::string followed_json() const;
  /// Writes what was recorded, as far back as memory was kept for it, in the JSON format of Chrome that
  /// ui.perfetto.dev opens. Returns a line about what did not fit, where anything did not, which stays among
  /// warnings() until the next one. Throws Error{environment} naming the file where it cannot be written.
  std::optional<std::string> write_trace(const std::filesystem::path& path) const;
  /// What write_trace() would refuse, before there is anything to write: makes a file beside `path` and
  /// removes it again. What lies at `path` stays as it is.
  static void check_can_write_trace(const std::filesystem::path& path);

  /// The conversation that Conversation::save() wrote to `path`, which goes on as if it had never ended:
  /// nothing of it is looked at or computed again, its pictures are not read. Throws Error{usage} naming the
  /// file where it is damaged or no session, or was written with other weights, forms, instruction set or
  /// tokenizer; Error{limit} where memory does not suffice.
  Conversation resume(const std::filesystem::path& path) const;

  detail::Runtime& runtime() const { return *runtime_; }

 private:
  std::shared_ptr<detail::Runtime> runtime_;
};

/// Throws Error{cancelled} where `options.stop` ended it.
Model load_model(const LoadOptions& options);
/// With the defaults, on what for_this_machine() finds.
Model load_model(const std::filesystem::path& path);
/// Throws only where `path` is not there at all.
Inspection inspect(const std::filesystem::path& path, const std::optional<std::filesystem::path>& mmproj);

struct ConversationOptions {
  std::string system = {};  ///< empty: no system turn
  VideoPrompt video_prompt = VideoPrompt::timestamps;
  std::vector<std::string> tools_json =
      {};  ///< function signatures offered to the model, one JSON object each
};

/// Turns of user and model. Earlier turns stay computed: a further question costs only its own tokens.
class Conversation {
 public:
  explicit Conversation(Model model, ConversationOptions options = {});
  ~Conversation();
  Conversation(Conversation&&) noexcept;

  /// Adds the turn and the answer to the conversation. On an Error the conversation is as before the call, as
  /// it is where `listeners.stop` ended the work before the first token.
  Answer ask(const Turn& turn, const GenerationOptions& options, const Listeners& listeners);
  /// The results of the tools the model called in its last answer, in order, then the answer to them.
  Answer tool_results(const std::vector<std::string>& results, const GenerationOptions& options,
                      const Listeners& listeners);

  /// Writes turns, and keys and values of their tokens, for Model::resume() on this machine: about as many
  /// bytes as those take in memory. Others see the old file or the whole new one, which its owner alone may
  /// read. Throws Error{environment} "PATH: cannot write: cause", Error{limit} where its texts are too long
  /// or memory does not suffice; then the old one is as it was. Not to be called by a listener.
  void save(const std::filesystem::path& path) const;
  /// What it was made with, also where it was resumed.
  const ConversationOptions& options() const;

 private:
  friend class Model;
  explicit Conversation(std::unique_ptr<detail::ConversationState> state);

  std::unique_ptr<detail::ConversationState> state_;
};

}  // namespace qvl
