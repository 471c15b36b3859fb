// preprocessor_config.json and video_preprocessor_config.json: pixel budgets and normalisation.
#pragma once

#include <filesystem>

#include "files/model_config.h"

namespace qvl {

enum class MediaKind { image, video };

/// The pixel budgets published with Qwen3-VL-Instruct, with the patch sizes of `vision`.
PreprocessorConfig published_preprocessor(MediaKind kind, const VisionConfig& vision);

/// Reads the file for `kind` in `folder`; without it, published_preprocessor(). Budgets stand in
/// size.shortest_edge and size.longest_edge (pixels, not edges) or in min_pixels and max_pixels. Throws
/// Error{model_file}, also where the patch sizes are not those of `vision`.
PreprocessorConfig read_preprocessor_config(const std::filesystem::path& folder, MediaKind kind,
                                            const VisionConfig& vision);

}  // namespace qvl
