// Attention over pages that lie anywhere is attention over one piece, bit for bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/attention/blocked_attention.h"
#include "kernels/attention/kv_testing.h"

namespace qvl {
namespace {

// One piece of memory cut into pages in a random order, with something else before and behind what a page is
// looked at for.
class ScatteredPages {
 public:
  ScatteredPages(int64_t pages, int64_t bytes, int64_t offset, std::mt19937& random)
      : memory_(static_cast<size_t>(pages * (bytes + 2 * offset)), std::byte{0x7F}) {
    std::vector<int64_t> order(static_cast<size_t>(pages));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    for (int64_t place : order) table_.push_back(memory_.data() + place * (bytes + 2 * offset));
  }
  std::byte* const* table() const { return table_.data(); }

 private:
  std::vector<std::byte> memory_;  // 0x7F7F... is a large float, and an integer that no block has
  std::vector<std::byte*> table_;
};

struct Shape {
  int64_t kv_heads, heads, width, queries, keys, first;

  int64_t pages() const { return (keys + kBlockKeys - 1) / kBlockKeys; }
};

Shape random_shape(std::mt19937& random) {
  const int64_t kv_heads = 1 + random() % 3, queries = 1 + random() % 40, first = random() % 400;
  const int64_t widths[] = {2, 30, 32, 72, 128};
  return {.kv_heads = kv_heads,
          .heads = kv_heads * static_cast<int64_t>(1 + random() % 3),
          .width = widths[random() % 5],
          .queries = queries,
          .keys = first + queries,
          .first = first};
}

std::vector<float> attention_over(Isa isa, const Shape& shape, const KvBlocks& kv,
                                  const std::vector<float>& q) {
  std::vector<float> out(q.size(), NAN);
  const BlockedAttentionArgs args = {.q = q.data(),
                                     .kv = kv,
                                     .out = out.data(),
                                     .queries = shape.queries,
                                     .keys = shape.keys,
                                     .first = shape.first,
                                     .heads = shape.heads,
                                     .kv_heads = shape.kv_heads,
                                     .q_stride = shape.heads * shape.width,
                                     .mask = AttentionArgs::Mask::causal};
  const int64_t rows = shape.queries * (shape.heads / shape.kv_heads);
  for (int64_t head = 0; head < shape.kv_heads; ++head) {
    blocked_attention(isa)(args, {.kv_head = head, .begin = 0, .end = rows});
  }
  return out;
}

TEST(AttentionPages, of_blocks_may_lie_anywhere) {
  std::mt19937 random(11);
  for (int round = 0; round < 60; ++round) {
    const KvInteger integer = round % 2 == 0 ? KvInteger::i16 : KvInteger::i8;
    const Shape shape = random_shape(random);
    const auto q = random_rows(shape.queries * shape.heads * shape.width, random()),
               k = random_rows(shape.keys * shape.kv_heads * shape.width, random()),
               v = random_rows(shape.keys * shape.kv_heads * shape.width, random());
    OwnedKv whole({.integer = integer, .width = shape.width, .tokens = shape.keys, .heads = shape.kv_heads},
                  k, v);
    const int64_t block_bytes = whole.view().layout().bytes(), bytes = shape.kv_heads * block_bytes,
                  offset = static_cast<int64_t>(random() % 3) * bytes;
    const ScatteredPages pages(shape.pages(), bytes, offset, random);
    const KvBlocks scattered{.data = nullptr,
                             .head_stride = block_bytes,
                             .width = shape.width,
                             .integer = integer,
                             .pages = pages.table(),
                             .page_offset = offset};
    for (int64_t page = 0; page < shape.pages(); ++page) {
      std::fill_n(scattered.block(0, page), bytes, std::byte{0});
    }
    for (int64_t token = 0; token < shape.keys; ++token) {
      for (int64_t head = 0; head < shape.kv_heads; ++head) {
        const int64_t at = (token * shape.kv_heads + head) * shape.width;
        write_kv_entry(scattered,
                       {.head = head, .token = token, .key = k.data() + at, .value = v.data() + at},
                       kKvRoundingScalar);
      }
    }
    for (int64_t head = 0; head < shape.kv_heads; ++head) {
      for (int64_t page = 0; page < shape.pages(); ++page) {
        ASSERT_TRUE(std::equal(whole.view().block(head, page), whole.view().block(head, page) + block_bytes,
                               scattered.block(head, page)));
      }
    }
    for (Isa isa : all_isas()) {
      if (!supported(isa)) continue;
      ASSERT_EQ(attention_over(isa, shape, scattered, q), attention_over(isa, shape, whole.view(), q))
          << name_of(isa) << " width " << shape.width << " keys " << shape.keys;
    }
  }
}

TEST(AttentionPages, of_rows_may_lie_anywhere) {
  std::mt19937 random(12);
  for (int round = 0; round < 60; ++round) {
    const Shape shape = random_shape(random);
    const int64_t stride = shape.kv_heads * shape.width;
    const auto q = random_rows(shape.queries * shape.heads * shape.width, random()),
               k = random_rows(shape.keys * stride, random()), v = random_rows(shape.keys * stride, random());
    std::vector<float> out(q.size(), NAN), expected(q.size(), NAN), scores(static_cast<size_t>(shape.keys));
    AttentionArgs args = {.q = q.data(),
                          .k = k.data(),
                          .v = v.data(),
                          .out = expected.data(),
                          .queries = shape.queries,
                          .keys = shape.keys,
                          .first = shape.first,
                          .heads = shape.heads,
                          .kv_heads = shape.kv_heads,
                          .head_dim = shape.width,
                          .q_stride = shape.heads * shape.width,
                          .kv_stride = stride,
                          .mask = AttentionArgs::Mask::causal};
    const auto run = [&] {
      for (int64_t head = 0; head < shape.heads; ++head) {
        attention_scalar(args, {.head = head, .begin = 0, .end = shape.queries}, scores.data());
      }
    };
    run();
    const int64_t piece = kBlockKeys * stride, before = static_cast<int64_t>(random() % 3) * stride;
    const ScatteredPages pages(shape.pages(), 2 * piece * 4, before * 4, random);
    args.paged = {.pages = pages.table(), .keys = before + piece, .values = before};
    args.k = args.v = nullptr;
    args.out = out.data();
    for (int64_t token = 0; token < shape.keys; ++token) {
      std::byte* page = pages.table()[token / kBlockKeys];
      const int64_t row = token % kBlockKeys * stride;
      std::memcpy(page + (args.paged.keys + row) * 4, k.data() + token * stride,
                  static_cast<size_t>(stride * 4));
      std::memcpy(page + (args.paged.values + row) * 4, v.data() + token * stride,
                  static_cast<size_t>(stride * 4));
    }
    run();
    ASSERT_EQ(out, expected) << "width " << shape.width << " keys " << shape.keys;
  }
}

}  // namespace
}  // namespace qvl
