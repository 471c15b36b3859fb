// A dry run of a request to a checkpoint: everything that is known before work starts.
#pragma once

#include "pipeline/engine/engine_model.h"
#include "pipeline/runtime.h"
#include "qvl/request_plan.h"

namespace qvl {

/// Of a checked request. Throws as OptimizedInferencePipeline::plan. Takes no turn and changes nothing, but
/// for the time and memory of reading the files. Thread-safe.
RequestPlan plan_request(const InferenceRequest& request, detail::Runtime& runtime,
                         const EngineOutlook& outlook);

}  // namespace qvl
