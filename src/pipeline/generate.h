// From a prompt whose media are encoded to an answer.
#pragma once

#include "pipeline/prefill.h"
#include "pipeline/runtime.h"
#include "pipeline/stopwatch.h"
#include "qvl/qvl.h"

namespace qvl {

struct GenerateRequest {
  const Sequence& prompt;
  const PrefixKeys& keys;            ///< of its blocks, which are kept for later requests
  const GenerationOptions& options;  ///< checked
  const Listeners& listeners;
  const Stopwatch& since_call;
};

/// Computes what `cached` lacks of the prompt, then token after token. Fills the answer's text, tokens,
/// finish reason, usage and the timings from prefill on.
Answer generate(const GenerateRequest& request, CachedSequence& cached, detail::Runtime& runtime);

}  // namespace qvl
