// In which numbers a network is computed, and what that makes of one weight.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "kernels/isa.h"
#include "kernels/matmul/packed_weight.h"
#include "tensor/dtype.h"

namespace qvl {

/// What weights become when a model is loaded.
enum class WeightChoice : uint8_t {
  automatic,  ///< by what is stored: q4 for floats and Q4_0, q8 for finer or offset block formats
  f32,        ///< as stored, computed in float32
  bf16,       ///< rounded to BF16 where stored in more, computed in float32
  q8,
  q4,
};
std::string_view name_of(WeightChoice choice);  ///< "auto", "f32", "bf16", "q8", "q4"

enum class KvForm : uint8_t { f32, i16, i8 };
std::string_view name_of(KvForm form);  ///< "f32", "16", "int8"

struct ModelForms {
  WeightChoice text = WeightChoice::f32;
  WeightChoice vision = WeightChoice::f32;  ///< automatic: q8
  KvForm kv = KvForm::f32;
  Isa isa = Isa::scalar;

  bool operator==(const ModelForms&) const = default;
};

/// Which of the two choices a weight follows.
enum class WeightPlace : uint8_t { text, vision };

/// `choice` with automatic resolved for a weight that is stored as `stored`.
WeightChoice resolved(WeightChoice choice, WeightPlace place, DType stored);

/// How weights of a resolved q8 or q4 choice lie in memory. `stored`: as all of those that are packed
/// together are stored; nothing where they differ. Q6_K keeps its own levels where 7 bits are as fast as 8.
WeightForm packed_form(WeightChoice choice, WeightPlace place, std::optional<DType> stored, Isa isa);

/// The type in which all elements of `range` are stored, by their `member`; nothing where they differ.
template <typename Range, typename Member>
std::optional<DType> common_type(const Range& range, Member member) {
  std::optional<DType> common;
  for (const auto& element : range) {
    if (common && *common != element.*member) return std::nullopt;
    common = element.*member;
  }
  return common;
}

/// Whether keys and values of heads of this width can lie in blocks of integers; else they stay in float32.
bool fits_blocks(int64_t head_dim);

/// Patches that the vision tower computes together, but for attention: bounds its scratch for large pictures,
/// and how long it lets others wait.
constexpr int64_t kVisionRows = 1024;

}  // namespace qvl
