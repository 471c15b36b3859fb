// The products of dot.h for any register width. Only for dot_avx2.cpp and dot_avx512.cpp, which define `V`:
// kLanes floats, and kRows, the rows of x whose sums with four outputs fit the registers.
#pragma once

#include "kernels/matmul/dot.h"
#include "kernels/unrolled.h"

namespace qvl {
namespace {

constexpr int kTile = 4;  // outputs of a tile

// Whether the weights of the next tile are asked for while those of this one are multiplied.
enum class Fetch { no, ahead };

template <DType dtype>
constexpr int64_t kBytes = dtype == DType::f32 ? 4 : 2;

// kLanes inputs of R rows by four outputs.
template <typename V, DType dtype, int R>
[[gnu::always_inline]] inline void add_step(typename V::Floats (&sums)[R][kTile], const float* const (&x)[R],
                                            const std::byte* const (&w)[kTile], int64_t input) {
  typename V::Floats row[R];
  unrolled<R>([&]<int r>() __attribute__((always_inline)) { row[r] = V::load(x[r] + input); });
  unrolled<kTile>([&]<int o>() __attribute__((always_inline)) {
    const auto weight = V::template widen<dtype>(w[o] + input * kBytes<dtype>);
    unrolled<R>([&]<int r>() __attribute__((always_inline)) {
      sums[r][o] = V::multiply_add(row[r], weight, sums[r][o]);
    });
  });
}

// The inputs from `first` on, fewer than kLanes: filled up with zeros.
template <typename V, DType dtype, int R>
void add_last_step(typename V::Floats (&sums)[R][kTile], const float* const (&x)[R],
                   const std::byte* const (&w)[kTile], int64_t first, int64_t count) {
  alignas(64) float row_copies[R][V::kLanes] = {};
  alignas(64) std::byte weight_copies[kTile][V::kLanes * kBytes<dtype>] = {};
  const float* rows[R];
  const std::byte* weights[kTile];
  for (int r = 0; r < R; ++r) {
    __builtin_memcpy(row_copies[r], x[r] + first, static_cast<size_t>(count) * sizeof(float));
    rows[r] = row_copies[r];
  }
  for (int o = 0; o < kTile; ++o) {
    __builtin_memcpy(weight_copies[o], w[o] + first * kBytes<dtype>,
                     static_cast<size_t>(count * kBytes<dtype>));
    weights[o] = weight_copies[o];
  }
  add_step<V, dtype, R>(sums, rows, weights, 0);
}

// As many bytes as a step takes, of the weights that begin at `next`. A tile reads four rows side by side,
// and asks for the next four one after the other: one stream of memory is faster than four short ones.
template <typename V, DType dtype>
[[gnu::always_inline]] inline void fetch_step(const std::byte* next, int64_t input) {
  constexpr int64_t step = kTile * kBytes<dtype>;
  for (int64_t at = 0; at < step * V::kLanes; at += 64) __builtin_prefetch(next + input * step + at);
}

// R rows by the four outputs from `output` on. Where there are fewer, the last takes the place of the missing
// ones, whose sums nobody reads.
template <typename V, DType dtype, Fetch fetch, int R>
[[gnu::noinline]] void add_tile(const DotArgs& args, int64_t row, int64_t output) {
  const float* x[R];
  const std::byte* w[kTile];
  for (int r = 0; r < R; ++r) x[r] = args.x + (row + r) * args.x_stride;
  for (int64_t o = 0; o < kTile; ++o) {
    w[o] = args.weights + (output + o < args.outputs ? output + o : args.outputs - 1) * args.weight_stride;
  }
  float* parts = args.parts + (row * kDotOutputs + output) * V::kLanes;
  typename V::Floats sums[R][kTile];
  const auto each_part = [&](auto use) __attribute__((always_inline)) {
    unrolled<R>([&]<int r>() __attribute__((always_inline)) {
      unrolled<kTile>([&]<int o>() __attribute__((always_inline)) {
        use(sums[r][o], parts + (r * kDotOutputs + o) * V::kLanes);
      });
    });
  };
  each_part([](auto& sum, float* at) __attribute__((always_inline)) { sum = V::load(at); });
  const int64_t whole = args.inputs / V::kLanes * V::kLanes;
  for (int64_t i = 0; i < whole; i += V::kLanes) {
    if constexpr (fetch == Fetch::ahead) fetch_step<V, dtype>(w[0] + kTile * args.weight_stride, i);
    add_step<V, dtype, R>(sums, x, w, i);
  }
  if (whole < args.inputs) add_last_step<V, dtype, R>(sums, x, w, whole, args.inputs - whole);
  each_part([](auto& sum, float* at) __attribute__((always_inline)) { V::store(at, sum); });
}

// At most R rows from `row` on.
template <typename V, DType dtype, Fetch fetch, int R>
void add_rows(const DotArgs& args, int64_t row, int64_t output) {
  if constexpr (R > 1) {
    if (args.rows - row < R) return add_rows<V, dtype, fetch, R - 1>(args, row, output);
  }
  add_tile<V, dtype, fetch, R>(args, row, output);
}

template <typename V, DType dtype>
void add_from_memory(const DotArgs& args) {
  for (int64_t o = 0; o < args.outputs; o += kTile) {
    for (int64_t r = 0; r < args.rows; r += V::kRows) add_rows<V, dtype, Fetch::ahead, V::kRows>(args, r, o);
  }
}

template <typename V>
void add_from_panel(const DotArgs& args) {
  for (int64_t r = 0; r < args.rows; r += V::kRows) {
    for (int64_t o = 0; o < args.outputs; o += kTile)
      add_rows<V, DType::f32, Fetch::no, V::kRows>(args, r, o);
  }
}

template <typename V>
void dot_add(const DotArgs& args) {
  if (args.source == DotArgs::Source::panel) return add_from_panel<V>(args);
  if (args.dtype == DType::f32) return add_from_memory<V, DType::f32>(args);
  if (args.dtype == DType::f16) return add_from_memory<V, DType::f16>(args);
  return add_from_memory<V, DType::bf16>(args);
}

template <typename V, DType dtype>
void widen_all(const std::byte* weights, int64_t count, float* out) {
  int64_t i = 0;
  for (; i + V::kLanes <= count; i += V::kLanes) {
    V::store(out + i, V::template widen<dtype>(weights + i * kBytes<dtype>));
  }
  if (i == count) return;
  alignas(64) std::byte last[V::kLanes * kBytes<dtype>] = {};
  alignas(64) float values[V::kLanes];
  __builtin_memcpy(last, weights + i * kBytes<dtype>, static_cast<size_t>((count - i) * kBytes<dtype>));
  V::store(values, V::template widen<dtype>(last));
  __builtin_memcpy(out + i, values, static_cast<size_t>(count - i) * sizeof(float));
}

template <typename V>
void dot_widen(const std::byte* weights, DType dtype, int64_t count, float* out) {
  if (dtype == DType::f32) return widen_all<V, DType::f32>(weights, count, out);
  if (dtype == DType::f16) return widen_all<V, DType::f16>(weights, count, out);
  return widen_all<V, DType::bf16>(weights, count, out);
}

template <typename V>
void dot_finish(const float* parts, float* sums) {
  for (int64_t o = 0; o < kDotOutputs; o += 4) {
    V::store_sums(parts + o * V::kLanes, sums + o);
  }
}

}  // namespace
}  // namespace qvl
