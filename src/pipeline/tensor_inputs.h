// Prompts that come as ids and patches, checked and made into what prompts with files become.
#pragma once

#include <vector>

#include "files/model_config.h"
#include "pipeline/runtime.h"
#include "pipeline/sequence.h"
#include "qvl/tensor_inputs.h"

namespace qvl {

/// Throws Error{usage} where there is none, or one is beyond the vocabulary.
void check_ids(const std::vector<int32_t>& ids, int64_t vocabulary);

/// Throws Error{usage} for ids beyond the vocabulary, patches that fit neither their grid nor the vision
/// tower, values that are no finite numbers, and placeholders that are not those of the media.
void check_tensor_inputs(const TensorInputs& inputs, const ModelConfig& config);

/// Media with copies of the patches of checked inputs, pictures first. Throws as a pool does without memory.
Media media_of(const TensorInputs& inputs, detail::Runtime& runtime);

/// The prompts of a batch, without padding, each with the media that its placeholders stand for. Throws
/// Error{usage} for shapes that differ, padding inside a prompt, and placeholders that are not those of the
/// media.
std::vector<BatchedPrompt> split_batch(const TensorBatch& batch, const ModelConfig& config);

}  // namespace qvl
