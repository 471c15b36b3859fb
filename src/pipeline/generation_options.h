// What a request asks of sampling, checked and joined with the checkpoint's defaults.
#pragma once

#include "files/model_config.h"
#include "model/sampler.h"
#include "qvl/qvl.h"

namespace qvl {

/// Throws Error{usage} "temperature: found -1, expected 0 to 100" for the first field out of range.
void check_generation_options(const GenerationOptions& options);

/// Unset fields from `defaults`; greedy where those do not sample and no temperature is given. Without a
/// seed, one from the system's entropy.
SamplingOptions resolve_sampling(const GenerationOptions& options, const GenerationConfig& defaults);

}  // namespace qvl
