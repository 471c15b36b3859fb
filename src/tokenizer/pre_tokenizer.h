// Splits text into words by the one pattern of Qwen2 and Qwen3, as a hand-written automaton: linear time, no
// regular expression engine.
#pragma once

#include <cstddef>
#include <string_view>

namespace qvl {

/// The only pattern this automaton implements; files with another one are refused.
inline constexpr std::string_view kWordPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// The end of the word that begins at `start`, which lies inside `text`. `text` is valid UTF-8.
size_t word_end(std::string_view text, size_t start);

}  // namespace qvl
