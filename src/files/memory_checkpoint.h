// Opening a checkpoint whose tensors lie in memory of the caller.
#pragma once

#include "files/model_files.h"
#include "qvl/checkpoint_in_memory.h"

namespace qvl {

/// Checks every number, copies no tensor; files are read only from `checkpoint.folder`. Throws
/// Error{model_file}.
ModelFiles open_memory_checkpoint(const CheckpointInMemory& checkpoint);

}  // namespace qvl
