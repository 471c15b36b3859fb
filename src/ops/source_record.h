// What the sources of a packed file were when it was last found to be theirs: spares reading gigabytes at
// each start.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace qvl {

/// The hash of the contents that sources in this `state` had; nothing where none is on record. `state` names
/// files by what the system says of them: TensorSource::fingerprint().
std::optional<std::string> recorded_contents(const std::filesystem::path& packed_file,
                                             const std::string& state);

/// Puts down that sources in `state` have these `contents`, in "PACKED_FILE.sources". Where it cannot be
/// written nothing is put down: the next start reads the sources again.
void record_contents(const std::filesystem::path& packed_file, const std::string& state,
                     const std::string& contents);

/// Removes the record of a packed file that is gone, where there is one.
void forget_contents(const std::filesystem::path& packed_file);

}  // namespace qvl
