#include "ops/machine_peaks.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/matmul/tile.h"

namespace qvl {
namespace {

constexpr int kPasses = 5;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The least time that `work(worker)` takes on all threads at once.
template <typename Work>
double best_time(ThreadPool& pool, Work work) {
  double best = 1e9;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    pool.parallel_for(static_cast<size_t>(pool.size()), 1, [&](size_t begin, size_t, int) { work(begin); });
    best = std::min(best, seconds_since(start));
  }
  return best;
}

}  // namespace

double measure_read_bytes_per_second(ThreadPool& pool, std::span<const std::byte> bytes) {
  constexpr size_t own_bytes = 64 << 20;
  std::vector<std::byte> own(bytes.size() < own_bytes ? own_bytes : 0, std::byte{1});
  if (!own.empty()) bytes = own;
  const auto parts = static_cast<size_t>(pool.size());
  const size_t size = bytes.size() / parts / 64 * 64;
  std::vector<uint64_t> sums(parts);
  const double best = best_time(pool, [&](size_t part) {
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

double measure_int8_ops_per_second(ThreadPool& pool, Isa isa) {
  constexpr int64_t rows = 4, repeats = 20'000;
  struct Work {
    Q8Block block = {};
    int8_t x[rows * kGroup] = {};
    float scales[rows] = {}, acc[rows * kTileOutputs] = {};
    int32_t sums[rows] = {}, pairs[rows * (kGroup / kSubgroup)] = {};
  };
  std::vector<Work> work(static_cast<size_t>(pool.size()));
  const TileKernel tile = isa == Isa::scalar ? tile_q8_scalar : tile_q8_avx2;
  const int64_t turns = isa == Isa::scalar ? repeats / 50 : repeats;
  const double best = best_time(pool, [&](size_t part) {
    Work& own = work[part];
    const TileArgs args = {.blocks = &own.block,
                           .block_stride = sizeof(Q8Block),
                           .panels = 1,
                           .steps = kSteps,
                           .x = own.x,
                           .scales = own.scales,
                           .sums = own.sums,
                           .pairs = own.pairs,
                           .rows = rows,
                           .acc = own.acc};
    for (int64_t i = 0; i < turns; ++i) tile(args);
  });
  const double each = 2.0 * rows * kPanel * kGroup;
  return each * static_cast<double>(turns) * pool.size() / best;
}

}  // namespace qvl
