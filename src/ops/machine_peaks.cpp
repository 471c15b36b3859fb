#include "ops/machine_peaks.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/matmul/blocked_matmul.h"
#include "ops/quantised_buffer.h"

namespace qvl {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The least time of `passes` that `work(worker)` takes on all threads at once.
template <typename Work>
double best_time(ThreadPool& pool, int passes, Work work) {
  double best = 1e9;
  for (int pass = 0; pass < passes; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    pool.parallel_for(static_cast<size_t>(pool.size()), 1, [&](size_t begin, size_t, int) { work(begin); });
    best = std::min(best, seconds_since(start));
  }
  return best;
}

// Zeros, which no product is faster for: 64 outputs of one group, and rows that fit the first cache beside
// them.
struct Product {
  static constexpr int64_t kProductRows = 48, kOutputs = 64;

  explicit Product(const MatmulKernel& kernel)
      : weight{.form = kernel.form,
               .outputs = kOutputs,
               .inputs = kGroup,
               .row_bytes = static_cast<uint64_t>(block_bytes(kernel.form)),
               .kernel = &kernel},
        blocks(weight.bytes()),
        scratch(static_cast<size_t>(kernel.scratch_floats(weight, kProductRows))),
        y(kProductRows * kOutputs) {
    weight.data = blocks.data();
  }

  void run(const QuantisedRows& x) {
    weight.kernel->run({.weight = &weight,
                        .x = nullptr,
                        .quantised_x = &x,
                        .first_row = 0,
                        .rows = kProductRows,
                        .first = 0,
                        .last = kOutputs,
                        .bias = nullptr,
                        .y = y.data(),
                        .y_stride = kOutputs,
                        .epilogue = Epilogue::assign,
                        .scratch = scratch.data()});
  }

  PackedWeight weight;
  std::vector<std::byte> blocks;
  std::vector<float> scratch, y;
};

double integer_ops_per_second(ThreadPool& pool, const MatmulKernel& kernel, int passes) {
  const int64_t repeats = kernel.isa == Isa::scalar ? 20 : 2000;
  std::vector<Product> products(static_cast<size_t>(pool.size()), Product(kernel));
  for (Product& product : products) product.weight.data = product.blocks.data();
  QuantisedBuffer buffer;
  const QuantisedRows& x = buffer.shape(Product::kProductRows, kGroup);
  const double best = best_time(pool, passes, [&](size_t part) {
    for (int64_t i = 0; i < repeats; ++i) products[part].run(x);
  });
  const double each = 2.0 * Product::kProductRows * Product::kOutputs * kGroup;
  return each * static_cast<double>(repeats) * pool.size() / best;
}

}  // namespace

uint64_t read_buffer_bytes(std::span<const std::byte> bytes) {
  constexpr uint64_t kBeyondCaches = 64 << 20;
  return bytes.size() < kBeyondCaches ? kBeyondCaches : 0;
}

double measure_read_bytes_per_second(ThreadPool& pool, std::span<const std::byte> bytes, int passes) {
  std::vector<std::byte> own(read_buffer_bytes(bytes), std::byte{1});
  if (!own.empty()) bytes = own;
  const auto parts = static_cast<size_t>(pool.size());
  const size_t size = bytes.size() / parts / 64 * 64;
  std::vector<uint64_t> sums(parts);
  const double best = best_time(pool, passes, [&](size_t part) {
    uint64_t sum[8] = {}, words[8];
    const std::byte* data = bytes.data() + part * size;
    for (size_t i = 0; i < size; i += sizeof words) {
      std::memcpy(words, data + i, sizeof words);
      for (size_t lane = 0; lane < 8; ++lane) sum[lane] += words[lane];
    }
    for (uint64_t lane : sum) sums[part] += lane;
  });
  // The sums are used, so that the loop is not left out.
  const bool summed = std::any_of(sums.begin(), sums.end(), [](uint64_t sum) { return sum > 0; });
  return summed ? static_cast<double>(size * parts) / best : 0;
}

double measure_int8_ops_per_second(ThreadPool& pool, Isa isa, int passes) {
  double best = 0;
  for (WeightForm form : {WeightForm::q8, WeightForm::q4}) {
    best = std::max(best, integer_ops_per_second(pool, matmul_kernel(form, isa), passes));
  }
  return best;
}

}  // namespace qvl
