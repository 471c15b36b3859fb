// Every matrix product of the list, on every instruction set this processor has: against sums in float64, and
// against the scalar one.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/matmul/blocked_matmul.h"
#include "kernels/matmul/encode.h"
#include "kernels/matmul/matmul_testing.h"
#include "kernels/matmul/packed_weight.h"
#include "kernels/quantise/quantise.h"

namespace qvl {

// Found by the test library: names the kernel instead of printing its bytes.
void PrintTo(const MatmulKernel& kernel, std::ostream* out) { *out << kernel.name; }

namespace {

// The integers of some rows, and the memory they lie in.
struct Quantised {
  Quantised(const std::vector<float>& x, int64_t rows, int64_t inputs, Isa isa = Isa::scalar,
            RestRule rest_rule = RestRule::outlying, SumBound bound = SumBound::pairs) {
    const auto places = static_cast<size_t>(rows * groups_of(inputs));
    for (Plane* plane : {&main, &rest}) {
      plane->values.assign(places * kGroup, 99);  // what is not written must not be read
      plane->scales.assign(places, NAN);
      plane->sums.assign(places, 12345);
      plane->pairs.assign(places * (kGroup / kSubgroup), 12345);
    }
    has_rest.assign(places, 7);
    view = {rows, inputs, main.view(), rest.view(), has_rest.data(), rest_rule, bound};
    for (int64_t r = 0; r < rows; ++r) quantise_row(isa)(x.data() + r * inputs, r, view);
  }

  struct Plane {
    std::vector<int8_t> values;
    std::vector<float> scales;
    std::vector<int32_t> sums, pairs;
    QuantisedPlane view() { return {values.data(), scales.data(), sums.data(), pairs.data()}; }
  };
  Plane main, rest;
  std::vector<uint8_t> has_rest;
  QuantisedRows view;

  // What the integers stand for. [inputs]
  std::vector<double> row(int64_t r) const {
    std::vector<double> out;
    for (int64_t i = 0; i < view.inputs; ++i) {
      const auto at = static_cast<size_t>(group_row(view, i / kGroup, r));
      const size_t value = at * kGroup + static_cast<size_t>(i % kGroup);
      out.push_back(static_cast<double>(main.scales[at]) * main.values[value] +
                    (has_rest[at] ? static_cast<double>(rest.scales[at]) * rest.values[value] : 0));
    }
    return out;
  }
};

struct Problem {
  int64_t rows, outputs, inputs;
  DType dtype = DType::f32;
  std::vector<std::byte> stored;
  std::vector<float> weights, x, bias;  // weights as stored, decoded

  Problem(std::mt19937& random, int64_t r, int64_t o, int64_t i, Values kind = Values::normal)
      : rows(r), outputs(o), inputs(i) {
    for (int64_t k = 0; k < r * i; ++k) x.push_back(draw(random, kind, k % i));
    for (int64_t k = 0; k < o; ++k) bias.push_back(draw(random, Values::normal, 0));
    for (int64_t k = 0; k < o * i; ++k) weights.push_back(draw(random, kind, k % i));
    store(DType::f32);
  }

  void store(DType type) {
    dtype = type;
    const size_t size = type == DType::f32 ? 4 : 2;
    stored.resize(weights.size() * size);
    for (size_t k = 0; k < weights.size(); ++k) {
      const uint16_t bits = type == DType::f16 ? f32_to_f16(weights[k]) : f32_to_bf16(weights[k]);
      std::memcpy(stored.data() + k * size, size == 4 ? static_cast<const void*>(&weights[k]) : &bits, size);
    }
    decoder(type)(stored.data(), weights.size(), weights.data());
  }
};

// A weight in one form, and what its numbers stand for.
struct Packed {
  PackedWeight weight;
  std::vector<std::byte> bytes;
  std::vector<double> values;  // [outputs, inputs]

  Packed(const Problem& p, const MatmulKernel& kernel, Isa encoder = Isa::scalar) {
    weight = {
        .form = kernel.form, .dtype = p.dtype, .outputs = p.outputs, .inputs = p.inputs, .kernel = &kernel};
    if (kernel.form == WeightForm::stored) {
      weight.row_bytes = *bytes_for(p.dtype, static_cast<uint64_t>(p.inputs));
      bytes = p.stored;
      values.assign(p.weights.begin(), p.weights.end());
    } else if (kernel.form == WeightForm::q8) {
      fill<Q8Block>(
          p, [](const BlockRows& in, Q8Block& out) { encode_q8(in, out); }, decode_q8);
    } else if (kernel.form == WeightForm::q7) {
      fill<Q7Block>(
          p, [&](const BlockRows& in, Q7Block& out) { encode_q7(in, encoder, out); }, decode_q7);
    } else {
      fill<Q4Block>(
          p, [&](const BlockRows& in, Q4Block& out) { encode_q4(in, encoder, out); }, decode_q4);
    }
    weight.data = bytes.data();
  }

  template <typename Block, typename Encode, typename Decode>
  void fill(const Problem& p, Encode encode, Decode decode) {
    const int64_t groups = groups_of(p.inputs);
    weight.row_bytes = static_cast<uint64_t>(groups) * sizeof(Block);
    bytes.resize(static_cast<size_t>(panels_of(p.outputs)) * weight.row_bytes);
    values.resize(p.weights.size());
    for (int64_t at = 0; at < panels_of(p.outputs) * groups; ++at) {
      const int64_t first = at / groups * kPanel, input = at % groups * kGroup;
      BlockRows in{.rows = {},
                   .outputs = std::min(kPanel, p.outputs - first),
                   .length = std::min(kGroup, p.inputs - input)};
      for (int64_t o = 0; o < in.outputs; ++o) in.rows[o] = p.weights.data() + (first + o) * p.inputs + input;
      Block block;
      encode(in, block);
      std::memcpy(bytes.data() + static_cast<size_t>(at) * sizeof block, &block, sizeof block);
      for (int64_t o = 0; o < in.outputs; ++o) {
        for (int64_t i = 0; i < in.length; ++i) {
          values[static_cast<size_t>((first + o) * p.inputs + input + i)] = decode(block, o, i);
        }
      }
    }
  }
};

struct Share {
  int64_t first, last;
  Epilogue epilogue = Epilogue::assign;
  int64_t first_row = 0;  // to the last
};

std::vector<float> run(const Problem& p, const Packed& packed, const Quantised& x, Share share) {
  const MatmulKernel& kernel = *packed.weight.kernel;
  std::vector<float> y(static_cast<size_t>(p.rows * p.outputs), share.epilogue == Epilogue::add ? 2.0f : NAN);
  std::vector<float> scratch(static_cast<size_t>(kernel.scratch_floats(packed.weight, p.rows)), NAN);
  kernel.run({.weight = &packed.weight,
              .x = kernel.form == WeightForm::stored ? p.x.data() : nullptr,
              .quantised_x = kernel.form == WeightForm::stored ? nullptr : &x.view,
              .first_row = share.first_row,
              .rows = p.rows - share.first_row,
              .first = share.first,
              .last = share.last,
              .bias = p.bias.data(),
              .y = y.data(),
              .y_stride = p.outputs,
              .epilogue = share.epilogue,
              .scratch = scratch.data()});
  return y;
}

class Matmul : public ::testing::TestWithParam<MatmulKernel> {
 protected:
  void SetUp() override {
    if (!supported(GetParam().isa)) GTEST_SKIP() << "this processor has no " << name_of(GetParam().isa);
  }
  const MatmulKernel& kernel() const { return GetParam(); }
  // Inputs as the kernel's weights want them.
  Quantised quantised(const Problem& p) const {
    return Quantised(p.x, p.rows, p.inputs, Isa::scalar, RestRule::outlying, sum_bound(kernel().form));
  }
};

TEST_P(Matmul, equals_sums_in_float64_on_random_shapes) {
  std::mt19937 random(1);
  const Values kinds[] = {Values::normal, Values::heavy_tailed, Values::zeros, Values::outlier_channel};
  const DType types[] = {DType::f32, DType::f16, DType::bf16};
  for (int round = 0; round < 200; ++round) {
    Problem p(random, 1 + random() % 14, 1 + random() % 90, 1 + random() % 700, kinds[random() % 4]);
    p.store(types[random() % 3]);
    const Packed packed(p, kernel());
    const Quantised x = quantised(p);
    const auto y = run(p, packed, x, {0, p.outputs});
    for (int64_t r = 0; r < p.rows; ++r) {
      const auto row = kernel().form == WeightForm::stored
                           ? std::vector<double>(p.x.begin() + r * p.inputs, p.x.begin() + (r + 1) * p.inputs)
                           : x.row(r);
      for (int64_t o = 0; o < p.outputs; ++o) {
        double sum = p.bias[static_cast<size_t>(o)], size = std::abs(sum);
        for (int64_t k = 0; k < p.inputs; ++k) {
          const double term =
              row[static_cast<size_t>(k)] * packed.values[static_cast<size_t>(o * p.inputs + k)];
          sum += term;
          size += std::abs(term);
        }
        // Float32 sums drift with the root of their length.
        const double drift = 1e-7 * (10 + std::sqrt(static_cast<double>(p.inputs)));
        ASSERT_NEAR(y[static_cast<size_t>(r * p.outputs + o)], sum, drift * size)
            << p.rows << "x" << p.outputs << "x" << p.inputs;
      }
    }
  }
}

// Integer products are exact until one last multiply-add: every instruction set gives the same bits.
TEST_P(Matmul, of_integers_equals_the_scalar_one_bit_for_bit) {
  if (kernel().form == WeightForm::stored) return;  // float32 sums are rounded differently
  std::mt19937 random(2);
  const Values kinds[] = {Values::normal, Values::heavy_tailed, Values::zeros, Values::extreme,
                          Values::outlier_channel};
  for (int round = 0; round < 500; ++round) {
    const Problem p(random, 1 + random() % 21, 1 + random() % 80, 1 + random() % 600, kinds[random() % 5]);
    const Quantised x = quantised(p);
    const auto y = run(p, Packed(p, kernel()), x, {0, p.outputs});
    const auto expected = run(p, Packed(p, matmul_kernel(kernel().form, Isa::scalar)), x, {0, p.outputs});
    ASSERT_EQ(0, std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)))
        << p.rows << "x" << p.outputs << "x" << p.inputs;
  }
}

// The largest integers of either sign, all in step: sums of pairs must not saturate.
TEST_P(Matmul, does_not_saturate) {
  std::mt19937 random(3);
  for (float sign : {1.0f, -1.0f}) {
    Problem p(random, 2, 16, 512);
    std::fill(p.x.begin(), p.x.end(), sign);
    for (size_t i = 0; i < p.weights.size(); ++i) p.weights[i] = i % 7 == 0 ? -1.0f : 1.0f;
    p.store(DType::f32);
    const Packed packed(p, kernel());
    const auto y = run(p, packed, quantised(p), {0, p.outputs});
    for (int64_t o = 0; o < p.outputs; ++o) {
      double sum = p.bias[static_cast<size_t>(o)];
      for (int64_t k = 0; k < p.inputs; ++k)
        sum += sign * packed.values[static_cast<size_t>(o * p.inputs + k)];
      ASSERT_NEAR(y[static_cast<size_t>(o)], sum, 3.0);  // 64 of 127.5 steps: rounded by up to half a step
    }
  }
}

TEST_P(Matmul, a_row_does_not_depend_on_the_rows_beside_it_nor_on_the_split) {
  std::mt19937 random(4);
  for (int round = 0; round < 40; ++round) {
    const int64_t rows = 2 + random() % 12;
    const Problem p(random, rows, 16 + random() % 120, 1 + random() % 400,
                    round % 2 == 0 ? Values::normal : Values::outlier_channel);
    const Packed packed(p, kernel());
    const auto whole = run(p, packed, quantised(p), {0, p.outputs});
    const auto right = run(p, packed, quantised(p), {16, p.outputs});
    const auto below = run(p, packed, quantised(p), {.first = 0, .last = p.outputs, .first_row = rows - 1});
    ASSERT_TRUE(std::isnan(below[static_cast<size_t>((rows - 1) * p.outputs - 1)]));
    Problem last = p;
    last.rows = 1;
    last.x.assign(p.x.end() - p.inputs, p.x.end());
    const auto alone = run(last, packed, quantised(last), {0, p.outputs});
    for (int64_t o = 0; o < p.outputs; ++o) {
      const auto at = static_cast<size_t>((rows - 1) * p.outputs + o);
      ASSERT_EQ(whole[at], alone[static_cast<size_t>(o)]);
      ASSERT_EQ(whole[at], below[at]);
      if (o < 16) {
        ASSERT_TRUE(std::isnan(right[at]));
      } else {
        ASSERT_EQ(whole[at], right[at]);
      }
    }
  }
}

TEST_P(Matmul, ends_with_the_epilogue_asked_for) {
  std::mt19937 random(5);
  const Problem p(random, 3, 40, 300);
  const Packed packed(p, kernel());
  const Quantised x = quantised(p);
  const auto plain = run(p, packed, x, {0, p.outputs});
  const auto added = run(p, packed, x, {0, p.outputs, Epilogue::add});
  const auto tanh = run(p, packed, x, {0, p.outputs, Epilogue::gelu_tanh});
  const auto erf = run(p, packed, x, {0, p.outputs, Epilogue::gelu_erf});
  for (size_t i = 0; i < plain.size(); ++i) {
    const double z = plain[i];
    ASSERT_EQ(added[i], 2.0f + plain[i]);
    ASSERT_NEAR(tanh[i], 0.5 * z * (1 + std::tanh(std::sqrt(2 / M_PI) * (z + 0.044715 * z * z * z))),
                1e-5 * (1 + std::abs(z)));
    ASSERT_NEAR(erf[i], 0.5 * z * (1 + std::erf(z / std::sqrt(2))), 1e-5 * (1 + std::abs(z)));
  }
}

TEST_P(Matmul, keeps_zeros_and_lets_what_is_not_finite_through) {
  std::mt19937 random(6);
  Problem p(random, 2, 17, 33);
  std::fill(p.x.begin(), p.x.end(), 0.0f);
  p.x[0] = INFINITY;
  const auto y = run(p, Packed(p, kernel()), quantised(p), {0, p.outputs});
  for (int64_t o = 0; o < p.outputs; ++o) {
    EXPECT_FALSE(std::isfinite(y[static_cast<size_t>(o)]));
    EXPECT_EQ(y[static_cast<size_t>(p.outputs + o)], p.bias[static_cast<size_t>(o)]);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Matmul, ::testing::ValuesIn(matmul_kernels().begin(), matmul_kernels().end()),
                         [](const auto& kernel) {
                           std::string name(kernel.param.name);
                           std::replace(name.begin(), name.end(), '/', '_');
                           return name;
                         });

// Of the integers at `places`, the larger sum of those of one sign.
int sum_of_one_sign(const std::vector<int8_t>& q, std::initializer_list<size_t> places) {
  int up = 0, down = 0;
  for (size_t i : places) (q[i] > 0 ? up : down) += q[i];
  return std::max(up, -down);
}

TEST(Quantise, keeps_the_bounds_that_16_bit_sums_need_and_rounds_to_the_nearest_step) {
  std::mt19937 random(7);
  const Values kinds[] = {Values::normal, Values::heavy_tailed, Values::zeros, Values::extreme,
                          Values::outlier_channel};
  for (int round = 0; round < 2000; ++round) {
    const int64_t inputs = 1 + random() % 700;
    std::vector<float> x;
    for (int64_t i = 0; i < inputs; ++i) x.push_back(draw(random, kinds[random() % 5], i));
    const SumBound bounds[] = {SumBound::singles, SumBound::pairs, SumBound::fours};
    const SumBound bound = bounds[round % 3];
    const Quantised q(x, 1, inputs, Isa::scalar, RestRule::outlying, bound);
    for (size_t i = 0; i < q.main.values.size(); i += 2) {
      ASSERT_LE(sum_of_one_sign(q.main.values, {i}), 127);
      if (bound == SumBound::pairs) {
        ASSERT_LE(sum_of_one_sign(q.main.values, {i, i + 1}), 128);
      }
      if (bound == SumBound::fours && i % 8 < 4) {
        ASSERT_LE(sum_of_one_sign(q.main.values, {i, i + 1, i + 4, i + 5}), 258);
      }
    }
    const auto back = q.row(0);
    for (int64_t i = 0; i < inputs; ++i) {
      const auto at = static_cast<size_t>(i / kGroup);
      const double step = q.has_rest[at] ? q.rest.scales[at] : q.main.scales[at];
      ASSERT_NEAR(back[static_cast<size_t>(i)], x[static_cast<size_t>(i)],
                  0.50001 * step + 1e-6 * std::abs(x[static_cast<size_t>(i)]) + 1e-36);
    }
  }
}

TEST(Quantise, keeps_the_small_values_beside_a_large_one) {
  std::mt19937 random(8);
  std::vector<float> x;
  for (int64_t i = 0; i < kGroup; ++i) x.push_back(draw(random, Values::outlier_channel, i));
  x[3] = 100;
  const Quantised q(x, 1, kGroup);
  EXPECT_EQ(q.has_rest[0], 1);
  const auto back = q.row(0);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(back[i], x[i], 0.5 * 100 / 127 / 128 * 1.01);
}

TEST(Quantise, keeps_the_rest_of_every_group_where_asked) {
  std::mt19937 random(10);
  std::vector<float> x;
  for (int64_t i = 0; i < 2 * kGroup; ++i) x.push_back(draw(random, Values::normal, i));
  EXPECT_EQ(Quantised(x, 1, 2 * kGroup).has_rest[1], 0);
  const Quantised q(x, 1, 2 * kGroup, Isa::scalar, RestRule::all);
  EXPECT_EQ(q.has_rest[0], 1);
  EXPECT_EQ(q.has_rest[1], 1);
  const auto back = q.row(0);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(back[i], x[i], 2e-4);
}

TEST(Quantise, is_the_same_on_every_instruction_set) {
  std::mt19937 random(9);
  const Values kinds[] = {Values::normal, Values::heavy_tailed, Values::zeros, Values::extreme,
                          Values::outlier_channel};
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    for (int round = 0; round < 2000; ++round) {
      const int64_t inputs = 1 + random() % 700, rows = 1 + random() % 3;
      std::vector<float> x;
      const Values kind = kinds[random() % 5];
      for (int64_t i = 0; i < rows * inputs; ++i) x.push_back(draw(random, kind, i % inputs));
      if (round % 50 == 0) x[random() % x.size()] = random() % 2 ? INFINITY : NAN;
      const RestRule rule = std::array{RestRule::all, RestRule::outlying, RestRule::extreme}[random() % 3];
      const SumBound bounds[] = {SumBound::singles, SumBound::pairs, SumBound::fours};
      const SumBound bound = bounds[round % 3];
      const Quantised expected(x, rows, inputs, Isa::scalar, rule, bound);
      const Quantised found(x, rows, inputs, isa, rule, bound);
      ASSERT_EQ(expected.main.values, found.main.values);
      ASSERT_EQ(expected.main.sums, found.main.sums);
      ASSERT_EQ(expected.main.pairs, found.main.pairs);
      ASSERT_EQ(expected.has_rest, found.has_rest);
      ASSERT_EQ(expected.rest.values, found.rest.values);
      ASSERT_EQ(expected.rest.pairs, found.rest.pairs);
      ASSERT_EQ(0, std::memcmp(expected.main.scales.data(), found.main.scales.data(),
                               expected.main.scales.size() * sizeof(float)));
      ASSERT_EQ(0, std::memcmp(expected.rest.scales.data(), found.rest.scales.data(),
                               expected.rest.scales.size() * sizeof(float)));
    }
  }
}

// One group of ones and minus ones with one value that makes the largest so many times the root mean square.
bool has_rest(float ratio, RestRule rule, Isa isa) {
  std::vector<float> x(kGroup);
  for (size_t i = 0; i < x.size(); ++i) x[i] = i % 2 == 0 ? 1.0f : -1.0f;
  x[100] = ratio * std::sqrt((kGroup - 1) / (kGroup - ratio * ratio));
  return Quantised(x, 1, kGroup, isa, rule, SumBound::singles).has_rest[0] != 0;
}

TEST(Quantise, keeps_a_rest_from_6_times_the_usual_size_and_for_4_bits_from_12) {
  for (Isa isa : all_isas()) {
    if (!supported(isa)) continue;
    EXPECT_FALSE(has_rest(5.8f, RestRule::outlying, isa));
    EXPECT_TRUE(has_rest(6.2f, RestRule::outlying, isa));
    EXPECT_FALSE(has_rest(11.5f, RestRule::extreme, isa));
    EXPECT_TRUE(has_rest(12.5f, RestRule::extreme, isa));
    EXPECT_TRUE(has_rest(1.0f, RestRule::all, isa));
  }
}

TEST(Isa, has_a_name_for_each_and_prefers_the_best) {
  for (Isa isa : all_isas()) EXPECT_EQ(isa_named(name_of(isa)), isa);
  EXPECT_EQ(isa_named("sse9"), std::nullopt);
  EXPECT_TRUE(supported(Isa::scalar));
  EXPECT_TRUE(supported(best_isa()));
}

}  // namespace
}  // namespace qvl
