#include "model/weight_binder.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "tensor/decode.h"

namespace qvl {
namespace {

constexpr size_t names_shown = 20;

bool is_vision(const std::string& name) { return name.starts_with("model.visual."); }

}  // namespace

void decode_values(const TensorView& view, std::span<float> out) {
  QVL_CHECK(out.size() == view.elements());
  decoder(view.dtype)(view.bytes.data(), out.size(), out.data());
}

uint64_t Linear::bytes() const {
  uint64_t sum = 0;
  for (const PackedWeight& part : parts) sum += part.bytes();
  return sum;
}

const TensorView* WeightBinder::view(const std::string& name, const Shape& shape) {
  const TensorView* found = source_.find(name);
  used_.insert(name);
  if (found == nullptr) {
    missing_.push_back(name);
    return nullptr;
  }
  if (found->shape != shape) {
    wrong_.push_back(
        fmt::format("{}: found shape {}, expected {}", name, to_string(found->shape), to_string(shape)));
    return nullptr;
  }
  return found;
}

std::vector<float> WeightBinder::values(const std::string& name, const Shape& shape) {
  const TensorView* found = view(name, shape);
  if (found == nullptr) return {};
  std::vector<float> out(found->elements());
  decode_values(*found, out);
  return out;
}

Linear WeightBinder::linear(const std::string& name, uint64_t outputs, uint64_t inputs) {
  return joined({{name, outputs}}, inputs);
}

Linear WeightBinder::joined(const std::vector<LinearPart>& parts, uint64_t inputs, KnownInputs known) {
  std::vector<TensorView> views;
  // The finest of what is chosen for the parts: they share one input.
  WeightChoice choice = WeightChoice::q4;
  RestRule rest_rule = RestRule::outlying;
  for (const LinearPart& part : parts) {
    const std::string name = part.name + ".weight";
    const TensorView* found = view(name, {part.outputs, inputs});
    if (found == nullptr) continue;
    views.push_back(*found);
    choice = std::min(choice, choice_for(name, found->dtype));
    if (wants_fine_inputs(name, found->dtype)) rest_rule = RestRule::all;
  }
  if (views.size() < parts.size()) return {};
  Linear layer;
  if (choice == WeightChoice::q8 || choice == WeightChoice::q4) {
    const WeightPlace place = is_vision(parts.front().name) ? WeightPlace::vision : WeightPlace::text;
    const WeightForm form = packed_form(choice, place, common_type(views, &TensorView::dtype), forms_.isa);
    if (form == WeightForm::q4 && rest_rule == RestRule::outlying) rest_rule = RestRule::extreme;
    layer.parts.push_back(packer_.add(std::move(views), form, rest_rule, std::move(known)));
    return layer;
  }
  for (const TensorView& part : views) {
    const bool rounds = choice == WeightChoice::bf16 && part.dtype != DType::bf16;
    layer.parts.push_back(rounds ? packer_.add_bf16(part) : stored(part));
  }
  return layer;
}

// Eight bits in the decoder are chosen for precision: inputs in eight bits would cost more of it than the
// weights do. So would those of the last layers of the tower, a fiftieth of its products: nothing behind them
// evens their errors out. The rest of it, and Q4_K which only its offsets bring to eight bits, go without.
bool WeightBinder::wants_fine_inputs(const std::string& name, DType stored) const {
  if (name.starts_with("model.visual.merger.")) return true;
  return !is_vision(name) && stored != DType::q4_k && choice_for(name, stored) == WeightChoice::q8;
}

WeightChoice WeightBinder::choice_for(const std::string& name, DType stored) const {
  return is_vision(name) ? resolved(forms_.vision, WeightPlace::vision, stored)
                         : resolved(forms_.text, WeightPlace::text, stored);
}

Linear WeightBinder::linear_with_bias(const std::string& name, uint64_t outputs, uint64_t inputs,
                                      KnownInputs known) {
  Linear layer = joined({{name, outputs}}, inputs, std::move(known));
  layer.bias = values(name + ".bias", {outputs});
  return layer;
}

// What is missing or wrong is told where the layer itself is bound.
KnownInputs WeightBinder::outputs_of(const std::string& name, std::vector<float> input_sizes,
                                     const std::vector<float>& bias) const {
  const TensorView* weight = source_.find(name + ".weight");
  if (weight == nullptr || weight->shape != Shape{bias.size(), input_sizes.size()}) return {};
  return {.producer = Producer{.weight = *weight, .input_sizes = std::move(input_sizes), .bias = bias}};
}

Norm WeightBinder::rms_norm(const std::string& name, uint64_t width) {
  return {.weight = values(name + ".weight", {width}), .bias = {}};
}

Norm WeightBinder::layer_norm(const std::string& name, uint64_t width) {
  return {.weight = values(name + ".weight", {width}), .bias = values(name + ".bias", {width})};
}

void WeightBinder::finish() const {
  if (!missing_.empty()) {
    auto shown = std::span(missing_).first(std::min(missing_.size(), names_shown));
    fail(ErrorCode::model_file, "{} missing: {}{}",
         missing_.size() == 1 ? "1 tensor" : fmt::format("{} tensors", missing_.size()),
         fmt::join(shown, ", "), shown.size() < missing_.size() ? ", ..." : "");
  }
  if (!wrong_.empty()) {
    fail(ErrorCode::model_file, "{}{}", wrong_.front(),
         wrong_.size() > 1 ? fmt::format(" (and {} more of the wrong shape)", wrong_.size() - 1) : "");
  }
}

std::vector<std::string> WeightBinder::unused() const {
  std::vector<std::string> names = source_.names();
  std::erase_if(names, [this](const std::string& name) { return used_.contains(name); });
  return names;
}

}  // namespace qvl
