// How much memory a plan takes, from the sizes of what the code allocates.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "memory/ledger.h"
#include "optimizer/plan.h"

namespace qvl {

/// Bytes by part. Mapped files count with the pages that may become resident.
struct PlannedMemory {
  uint64_t packed_weights = 0;
  uint64_t stored_weights = 0;  ///< read where they lie in the mapped checkpoint
  uint64_t float_values = 0;    ///< norms, biases, tables
  uint64_t keys_and_values = 0;
  uint64_t scratch = 0;   ///< of operations: decoder and tower use the same
  uint64_t sequence = 0;  ///< hidden states of a chunk, logits
  uint64_t picture = 0;   ///< states and features of the picture that is encoded
  uint64_t pixels = 0;    ///< of the picture that is read
  uint64_t pool = 0;
  uint64_t feature_cache = 0;
  uint64_t prefix_cache = 0;
  uint64_t page_rounding = 0;  ///< what whole huge pages take beyond their contents
  uint64_t program = 0;        ///< code, libraries, tokenizer, stacks

  uint64_t total() const;
  /// All parts by name, in this order; empty ones are left out.
  std::vector<std::pair<std::string_view, uint64_t>> parts() const;
};

PlannedMemory predict_memory(const ModelFacts& model, const Plan& plan);

/// A picture or video that is to be encoded.
struct MediumWork {
  int64_t patches = 0;
  int64_t step_patches = 0;    ///< of one temporal step
  uint64_t cutting_bytes = 0;  ///< most that decoding and cutting it hold; 0 where it is cut already
  uint64_t patch_bytes = 0;    ///< of these, its patches, held until it is encoded
};
/// What the decoder computes together.
struct DecoderWork {
  int64_t chunk_tokens = 0;
  int64_t keys = 0;  ///< tokens of the whole sequence
};
/// What one request takes beyond what is held when it comes.
struct RequestWork {
  std::span<const MediumWork> media = {};  ///< encoded one after another; their features stay
  DecoderWork decoder = {};
  uint64_t kv_bytes = 0;   ///< by which keys and values grow
  int64_t logit_rows = 1;  ///< computed together
  int threads = 1;
};
/// The parts of the moment at which the request takes most: exactly what is then allocated, in blocks of the
/// pool, where it begins without scratch.
std::vector<MemoryNeed> request_needs(const ModelFacts& model, const ModelForms& forms,
                                      const RequestWork& work);

/// Tables and texts of a vocabulary, measured.
uint64_t tokenizer_bytes(int64_t vocabulary);
/// Keys and values of `tokens` tokens, which fill whole pages.
uint64_t kv_bytes(const TextConfig& config, KvForm form, int64_t tokens);
/// Scratch of operations, exactly what Ops then holds: the tower on `plan.picture_patches` patches at once,
/// the decoder on chunks of `plan.prefill_chunk` tokens.
uint64_t scratch_bytes(const ModelFacts& model, const Plan& plan);
/// Features of a picture: merged ones and DeepStack levels.
uint64_t feature_bytes(const VisionConfig& config, int64_t patches);

}  // namespace qvl
