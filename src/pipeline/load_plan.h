// What a caller's LoadOptions mean on this machine: instruction set, numbers, and where packed weights are
// kept.
#pragma once

#include <filesystem>

#include "files/model_files.h"
#include "kernels/isa.h"
#include "ops/weight_packer.h"
#include "optimizer/forms.h"
#include "optimizer/plan.h"
#include "qvl/qvl.h"

namespace qvl {

/// The instruction set named in `options`, else in the environment variable QVL_ISA, else the best there is.
/// Throws Error{usage} for an unknown name, Error{environment} where the processor lacks it.
Isa chosen_isa(const LoadOptions& options);

/// The files, or what stands in their place.
ModelFiles open_checkpoint(const LoadOptions& options);
/// How messages call it.
std::string checkpoint_name(const LoadOptions& options);

/// What of `options` and QVL_ISA fixes a choice of the optimizer. Throws as chosen_isa().
PlanWishes plan_wishes(const LoadOptions& options);

/// Where packed weights and measurements are kept; empty: nowhere.
std::filesystem::path cache_folder(const LoadOptions& options);

/// Bytes of the files that keep packed weights of the checkpoint already, in all forms.
uint64_t kept_packed_bytes(const LoadOptions& options);
/// Where the packed weights of the checkpoint are kept, if the plan keeps them and there is a folder.
PackOptions pack_options(const LoadOptions& options, const ModelFiles& files, const Plan& plan);

}  // namespace qvl
