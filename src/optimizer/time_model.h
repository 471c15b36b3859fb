// How long a plan takes for a request of a known size, from rates of the machine. A prediction ranks plans;
// it is no promise.
#pragma once

#include <cstdint>

#include "optimizer/plan.h"

namespace qvl {

/// The request that plans are compared by: one picture of 512 x 512, a question, an answer.
constexpr int64_t kReferencePatches = 1024, kReferencePromptTokens = 320, kReferenceAnswerTokens = 64;

/// Seconds.
struct StageTimes {
  double start = 0;         ///< until the weights are ready
  double vision = 0;        ///< of the reference picture; 0 without a tower
  double prefill = 0;       ///< of the reference prompt
  double decode_token = 0;  ///< one token of one sequence

  /// The reference request of a model that is loaded.
  double request() const;
};

StageTimes predict_times(const PlanInputs& inputs, const Plan& plan);

/// Seconds for one block of the vision tower on a picture of `patches` patches.
double vision_block_seconds(const PlanInputs& inputs, const Plan& plan, int64_t patches);
/// Seconds for one token of a prompt, computed in a chunk.
double prefill_token_seconds(const PlanInputs& inputs, const Plan& plan);

/// 10^9 operations a second that one core does in the faster of the 8- and 4-bit products of `isa`: as
/// measured, or as similar machines did.
double int8_gop_s_per_core(const HardwareFacts& hardware, Isa isa);
/// 10^9 bytes a second from memory, measured or assumed.
double read_gb_s(const HardwareFacts& hardware);
/// What all threads of the cores do together where one on each does 1: measured or assumed.
double smt_speedup(const HardwareFacts& hardware);

}  // namespace qvl
