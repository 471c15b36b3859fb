#include "memory/admission.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace qvl {
namespace {

constexpr uint64_t kMebibyte = 1 << 20;

TEST(Admission, sets_all_parts_down_or_none) {
  Ledger ledger(100 * kMebibyte);
  const MemoryNeed needs[] = {{MemoryPart::kv, 30 * kMebibyte}, {MemoryPart::vision, 40 * kMebibyte}};
  const auto first = admit(ledger, "request: needs", needs);
  EXPECT_EQ(ledger.report().of(MemoryPart::kv).held_bytes, 30 * kMebibyte);
  EXPECT_EQ(ledger.report().of(MemoryPart::vision).held_bytes, 40 * kMebibyte);
  EXPECT_THROW(admit(ledger, "request: needs", needs), Error);
  EXPECT_EQ(ledger.report().held_bytes, 70 * kMebibyte);
}

TEST(Admission, tells_the_sum_and_every_part_in_one_line) {
  Ledger ledger(2048 * kMebibyte);
  const auto program = ledger.reserve(MemoryPart::program, 256 * kMebibyte);
  const MemoryNeed needs[] = {{MemoryPart::kv, 922 * kMebibyte},
                              {MemoryPart::vision, 1126 * kMebibyte},
                              {MemoryPart::caches, 0},
                              {MemoryPart::pixels, 317 * kMebibyte}};
  try {
    admit(ledger, "request: needs", needs);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::limit);
    EXPECT_STREQ(
        error.what(),
        "request: needs 2.31 GiB (kv 0.90, vision 1.10, pixels 0.31), 1.75 GiB are free of the limit "
        "of 2.00 GiB (--memory-limit)");
  }
}

TEST(Admission, asks_caches_first) {
  Ledger ledger(100);
  auto cached = *ledger.reserve(MemoryPart::caches, 80);
  const auto cache = ledger.reclaimers().add(ReclaimStage::caches, [&](uint64_t wanted) {
    cached.shrink(wanted);
    return wanted;
  });
  const MemoryNeed need{MemoryPart::kv, 50};
  const auto granted = admit(ledger, "request: needs", {&need, 1});
  EXPECT_EQ(cached.bytes(), 50u);
}

}  // namespace
}  // namespace qvl
