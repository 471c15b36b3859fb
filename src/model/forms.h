// In which numbers a network is computed.
#pragma once

#include <cstdint>

#include "kernels/isa.h"

namespace qvl {

/// What weights become when a model is loaded.
enum class WeightChoice : uint8_t {
  automatic,  ///< by what is stored: q4 for floats and Q4_0, q8 for finer or offset block formats
  f32,        ///< as stored, computed in float32
  bf16,       ///< rounded to BF16 where stored in more, computed in float32
  q8,
  q4,
};

enum class KvForm : uint8_t { f32, i16, i8 };

struct ModelForms {
  WeightChoice text = WeightChoice::f32;
  WeightChoice vision = WeightChoice::f32;  ///< automatic: q8
  KvForm kv = KvForm::f32;
  Isa isa = Isa::scalar;
};

}  // namespace qvl
