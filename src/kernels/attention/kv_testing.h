// Blocks of keys and values for tests: filled from rows, and read back.
#pragma once

#include <cstring>
#include <random>
#include <vector>

#include "kernels/attention/kv_block.h"

namespace qvl {

/// Normally distributed, variance 1.
inline std::vector<float> random_rows(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> out(static_cast<size_t>(count));
  for (float& value : out) value = normal(random);
  return out;
}

/// What a test fills blocks with.
struct KvShape {
  KvInteger integer;
  int64_t width, tokens, heads = 1;
};

/// Blocks of all tokens that own their memory. k, v: [tokens, heads, width]
struct OwnedKv {
  std::vector<std::byte> memory;
  KvShape shape;

  OwnedKv(const KvShape& of, const std::vector<float>& k, const std::vector<float>& v) : shape(of) {
    const int64_t blocks = (of.tokens + kBlockKeys - 1) / kBlockKeys;
    memory.resize(static_cast<size_t>(of.heads * blocks * KvBlockLayout{of.width, of.integer}.bytes()));
    for (int64_t token = 0; token < of.tokens; ++token) {
      for (int64_t head = 0; head < of.heads; ++head) {
        const int64_t at = (token * of.heads + head) * of.width;
        write_kv_entry(view(), {.head = head, .token = token, .key = k.data() + at, .value = v.data() + at},
                       kKvRoundingScalar);
      }
    }
  }
  KvBlocks view() {
    return {memory.data(), static_cast<int64_t>(memory.size()) / shape.heads, shape.width, shape.integer};
  }
};

/// The numbers of one entry, found by the description of the layout alone.
struct StoredEntry {
  std::vector<float> key, value;
};

inline StoredEntry stored_entry(const KvBlocks& kv, int64_t head, int64_t token) {
  const bool bytes = kv.integer == KvInteger::i8;
  const int64_t t = token % 64, groups = (kv.width + 31) / 32, padded = (kv.width + 15) / 16 * 16;
  const std::byte* integers = kv.block(head, token / 64);
  const std::byte* factors = integers + (64 * kv.width + 64 * padded) * (bytes ? 1 : 2);
  const std::byte* scales = factors + (bytes ? 2 * groups * 64 : 0);
  const auto integer = [&](int64_t index) {
    uint16_t word = 0;
    std::memcpy(&word, integers + (bytes ? index : 2 * index), bytes ? 1 : 2);
    return bytes ? int{static_cast<int8_t>(word)} : int{static_cast<int16_t>(word)};
  };
  const auto step = [&](int64_t kind, int64_t i) {  // kind: 0 for keys, 1 for values
    float scale = 0;
    std::memcpy(&scale, scales + (kind * 64 + t) * 4, sizeof scale);
    return bytes
               ? scale * static_cast<float>(std::to_integer<int>(factors[(kind * groups + i / 32) * 64 + t]))
               : scale;
  };
  StoredEntry out;
  for (int64_t i = 0; i < kv.width; ++i) {
    const int key = integer((t / 16 * kv.width / 2 + i / 2) * 32 + t % 16 * 2 + i % 2);
    const int value = integer(64 * kv.width + (i / 16 * 32 + t / 2) * 32 + i % 16 * 2 + t % 2);
    out.key.push_back(step(0, i) * static_cast<float>(key));
    out.value.push_back(step(1, i) * static_cast<float>(value));
  }
  return out;
}

}  // namespace qvl
