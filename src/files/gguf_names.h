// From tensor names of GGUF to those of Hugging Face.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qvl {

/// The name of a tensor of a text file (architecture qwen3vl); an unknown name is returned as it is.
std::string text_tensor_name(std::string_view gguf_name);

/// The name of a tensor of a vision file (architecture clip). GGUF numbers the deepstack mergers by vision
/// block, Hugging Face by their place in `deepstack_visual_indexes`. An unknown name is returned as it is.
std::string vision_tensor_name(std::string_view gguf_name,
                               const std::vector<int64_t>& deepstack_visual_indexes);

}  // namespace qvl
