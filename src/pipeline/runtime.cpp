#include "pipeline/runtime.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/file.h"
#include "memory/admission.h"
#include "memory/process_memory.h"
#include "optimizer/memory_model.h"
#include "pipeline/load_plan.h"
#include "pipeline/memory_guard.h"
#include "pipeline/stopwatch.h"
#include "pipeline/tokenizer_files.h"

namespace qvl {
namespace {

void check_token(const Tokenizer& tokenizer, std::string_view content, int64_t expected,
                 std::string_view path) {
  const auto id = tokenizer.find_added(content);
  if (!id) fail(ErrorCode::model_file, "{}: tokenizer: the added token {} is missing", path, content);
  if (*id != expected) {
    fail(ErrorCode::model_file, "{}: tokenizer: {} is token {}, the configuration says {}", path, content,
         *id, expected);
  }
}

void check_preprocessor(const PreprocessorConfig& found, const VisionConfig& vision, std::string_view name) {
  struct Field {
    std::string_view name;
    int64_t found, expected;
  };
  for (const Field& field :
       {Field{"patch_size", found.patch_size, vision.patch_size},
        Field{"temporal_patch_size", found.temporal_patch_size, vision.temporal_patch_size},
        Field{"merge_size", found.merge_size, vision.spatial_merge_size}}) {
    if (field.found != field.expected) {
      fail(ErrorCode::model_file, "{}: {}: found {}, expected {} as in the vision configuration", name,
           field.name, field.found, field.expected);
    }
  }
}

void check_not_stopped(const LoadOptions& options) {
  if (options.stop.stop_requested()) {
    fail(ErrorCode::cancelled, "{}: loading was stopped", checkpoint_name(options));
  }
}

ModelFiles open_files(const LoadOptions& options) {
  check_not_stopped(options);
  if (options.progress) options.progress({.stage = "load", .fraction = 0});
  ModelFiles files = open_checkpoint(options);
  if (options.needs_vision && !files.config.has_vision) {
    fail(ErrorCode::media, "{}: there is no vision file for pictures and videos; give it with --mmproj",
         checkpoint_name(options));
  }
  return files;
}

// Where a tensor is missing, nothing: binding names all of them.
ModelFacts facts_of(const ModelFiles& files) {
  try {
    return model_facts(files);
  } catch (const Error&) {
    return {};
  }
}

std::vector<MemoryNeed> model_needs(const LoadOptions& options, const ModelFiles& files,
                                    const ModelFacts& facts, const ModelForms& forms) {
  // What the caller has in memory was there before, and counts with the program.
  const uint64_t stored = options.in_memory ? 0 : stored_in_use_bytes(facts, forms);
  const uint64_t weights = packed_bytes(facts, forms) + stored + facts.float_bytes;
  return {{.part = MemoryPart::weights, .bytes = weights},
          {.part = MemoryPart::other, .bytes = tokenizer_bytes(files.config.text.vocab_size)}};
}

// Decides, and refuses a limit that is less than the program alone, which the account begins with: all that
// loading takes is told while nothing of it is there.
LoadDecision decide_under_limit(const LoadOptions& options, const ModelFiles& files, const ModelFacts& facts,
                                const SystemFiles& system) {
  LoadDecision decision = decide_to_load(options, facts, system);
  const SystemLayerOptions asked{.memory_limit = options.memory_limit, .files = system};
  std::vector<std::string> told_by_the_layer;
  const uint64_t limit = memory_cap(memory_options(decision.config, asked, told_by_the_layer), system).bytes;
  const auto program = resident_memory(system);
  if (!program || program->rss <= limit) return decision;
  std::vector<MemoryNeed> needs = model_needs(options, files, facts, decision.plan.forms);
  needs.insert(needs.begin(), {.part = MemoryPart::program, .bytes = program->rss});
  Ledger account(limit);
  admit(account, fmt::format("{}: loading needs", checkpoint_name(options)), needs);
  return decision;
}

// Before anything of it is read.
std::vector<Reservation> reserve_model(const detail::Runtime& runtime, const LoadOptions& options,
                                       Ledger& ledger) {
  return admit(ledger, fmt::format("{}: the weights need", runtime.name),
               model_needs(options, runtime.files, runtime.facts, runtime.loaded_by.plan.forms));
}

// Binding knows tensors, not files; the message shall name both, once.
Qwen3Vl bind_network(const ModelFiles& files, const ModelForms& forms, const LoadOptions& options) {
  check_not_stopped(options);
  try {
    return Qwen3Vl(files.config, *files.tensors, forms);
  } catch (const Error& error) {
    const std::string name = checkpoint_name(options);
    if (std::string_view(error.what()).starts_with(name)) throw;
    fail(error.code(), "{}: {}", name, error.what());
  }
}

std::string hash_weights(detail::Runtime& runtime, const std::filesystem::path& folder,
                         const std::stop_token& stop) {
  return weights_identity({.network = runtime.network,
                           .packed_contents = runtime.packed.contents,
                           .state = runtime.files.tensors->fingerprint(),
                           .folder = folder,
                           .stop = stop},
                          runtime.layer.compute());
}

// Files are for later starts, which must know that the weights are the same. Without them nobody asks yet.
std::unique_ptr<ModelCaches> make_caches(detail::Runtime& runtime, const LoadOptions& options) {
  const bool on_disk = runtime.loaded_by.plan.disk_feature_cache_bytes > 0;
  const auto folder = on_disk ? kept_features_folder(cache_folder(options)) : "";
  if (on_disk) {
    runtime.weights_hash = hash_weights(runtime, folder, options.stop);
    check_not_stopped(options);
  }
  return std::make_unique<ModelCaches>(CacheSetup{.files = runtime.files,
                                                  .plan = runtime.loaded_by.plan,
                                                  .forms = runtime.network.forms(),
                                                  .folder = folder,
                                                  .weights = runtime.weights_hash,
                                                  .memory = runtime.layer.memory(),
                                                  .io = runtime.layer.threads().io()});
}

}  // namespace

PatchOptions patch_options(const PreprocessorConfig& config, std::optional<int64_t> max_tokens) {
  PatchOptions options{.patch_size = config.patch_size,
                       .temporal_patch_size = config.temporal_patch_size,
                       .merge_size = config.merge_size,
                       .min_pixels = config.min_pixels,
                       .max_pixels = config.max_pixels,
                       .max_tokens = max_tokens};
  QVL_CHECK(config.image_mean.size() == 3 && config.image_std.size() == 3);
  for (size_t c = 0; c < 3; ++c) {
    options.mean[c] = static_cast<float>(config.image_mean[c]);
    options.std[c] = static_cast<float>(config.image_std[c]);
  }
  return options;
}

VideoSampling video_sampling(const PreprocessorConfig& config) {
  return {.fps = config.fps, .min_frames = config.min_frames, .max_frames = config.max_frames};
}

namespace {

void check_tokenizer_fits(const ModelFiles& files, const Tokenizer& tokenizer, const std::string& name) {
  const auto vocabulary = static_cast<uint64_t>(files.config.text.vocab_size);
  if (tokenizer.vocabulary_size() > vocabulary) {
    fail(ErrorCode::model_file, "{}: the tokenizer has ids up to {}, the network only {} tokens", name,
         tokenizer.vocabulary_size() - 1, vocabulary);
  }
  for (std::string_view content : {"<|im_start|>", "<|im_end|>"}) {
    if (!tokenizer.find_added(content)) {
      fail(ErrorCode::model_file, "{}: tokenizer: the added token {} is missing", name, content);
    }
  }
  if (!files.config.has_vision) return;
  const SpecialTokens& tokens = files.config.tokens;
  check_token(tokenizer, "<|image_pad|>", tokens.image, name);
  check_token(tokenizer, "<|video_pad|>", tokens.video, name);
  check_token(tokenizer, "<|vision_start|>", tokens.vision_start, name);
  check_token(tokenizer, "<|vision_end|>", tokens.vision_end, name);
}

}  // namespace

void check_parts_fit(const ModelFiles& files, const Tokenizer* tokenizer, const std::string& name) {
  if (tokenizer != nullptr) check_tokenizer_fits(files, *tokenizer, name);
  if (!files.config.has_vision) return;
  check_preprocessor(files.image_preprocessor, files.config.vision, "preprocessor_config.json");
  check_preprocessor(files.video_preprocessor, files.config.vision, "video_preprocessor_config.json");
}

namespace detail {

Runtime::Runtime(const LoadOptions& options, const RuntimeSystem& system)
    : name(checkpoint_name(options)),
      files(open_files(options)),
      facts(facts_of(files)),
      loaded_by(decide_under_limit(options, files, facts, system.files)),
      layer(loaded_by.config, {.limits = loaded_by.limits,
                               .memory_limit = options.memory_limit,
                               .tracing = options.trace ? Tracing::on : Tracing::off,
                               .files = system.files,
                               .blocks = system.blocks,
                               .model = options.in_memory ? name : options.path.filename().string(),
                               .status_folder = run_status_folder()}),
      loaded(reserve_model(*this, options, layer.memory().ledger())),
      tokenizer(read_tokenizer(files, options.path)),
      network(bind_network(files, loaded_by.plan.forms, options)),
      ops(layer.compute(), network.forms().isa, layer.home(MemoryPart::scratch)),
      pass(layer.home(MemoryPart::scratch)),
      warnings(layer.warnings()) {
  warnings.insert(warnings.end(), files.warnings.begin(), files.warnings.end());
  if (auto problem = cap_too_low(loaded_by)) warnings.push_back(*std::move(problem));
  check_parts_fit(files, tokenizer.get(), name);
  check_not_stopped(options);
  const ThreadManager::CallerGuard computing_here(layer.threads());
  PackOptions pack = pack_options(options, files, loaded_by.plan);
  pack.ledger = &layer.memory().ledger();
  packed = network.pack(layer.compute(), pack);
  if (packed.damaged) {
    warnings.push_back(path_name(pack.cache_file) +
                       ": the packed weights in it were damaged; they were packed again");
  }
  if (packed.cache == CacheOutcome::failed) {
    warnings.push_back("packed weights are not kept: " + packed.problem);
    loaded_by.plan.keep_packed = false;
  } else if (const auto problem = disk_too_full(options, loaded_by, packed.bytes)) {
    warnings.push_back(*problem);
  }
  files.tensors->check_unchanged();
  caches = make_caches(*this, options);
  // Norms, biases and tables are decoded: with each of them the system has mapped what lies around it.
  files.tensors->release_all();
  warn_of_disk();
  warnings.insert(warnings.end(), network.warnings().begin(), network.warnings().end());
  if (options.progress) options.progress({.stage = "load", .fraction = 1});
}

void Runtime::after_request() noexcept {
  layer.after_request();
  const uint64_t kept = caches->features.stats().bytes, most = layer.feature_bytes();
  if (kept > most) caches->features.reclaim(kept - most);
  layer.tracer()->counter("caches", static_cast<double>(caches->bytes()));
  try {
    warn_of_disk();
  } catch (const std::bad_alloc&) {
    // Told after the next one.
  }
}

void Runtime::warn_of_disk() {
  const std::string problem = caches->disk.problem();
  const std::lock_guard lock(notes_mutex);
  if (problem.empty() || std::find(warnings.begin(), warnings.end(), problem) != warnings.end()) return;
  warnings.push_back(problem);
}

std::string Runtime::weights_identity() {
  const ComputeTurn turn(computing, layer.threads());
  if (weights_hash.empty()) weights_hash = hash_weights(*this, "", {});
  return weights_hash;
}

const Tokenizer& Runtime::words() const {
  if (tokenizer) return *tokenizer;
  fail(ErrorCode::usage, "{}: it was given without a tokenizer, so prompts come as tensors only", name);
}

}  // namespace detail

Model load_model(const LoadOptions& options) {
  return with_memory_for("to load the model", [&] {
    const Stopwatch watch;
    auto runtime = std::make_shared<detail::Runtime>(options);
    runtime->load_seconds = watch.seconds();
    return Model(std::move(runtime));
  });
}

Model load_model(const std::filesystem::path& path) {
  return load_model(LoadOptions{.path = path, .system = SystemOptimizationConfig::for_this_machine()});
}

}  // namespace qvl
