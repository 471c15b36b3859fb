// A loaded checkpoint with everything a request runs on.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "files/model_files.h"
#include "media/image.h"
#include "media/video.h"
#include "model/qwen3_vl.h"
#include "ops/ops.h"
#include "optimizer/model_facts.h"
#include "pipeline/cache/model_caches.h"
#include "pipeline/compute_turn.h"
#include "pipeline/load_decision.h"
#include "pipeline/media_costs.h"
#include "pipeline/system_layer.h"
#include "qvl/qvl.h"
#include "tokenizer/tokenizer.h"

namespace qvl {

/// max_tokens: of each picture or temporal step at most, where a request asks for fewer.
PatchOptions patch_options(const PreprocessorConfig& config, std::optional<int64_t> max_tokens = {});
VideoSampling video_sampling(const PreprocessorConfig& config);

/// Throws Error{model_file} where tokenizer, preprocessor and network of one checkpoint do not fit together;
/// `tokenizer` may be null.
void check_parts_fit(const ModelFiles& files, const Tokenizer* tokenizer, const std::string& name);

namespace detail {

/// The machine that a checkpoint is loaded on; tests put another in its place.
struct RuntimeSystem {
  SystemMemory* blocks = nullptr;  ///< outlives the runtime; null: heap and pages
  SystemFiles files = SystemFiles();
};

/// Immutable after loading but for `layer`, `ops`, `pass`, `caches`, `weights_hash` and what configure()
/// notes, which do one computation at a time, and `media_costs` and `warnings`, which are thread-safe.
/// Whatever takes memory of `layer` stands behind it.
struct Runtime {
  explicit Runtime(const LoadOptions& options, const RuntimeSystem& system = {});

  /// Between two steps, before a result of the first one leaves: threads may change. Throws Error{model_file}
  /// where the weights were changed under it.
  void after_step() {
    network.check_undamaged();
    layer.between_steps();
  }

  /// Called after each request, when its memory is given back: features are kept as far as the machine has
  /// memory for them now.
  void after_request() noexcept;
  /// Puts among the warnings, once, that nothing is kept on disk any more. Thread-safe.
  void warn_of_disk();
  /// weights_identity() of it, for files that outlive the process. Waits for its turn to compute; the first
  /// call hashes the weights where loading did not need to.
  std::string weights_identity();
  /// The tokenizer. Throws Error{usage} where the checkpoint came without one.
  const Tokenizer& words() const;
  /// From now on everything runs under `config`, until the next one; waits for its turn to compute. What
  /// loading has settled stays: followed_json() tells. Throws as SystemLayer::configure, then nothing has
  /// changed. Thread-safe.
  void configure(const SystemOptimizationConfig& config);
  /// What is followed at this moment of the configuration that was applied last, and what of it loading has
  /// settled otherwise. Thread-safe.
  OrderedJson followed_json() const;

  std::string name;  // the path that was loaded, for messages
  ModelFiles files;  // outlives `network`, which borrows its tensors
  ModelFacts facts;
  LoadDecision loaded_by;  // as loading came out
  SystemLayer layer;
  std::vector<Reservation> loaded;             // tokenizer and weights
  std::shared_ptr<const Tokenizer> tokenizer;  // null: prompts come as tensors
  Qwen3Vl network;
  Ops ops;
  DecoderPass pass;
  PackReport packed;
  std::unique_ptr<ModelCaches> caches;  ///< never null once it is loaded
  MediaCosts media_costs;
  std::string weights_hash;  ///< weights_identity(), once it is known
  double load_seconds = 0;
  mutable std::mutex notes_mutex;  // of the lists below, once it is loaded
  std::vector<std::string> warnings;
  std::optional<std::string> trace_warning;  // of the last trace that was written
  std::vector<std::string> notes;            // on the configuration that was applied last, a line each
  ComputeQueue computing;  ///< an engine gives way between two steps, a conversation after its answer
};

}  // namespace detail
}  // namespace qvl
