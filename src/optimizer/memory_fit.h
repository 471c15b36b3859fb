// How much of the cap sequences and pictures get.
#pragma once

#include <cstdint>
#include <optional>

#include "optimizer/plan.h"

namespace qvl {

/// Tokens of all sequences together that a plan aims for.
int64_t wanted_context(const TextConfig& text);

/// `plan` with the least sequence and picture that a checkpoint is of use with.
Plan with_least_request(const PlanInputs& inputs, Plan plan);

/// `plan` with the largest picture for which half of the free memory suffices, and with as many tokens as the
/// rest holds, at most those wanted. Nothing where the cap does not even hold the least request.
std::optional<Plan> fit_memory(const PlanInputs& inputs, const Plan& plan);

}  // namespace qvl
