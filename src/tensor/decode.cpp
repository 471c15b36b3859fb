#include "tensor/decode.h"

#include <array>
#include <bit>
#include <cstring>

#include "base/error.h"

namespace qvl {
namespace {

uint8_t byte_at(const std::byte* p, size_t i) { return std::to_integer<uint8_t>(p[i]); }
int8_t signed_at(const std::byte* p, size_t i) { return std::bit_cast<int8_t>(p[i]); }
uint16_t u16_at(const std::byte* p) { return static_cast<uint16_t>(byte_at(p, 0) | byte_at(p, 1) << 8); }
float half_at(const std::byte* p) { return f16_to_f32(u16_at(p)); }

void decode_f32(const std::byte* source, size_t count, float* out) {
  std::memcpy(out, source, count * sizeof(float));
}

void decode_f16(const std::byte* source, size_t count, float* out) {
  for (size_t i = 0; i < count; ++i) out[i] = half_at(source + 2 * i);
}

void decode_bf16(const std::byte* source, size_t count, float* out) {
  for (size_t i = 0; i < count; ++i) out[i] = bf16_to_f32(u16_at(source + 2 * i));
}

// Block: d (f16), q (int8[32]).  w = d q
void decode_q8_0_block(const std::byte* block, float* out) {
  float d = half_at(block);
  for (size_t i = 0; i < 32; ++i) out[i] = d * signed_at(block, 2 + i);
}

// Block: d (f16), 32 nibbles in 16 bytes, the low ones first.  w = d (q - 8)
void decode_q4_0_block(const std::byte* block, float* out) {
  float d = half_at(block);
  for (size_t i = 0; i < 16; ++i) {
    uint8_t pair = byte_at(block, 2 + i);
    out[i] = d * static_cast<float>((pair & 15) - 8);
    out[i + 16] = d * static_cast<float>((pair >> 4) - 8);
  }
}

// Scale and minimum of one of the 8 sub-blocks of a Q4_K or Q5_K block, 6 bits each, packed into 12 bytes.
struct ScaleMin {
  float scale, min;
};

ScaleMin scale_min(const std::byte* packed, size_t j) {
  if (j < 4) {
    return {.scale = static_cast<float>(byte_at(packed, j) & 63),
            .min = static_cast<float>(byte_at(packed, j + 4) & 63)};
  }
  uint8_t low = byte_at(packed, j + 4);
  return {.scale = static_cast<float>((low & 15) | (byte_at(packed, j - 4) >> 6) << 4),
          .min = static_cast<float>((low >> 4) | (byte_at(packed, j) >> 6) << 4)};
}

// Block: d, dmin (f16), scales (12 bytes), nibbles (128 bytes): 8 sub-blocks of 32; two share 32 bytes, the
// first in the low nibbles.  w = d S q - dmin M
void decode_q4_k_block(const std::byte* block, float* out) {
  float d = half_at(block), dmin = half_at(block + 2);
  const std::byte* nibbles = block + 16;
  for (size_t s = 0; s < 8; ++s) {
    auto [scale, min] = scale_min(block + 4, s);
    for (size_t i = 0; i < 32; ++i) {
      int q = byte_at(nibbles, 32 * (s / 2) + i) >> (4 * (s % 2)) & 15;
      out[32 * s + i] = d * scale * static_cast<float>(q) - dmin * min;
    }
  }
}

// As Q4_K with a fifth bit: bit s of high[i] belongs to weight i of sub-block s.
void decode_q5_k_block(const std::byte* block, float* out) {
  float d = half_at(block), dmin = half_at(block + 2);
  const std::byte* high = block + 16;
  const std::byte* nibbles = block + 48;
  for (size_t s = 0; s < 8; ++s) {
    auto [scale, min] = scale_min(block + 4, s);
    for (size_t i = 0; i < 32; ++i) {
      int q = byte_at(nibbles, 32 * (s / 2) + i) >> (4 * (s % 2)) & 15;
      q |= (byte_at(high, i) >> s & 1) << 4;
      out[32 * s + i] = d * scale * static_cast<float>(q) - dmin * min;
    }
  }
}

// Block: low nibbles (128 bytes), high bit pairs (64), scales (int8[16], one for 16 weights), d (f16).
// w = d S (q - 32).  Each half of 128 weights has 64 bytes of nibbles and 32 of pairs; its four quarters of
// 32 take nibbles: low of the first 32 bytes, low of the second, high of the first, high of the second.
void decode_q6_k_block(const std::byte* block, float* out) {
  const std::byte* scales = block + 192;
  float d = half_at(block + 208);
  for (size_t e = 0; e < 256; ++e) {
    size_t half = e / 128, quarter = e % 128 / 32, i = e % 32;
    int low = byte_at(block, 64 * half + 32 * (quarter % 2) + i) >> (quarter < 2 ? 0 : 4) & 15;
    int high = byte_at(block + 128, 32 * half + i) >> (2 * quarter) & 3;
    out[e] = d * signed_at(scales, e / 16) * static_cast<float>((low | high << 4) - 32);
  }
}

template <DType dtype, void (*decode_block)(const std::byte*, float*)>
void decode_blocks(const std::byte* source, size_t count, float* out) {
  const DTypeInfo& type = info(dtype);
  for (size_t done = 0; done < count; done += type.weights_per_block) {
    decode_block(source, out + done);
    source += type.bytes_per_block;
  }
}

}  // namespace

float f16_to_f32(uint16_t bits) {
  uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  uint32_t exponent = bits >> 10 & 31;
  uint32_t mantissa = bits & 0x3FF;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000 | mantissa << 13);  // infinity, NaN
  if (exponent == 0) {  // zero, subnormal: mantissa 2^-24, exact in float32
    float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

uint16_t f32_to_f16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000)
    return static_cast<uint16_t>(sign | 0x7E00 | (magnitude >> 13 & 0x3FF));  // quiet NaN
  if (magnitude >= 0x477FF000) return static_cast<uint16_t>(sign | 0x7C00);   // from 65520 on: infinity
  if (magnitude < 0x38800000) {                                               // below 2^-14: subnormal
    // Adding 0.5 leaves 2^-24 as the unit of the last place, and the addition rounds to nearest even.
    float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0.5f)));
  }
  uint32_t odd = magnitude >> 13 & 1;
  return static_cast<uint16_t>(sign | (magnitude - (112u << 23) + 0xFFF + odd) >> 13);
}

uint16_t f32_to_bf16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<uint16_t>(bits >> 16 | 0x40);  // quiet NaN
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

DecodeRow decoder(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return decode_f32;
    case DType::f16:
      return decode_f16;
    case DType::bf16:
      return decode_bf16;
    case DType::q8_0:
      return decode_blocks<DType::q8_0, decode_q8_0_block>;
    case DType::q4_0:
      return decode_blocks<DType::q4_0, decode_q4_0_block>;
    case DType::q4_k:
      return decode_blocks<DType::q4_k, decode_q4_k_block>;
    case DType::q5_k:
      return decode_blocks<DType::q5_k, decode_q5_k_block>;
    case DType::q6_k:
      return decode_blocks<DType::q6_k, decode_q6_k_block>;
  }
  QVL_CHECK(false);
}

}  // namespace qvl
