#include "model/weight_binder.h"

#include <gtest/gtest.h>

#include <map>

#include "base/error.h"

namespace qvl {
namespace {

class MemorySource : public TensorSource {
 public:
  void add(const std::string& name, const Shape& shape) {
    uint64_t count = 1;
    for (uint64_t size : shape) count *= size;
    auto& data = data_[name];
    for (uint64_t i = 0; i < count; ++i) data.push_back(static_cast<float>(i));
    views_[name] = {.dtype = DType::f32, .shape = shape, .bytes = std::as_bytes(std::span(data))};
  }
  const TensorView* find(std::string_view name) const override {
    auto found = views_.find(std::string(name));
    return found == views_.end() ? nullptr : &found->second;
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> out;
    for (const auto& [name, view] : views_) out.push_back(name);
    return out;
  }
  void check_unchanged() const override {}
  void check_undamaged() const override {}
  std::string fingerprint() const override { return {}; }
  void release(std::span<const std::byte>) const override {}
  void release_all() const override {}

 private:
  std::map<std::string, std::vector<float>> data_;
  std::map<std::string, TensorView> views_;
};

std::string refusal(const WeightBinder& binder) {
  try {
    binder.finish();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::model_file);
    return error.what();
  }
  return "";
}

// A binder that leaves all weights as stored.
struct Binding {
  explicit Binding(const TensorSource& source) : binder(source, {}, packer) {}
  WeightPacker packer{Isa::scalar, 0};
  WeightBinder binder;
};

TEST(WeightBinder, binds_weights_and_biases) {
  MemorySource source;
  source.add("fc.weight", {3, 2});
  source.add("fc.bias", {3});
  source.add("extra", {1});
  Binding binding(source);
  WeightBinder& binder = binding.binder;
  const Linear layer = binder.linear_with_bias("fc", 3, 2);
  EXPECT_EQ(refusal(binder), "");
  EXPECT_EQ(layer.parts.front().outputs, 3);
  EXPECT_EQ(layer.parts.front().inputs, 2);
  EXPECT_EQ(layer.bias, (std::vector<float>{0, 1, 2}));
  EXPECT_EQ(binder.unused(), std::vector<std::string>{"extra"});
}

TEST(WeightBinder, keeps_rests_of_inputs_the_more_rarely_the_coarser_the_weights) {
  MemorySource source;
  source.add("fc.weight", {16, 32});
  const auto rule = [&](WeightChoice choice) {
    WeightPacker packer(Isa::scalar, 1 << 20);
    WeightBinder binder(source, {.text = choice, .isa = Isa::scalar}, packer);
    return binder.linear("fc", 16, 32).parts.front().rest_rule;
  };
  EXPECT_EQ(rule(WeightChoice::q4), RestRule::extreme);
  EXPECT_EQ(rule(WeightChoice::q8), RestRule::all);
}

TEST(WeightBinder, names_every_missing_tensor_up_to_twenty) {
  MemorySource source;
  Binding first(source);
  WeightBinder& one = first.binder;
  one.linear("a", 1, 1);
  EXPECT_EQ(refusal(one), "1 tensor missing: a.weight");
  Binding second(source);
  WeightBinder& many = second.binder;
  for (int i = 0; i < 25; ++i) many.linear(std::to_string(i), 1, 1);
  EXPECT_EQ(refusal(many).substr(0, 42), "25 tensors missing: 0.weight, 1.weight, 2.");
  EXPECT_NE(refusal(many).find("19.weight, ..."), std::string::npos);
}

TEST(WeightBinder, names_found_and_expected_shape) {
  MemorySource source;
  source.add("fc.weight", {3, 2});
  source.add("norm.weight", {4});
  Binding binding(source);
  WeightBinder& binder = binding.binder;
  binder.linear("fc", 2, 3);
  binder.rms_norm("norm", 5);
  EXPECT_EQ(refusal(binder),
            "fc.weight: found shape [3, 2], expected [2, 3] (and 1 more of the wrong shape)");
}

}  // namespace
}  // namespace qvl
