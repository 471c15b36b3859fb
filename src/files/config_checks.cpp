#include "files/config_checks.h"

#include <fmt/ranges.h>

#include <cmath>
#include <numeric>

#include "base/error.h"

namespace qvl {
namespace {

[[noreturn]] void refuse(const std::string& file, const std::string& key, const std::string& what) {
  fail(ErrorCode::model_file, "{}: {}: {}", file, key, what);
}

void check_deepstack(const VisionConfig& vision, const TextConfig& text, const VisionKeys& keys) {
  const auto& indexes = vision.deepstack_visual_indexes;
  // In the reference the order of the blocks, not of the list, decides the decoder layer: only an ascending
  // list means the same in both readings.
  int64_t previous = -1;
  for (int64_t index : indexes) {
    if (index <= previous || index >= vision.depth) {
      refuse(keys.file, keys.deepstack_visual_indexes,
             fmt::format("found [{}], expected ascending numbers from 0 to {}", fmt::join(indexes, ", "),
                         vision.depth - 1));
    }
    previous = index;
  }
  if (static_cast<int64_t>(indexes.size()) > text.num_hidden_layers) {
    refuse(keys.file, keys.deepstack_visual_indexes,
           fmt::format("{} entries, at most as many as the {} decoder layers", indexes.size(),
                       text.num_hidden_layers));
  }
}

}  // namespace

void check_text(const TextConfig& text, const TextKeys& keys) {
  if (text.num_key_value_heads > text.num_attention_heads ||
      text.num_attention_heads % text.num_key_value_heads != 0) {
    refuse(keys.file, keys.num_key_value_heads,
           fmt::format("found {}, expected a divisor of {} ({})", text.num_key_value_heads,
                       keys.num_attention_heads, text.num_attention_heads));
  }
  if (text.head_dim % 2 != 0) {
    refuse(keys.file, keys.head_dim, fmt::format("found {}, expected an even number", text.head_dim));
  }
  if (text.mrope_section.size() != 3) {
    refuse(keys.file, keys.mrope_section, fmt::format("{} numbers, expected 3", text.mrope_section.size()));
  }
  int64_t sum = std::accumulate(text.mrope_section.begin(), text.mrope_section.end(), int64_t{0});
  if (sum != text.head_dim / 2) {
    refuse(keys.file, keys.mrope_section,
           fmt::format("found [{}] with sum {}, expected the sum {} (half of {})",
                       fmt::join(text.mrope_section, ", "), sum, text.head_dim / 2, keys.head_dim));
  }
}

void check_vision(const VisionConfig& vision, const TextConfig& text, const VisionKeys& keys) {
  if (vision.hidden_size % vision.num_heads != 0) {
    refuse(keys.file, keys.num_heads,
           fmt::format("found {}, expected a divisor of {} ({})", vision.num_heads, keys.hidden_size,
                       vision.hidden_size));
  }
  if (vision.head_dim() % 4 != 0) {  // two axes of rotated pairs
    refuse(keys.file, keys.num_heads,
           fmt::format("found {}, which makes heads of {} values, expected a multiple of 4", vision.num_heads,
                       vision.head_dim()));
  }
  if (vision.out_hidden_size != text.hidden_size) {
    refuse(keys.file, keys.out_hidden_size,
           fmt::format("found {}, expected {}, the hidden size of the text model", vision.out_hidden_size,
                       text.hidden_size));
  }
  auto side = static_cast<int64_t>(std::sqrt(static_cast<double>(vision.num_position_embeddings)));
  if (side * side != vision.num_position_embeddings) {
    refuse(keys.file, keys.num_position_embeddings,
           fmt::format("found {}, expected a square number", vision.num_position_embeddings));
  }
  check_deepstack(vision, text, keys);
}

}  // namespace qvl
