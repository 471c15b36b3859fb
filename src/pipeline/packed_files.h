// How the files that keep packed weights are named.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "optimizer/forms.h"

namespace qvl {

/// "CHECKPOINT-HASH-TEXT-VISION-FORM.packed". `hash` tells checkpoints of the same name apart. Vision weights
/// are packed as the instruction set wants them: each form keeps its own file.
std::string packed_file_name(std::string_view checkpoint, uint64_t hash, const ModelForms& forms);

/// Bytes of all such files of one checkpoint in `folder`, whatever their forms; 0 where it cannot be read.
uint64_t packed_bytes_of(const std::filesystem::path& folder, std::string_view checkpoint, uint64_t hash);

/// The checkpoint in such a name, nothing where it is none.
std::optional<std::string> checkpoint_in(std::string_view file_name);

}  // namespace qvl
