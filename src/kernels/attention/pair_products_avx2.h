// Products of four rows of 16-bit integers with one panel. Only for blocked_attention_avx2.cpp.
//
// The whole loop is written out: compilers keep some of its sums in memory, at half the speed.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/attention/kv_block.h"

namespace qvl::avx2 {

constexpr int64_t kPairRows = 4;

/// Sums of row r over pairs: [2 r] for columns 0 to 7 of the panel, [2 r + 1] for 8 to 15.
using PairSums = __m256i[2 * kPairRows];

// ymm0 to ymm7 hold the sums, ymm8 and ymm9 the panel's pair `u`, ymm10 a pair of one row for all lanes.
static_assert(kMaxBlockedWidth * sizeof(int16_t) == 256, "the distance of rows in the text below");
#define QVL_LOAD(u) "vmovdqu 64*" u "(%[b]), %%ymm8\n\tvmovdqu 64*" u "+32(%[b]), %%ymm9\n\t"
#define QVL_ROW(u, row, low, high)          \
  "vpbroadcastd 4*" u "+256*" row           \
  "(%[a]), %%ymm10\n\t"                     \
  "vpmaddwd %%ymm10, %%ymm8, %%ymm11\n\t"   \
  "vpmaddwd %%ymm10, %%ymm9, %%ymm10\n\t"   \
  "vpaddd %%ymm11, %%ymm" low ", %%ymm" low \
  "\n\t"                                    \
  "vpaddd %%ymm10, %%ymm" high ", %%ymm" high "\n\t"
#define QVL_ROWS(u) \
  QVL_ROW(u, "0", "0", "1") QVL_ROW(u, "1", "2", "3") QVL_ROW(u, "2", "4", "5") QVL_ROW(u, "3", "6", "7")
#define QVL_CLEAR(i) "vpxor %%xmm" i ", %%xmm" i ", %%xmm" i "\n\t"
#define QVL_STORE(i) "vmovdqa %%ymm" i ", 32*" i "(%[out])\n\t"

// Four pairs a round, then the rest one by one.
#define QVL_PRODUCTS(rows) \
  asm volatile(QVL_CLEAR("0") QVL_CLEAR("1") QVL_CLEAR("2") QVL_CLEAR("3") QVL_CLEAR("4") QVL_CLEAR("5") \
                   QVL_CLEAR("6") QVL_CLEAR("7")                                                         \
               "sub $4, %[n]\n\t"                                                                        \
               "jl 2f\n\t"                                                                               \
               ".p2align 5\n"                                                                            \
               "1:\n\t" QVL_LOAD("0") rows("0") QVL_LOAD("1") rows("1") QVL_LOAD("2") rows("2")          \
                   QVL_LOAD("3") rows("3")                                                               \
               "add $16, %[a]\n\t"                                                                       \
               "add $256, %[b]\n\t"                                                                      \
               "sub $4, %[n]\n\t"                                                                        \
               "jge 1b\n"                                                                                \
               "2:\n\t"                                                                                  \
               "add $4, %[n]\n\t"                                                                        \
               "jz 4f\n"                                                                                 \
               "3:\n\t" QVL_LOAD("0") rows("0")                                                          \
               "add $4, %[a]\n\t"                                                                        \
               "add $64, %[b]\n\t"                                                                       \
               "sub $1, %[n]\n\t"                                                                        \
               "jnz 3b\n"                                                                                \
               "4:\n\t" QVL_STORE("0") QVL_STORE("1") QVL_STORE("2") QVL_STORE("3") QVL_STORE("4")       \
                   QVL_STORE("5") QVL_STORE("6") QVL_STORE("7")                                          \
               : [a] "+r"(a), [b] "+r"(b), [n] "+r"(pairs)                                               \
               : [out] "r"(out)                                                                          \
               : "memory", "cc", "ymm0", "ymm1", "ymm2", "ymm3", "ymm4", "ymm5", "ymm6", "ymm7", "ymm8", \
                 "ymm9", "ymm10", "ymm11")

/// Sums of four rows. a: rows kMaxBlockedWidth apart. b: [pairs][16 columns][2]
[[gnu::always_inline]] static inline void pair_products(const int16_t* a, const std::byte* b, int64_t pairs,
                                                        PairSums& out) {
  QVL_PRODUCTS(QVL_ROWS);
}

#undef QVL_PRODUCTS
#undef QVL_STORE
#undef QVL_CLEAR
#undef QVL_ROWS
#undef QVL_ROW
#undef QVL_LOAD

}  // namespace qvl::avx2
