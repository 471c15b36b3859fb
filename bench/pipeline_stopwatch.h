// Whether a pipeline's metrics agree with a stopwatch outside of it.
#pragma once

#include <span>

#include "base/json.h"
#include "qvl/pipeline.h"

namespace qvl {

/// Runs `requests` one after another and then all at once, each time in a new pipeline over `model`, and
/// compares what its metrics say with what the callers saw on their own clocks, from before submit() to
/// behind result(). For each metric the value inside, the one outside and the difference in percent of the
/// latter; and the greatest of these.
Json compare_with_stopwatch(const Model& model, std::span<const InferenceRequest> requests);

}  // namespace qvl
