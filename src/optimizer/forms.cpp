#include "optimizer/forms.h"

#include "base/error.h"
#include "kernels/attention/kv_block.h"

namespace qvl {

std::string_view name_of(WeightChoice choice) {
  constexpr std::string_view names[] = {"auto", "f32", "bf16", "q8", "q4"};
  return names[static_cast<size_t>(choice)];
}

std::string_view name_of(KvForm form) {
  constexpr std::string_view names[] = {"f32", "16", "int8"};
  return names[static_cast<size_t>(form)];
}

WeightChoice resolved(WeightChoice choice, WeightPlace place, DType stored) {
  if (choice != WeightChoice::automatic) return choice;
  if (place == WeightPlace::vision) return WeightChoice::q8;
  // Finer block formats would lose what their files paid for; those with offsets do not fit q4's levels.
  const bool finer = stored == DType::q8_0 || stored == DType::q6_k || stored == DType::q5_k;
  return finer || stored == DType::q4_k ? WeightChoice::q8 : WeightChoice::q4;
}

WeightForm packed_form(WeightChoice choice, WeightPlace place, std::optional<DType> stored, Isa isa) {
  QVL_CHECK(choice == WeightChoice::q8 || choice == WeightChoice::q4);
  if (choice == WeightChoice::q4) return WeightForm::q4;
  const bool many_rows = place == WeightPlace::vision || stored == DType::q6_k;
  return many_rows ? many_rows_form(isa) : WeightForm::q8;
}

bool fits_blocks(int64_t head_dim) { return head_dim % 2 == 0 && head_dim <= kMaxBlockedWidth; }

}  // namespace qvl
