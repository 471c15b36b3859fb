// The reference decoders: stored weights of any type to float32. Formats: docs/model.md, "Block formats".
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace qvl {

float f16_to_f32(uint16_t bits);
float bf16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);   ///< round to nearest even
uint16_t f32_to_bf16(float value);  ///< round to nearest even

/// Decodes `count` weights (a whole number of blocks) starting at `source`, which need not be aligned.
using DecodeRow = void (*)(const std::byte* source, size_t count, float* out);

/// The decoder of `dtype`; never null.
DecodeRow decoder(DType dtype);

}  // namespace qvl
