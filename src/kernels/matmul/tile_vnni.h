// The tiles on 8-bit dot products (VPDPBUSD), for any register width. Only for tile_avx512.cpp and
// tile_avxvnni.cpp, which define `Lanes`: sixteen outputs as 32-bit integers.
//
// A dot product adds four products of a byte of the weight (unsigned) and one of the activations (signed) to
// 32 bits; nothing saturates. The sum of a 4-bit subgroup, its offset taken back before, fits 16 bits, so
// VPDPWSSD multiplies it by the subgroup's factor and adds it in one instruction.
#pragma once

#include <cstdint>

#include "kernels/matmul/tile_blocks.h"
#include "kernels/unrolled.h"

namespace qvl {
namespace {

constexpr int64_t kSubgroups = kGroup / kSubgroup;
constexpr int64_t kUnspreadRows = 8;  // up to so many, spreading nibbles to bytes first does not pay

// Products of one step, four inputs, of R rows by P panels.
template <typename Lanes, int R, int P>
[[gnu::always_inline]] inline void add_step(typename Lanes::Ints (&sums)[R][P],
                                            const typename Lanes::Ints (&weights)[P], const int8_t* x) {
  unrolled<R>([&]<int i>() __attribute__((always_inline)) {
    const typename Lanes::Ints four = Lanes::broadcast(x + i * kGroup);
    unrolled<P>([&]<int j>()
                    __attribute__((always_inline)) { Lanes::add_products(sums[i][j], weights[j], four); });
  });
}

// R rows by P panels of eight-bit weights.
template <typename Lanes, int R, int P>
[[gnu::always_inline]] inline void multiply_q8(const TileArgs& args, int64_t r, int64_t p) {
  using Ints = typename Lanes::Ints;
  const uint8_t* w[P];
  const char* ahead[P];
  for (int j = 0; j < P; ++j) {
    w[j] = &block_at<Q8Block>(args, p + j).q[0][0][0];
    ahead[j] = ahead_of(args, p + j);
  }
  const int8_t* x = args.x + r * kGroup;
  Ints sums[R][P];
  unrolled<R>([&]<int i>() __attribute__((always_inline)) {
    const Ints sum = Lanes::broadcast(args.sums + r + i);
    unrolled<P>([&]<int j>() __attribute__((always_inline)) { sums[i][j] = sum; });
  });
  for (int64_t g = 0; g < args.steps / kSubgroupSteps; ++g) {
    if (r == 0) {  // the rows that follow find it asked for
      for (int j = 0; j < P; ++j) fetch_part<Q8Block>(ahead[j], g);
    }
    for (int64_t s = g * kSubgroupSteps; s < (g + 1) * kSubgroupSteps; ++s) {
      Ints weights[P];
      unrolled<P>([&]<int j>() __attribute__((always_inline)) {
        weights[j] = Lanes::load(w[j] + s * (kPanel * kStep));
      });
      add_step<Lanes, R, P>(sums, weights, x + s * kStep);
    }
  }
  unrolled<P>([&]<int j>() __attribute__((always_inline)) {
    const auto scale = Lanes::scales(block_at<Q8Block>(args, p + j).scale);
    unrolled<R>([&]<int i>() __attribute__((always_inline)) {
      Lanes::accumulate(args.acc + (r + i) * kTileOutputs + (p + j) * kPanel, sums[i][j], scale,
                        args.scales[r + i]);
    });
  });
}

// Where the weights of a panel come from: nibbles as stored, or the same numbers spread to bytes before.
template <typename Lanes>
struct Nibbles {
  static constexpr int64_t kBytes = kPanel * kStep / 2;
  static void fetch(const char* ahead, int64_t part) { fetch_part<Q4Block>(ahead, part); }
  static typename Lanes::Ints step(const uint8_t* q, int64_t s) { return Lanes::nibbles(q + s * kBytes); }
};
template <typename Lanes>
struct Bytes {
  static void fetch(const char*, int64_t) {}  // asked for while they were spread
  static typename Lanes::Ints step(const uint8_t* q, int64_t s) {
    return Lanes::load(q + s * kPanel * kStep);
  }
};

struct Q4Args {
  const TileArgs& tile;
  const uint8_t* weights[kTilePanels];  // of each panel, nibbles or bytes
  const int32_t* offsets;               // [rows][kSubgroups]: -8 times the sum of each subgroup
};

// R rows by P panels of four-bit weights.
template <typename Lanes, template <typename> typename Source, int R, int P>
[[gnu::always_inline]] inline void multiply_q4(const Q4Args& all, int64_t r, int64_t p) {
  const TileArgs& args = all.tile;
  using Ints = typename Lanes::Ints;
  const int8_t* x = args.x + r * kGroup;
  const char* ahead[P];
  for (int j = 0; j < P; ++j) ahead[j] = ahead_of(args, p + j);
  Ints totals[R][P];
  unrolled<R>([&]<int i>() __attribute__((always_inline)) {
    unrolled<P>([&]<int j>() __attribute__((always_inline)) { totals[i][j] = Lanes::zero(); });
  });
  for (int64_t g = 0; g < args.steps / kSubgroupSteps; ++g) {
    Ints sums[R][P];
    unrolled<R>([&]<int i>() __attribute__((always_inline)) {
      const Ints offset = Lanes::broadcast(all.offsets + (r + i) * kSubgroups + g);
      unrolled<P>([&]<int j>() __attribute__((always_inline)) { sums[i][j] = offset; });
    });
    for (int j = 0; j < P; ++j) Source<Lanes>::fetch(ahead[j], g);
    unrolled<kSubgroupSteps>([&]<int k>() __attribute__((always_inline)) {
      const int64_t s = g * kSubgroupSteps + k;
      Ints w[P];
      unrolled<P>([&]<int j>()
                      __attribute__((always_inline)) { w[j] = Source<Lanes>::step(all.weights[p + j], s); });
      add_step<Lanes, R, P>(sums, w, x + s * kStep);
    });
    unrolled<P>([&]<int j>() __attribute__((always_inline)) {
      const Ints factors = Lanes::factors(block_at<Q4Block>(args, p + j).factor[g]);
      unrolled<R>([&]<int i>() __attribute__((always_inline)) {
        Lanes::multiply_add(totals[i][j], sums[i][j], factors);
      });
    });
  }
  unrolled<P>([&]<int j>() __attribute__((always_inline)) {
    const auto units = Lanes::scales(block_at<Q4Block>(args, p + j).unit);
    unrolled<R>([&]<int i>() __attribute__((always_inline)) {
      Lanes::accumulate(args.acc + (r + i) * kTileOutputs + (p + j) * kPanel, totals[i][j], units,
                        args.scales[r + i]);
    });
  });
}

// Calls body<R, P>(first row, first panel) until all of a tile is covered, at most kRows by kPanels at once.
template <int kRows, int kPanels, typename Body>
[[gnu::always_inline]] inline void each_part(const TileArgs& args, Body body) {
  const auto rows = [&]<int P>(int64_t p) {
    int64_t r = 0;
    for (; r + kRows <= args.rows; r += kRows) body.template operator()<kRows, P>(r, p);
    const auto last = [&]<int R>(auto self) {
      if (args.rows - r == R) return body.template operator()<R, P>(r, p);
      if constexpr (R > 1) self.template operator()<R - 1>(self);
    };
    if constexpr (kRows > 1) last.template operator()<kRows - 1>(last);
  };
  int64_t p = 0;
  for (; p + kPanels <= args.panels; p += kPanels) rows.template operator()<kPanels>(p);
  if constexpr (kPanels > 1) {
    for (; p < args.panels; ++p) rows.template operator()<1>(p);
  }
}

template <typename Lanes>
void tile_q8_vnni(const TileArgs& args) {
  if (args.rows <= Lanes::kFewRows) {
    each_part<Lanes::kFewRows, 1>(
        args, [&]<int R, int P>(int64_t r, int64_t p) { multiply_q8<Lanes, R, P>(args, r, p); });
  } else {
    each_part<Lanes::kQ8Rows, Lanes::kQ8Panels>(
        args, [&]<int R, int P>(int64_t r, int64_t p) { multiply_q8<Lanes, R, P>(args, r, p); });
  }
}

// From the two halves of each that are kept.
inline void write_offsets(const TileArgs& args, int32_t* out) {
  for (int64_t i = 0; i < args.rows * kSubgroups; ++i) {
    out[i] = static_cast<int16_t>(args.pairs[i]) + (args.pairs[i] >> 16);
  }
}

// Nibbles of all panels spread to bytes. [panels][kGroup * kPanel]
template <typename Lanes>
void spread(const TileArgs& args, uint8_t* bytes) {
  for (int64_t p = 0; p < args.panels; ++p) {
    const uint8_t* q = &block_at<Q4Block>(args, p).q[0][0][0];
    const char* ahead = ahead_of(args, p);
    for (int64_t s = 0; s < args.steps; ++s) {
      if (s % kSubgroupSteps == 0) fetch_part<Q4Block>(ahead, s / kSubgroupSteps);
      Lanes::store(bytes + (p * kSteps + s) * (kPanel * kStep), Nibbles<Lanes>::step(q, s));
    }
  }
}

template <typename Lanes>
void tile_q4_vnni(const TileArgs& args) {
  int32_t offsets[kMostTileRows * kSubgroups];
  alignas(64) uint8_t bytes[kTilePanels * kGroup * kPanel];
  write_offsets(args, offsets);
  Q4Args all = {args, {}, offsets};
  const bool few = args.rows <= kUnspreadRows;
  if (!few) spread<Lanes>(args, bytes);
  for (int64_t p = 0; p < args.panels; ++p) {
    all.weights[p] = few ? &block_at<Q4Block>(args, p).q[0][0][0] : bytes + p * kGroup * kPanel;
  }
  if (few) {
    each_part<Lanes::kFewRows, Lanes::kFewPanels>(
        args, [&]<int R, int P>(int64_t r, int64_t p) { multiply_q4<Lanes, Nibbles, R, P>(all, r, p); });
  } else {
    each_part<Lanes::kQ4Rows, Lanes::kQ4Panels>(
        args, [&]<int R, int P>(int64_t r, int64_t p) { multiply_q4<Lanes, Bytes, R, P>(all, r, p); });
  }
}

}  // namespace
}  // namespace qvl
