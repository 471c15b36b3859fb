// From a request's texts and files to the tokens of its prompt, for whoever answers it or only plans to.
#pragma once

#include <stop_token>

#include "pipeline/runtime.h"
#include "pipeline/sequence.h"
#include "qvl/pipeline.h"

namespace qvl {

/// Throws Error{usage} for values out of range and text that is no UTF-8, Error{limit} for too many files.
void check_request(const InferenceRequest& request);

struct RequestPrompt {
  Media media = {};  ///< as far as the prompt needs them
  Sequence sequence = {};
};
/// Of a checked request without tensors. Empty where `stop` ended the work. Throws as the files are read, and
/// Error{usage} for a checkpoint without a tokenizer. Thread-safe.
RequestPrompt read_prompt(const InferenceRequest& request, detail::Runtime& runtime, std::stop_token stop);

}  // namespace qvl
