// Element types of stored tensors and the sizes of their blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace qvl {

/// Types a weight may be stored in. The quantised ones are GGUF's block formats (llama.cpp, ggml-common.h).
enum class DType : uint8_t { f32, f16, bf16, q8_0, q4_0, q4_k, q5_k, q6_k };

struct DTypeInfo {
  DType dtype;
  std::string_view name;     ///< as printed, e.g. "BF16", "Q4_K"
  size_t weights_per_block;  ///< 1 for the float types
  size_t bytes_per_block;
};

const DTypeInfo& info(DType dtype);

/// Bytes of `count` weights in a row, or nothing where `count` is no whole number of blocks or does not fit.
std::optional<uint64_t> bytes_for(DType dtype, uint64_t count);

}  // namespace qvl
