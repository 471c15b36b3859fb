#include "pipeline/memory_guard.h"

#include <gtest/gtest.h>

#include "base/error_testing.h"
#include "memory/memory_testing.h"

namespace qvl {
namespace {

TEST(MemoryGuard, says_once_that_there_is_not_enough_memory) {
  Ledger ledger(10 << 20);
  CountedMemory system;
  TensorPool pool(ledger, system, 0);
  const MemoryHome home{.pool = &pool, .part = MemoryPart::pixels};
  const auto message = [&](auto&& body) {
    return error_of(ErrorCode::limit, [&] { with_memory_for("for the patches of a.png", body); });
  };
  EXPECT_EQ(message([&] { (void)home.charge(11 << 20); }),
            "not enough memory for the patches of a.png: pixels 11.0 MiB: 10.0 MiB of 10.0 MiB free, 1.0 MiB "
            "missing (held: nothing)");
  EXPECT_EQ(
      message([&] { (void)home.allocate(uint64_t{1} << 60); }),
      "not enough memory for the patches of a.png: pixels 1048576.0 TiB: the largest block has 64.0 TiB");
  EXPECT_EQ(message([] { throw std::bad_alloc(); }), "not enough memory for the patches of a.png");
}

TEST(MemoryGuard, leaves_errors_that_say_it_already_as_they_are) {
  EXPECT_EQ(error_of(ErrorCode::limit,
                     [] {
                       with_memory_for("to answer",
                                       [] { with_memory_for("to look", [] { throw std::bad_alloc(); }); });
                     }),
            "not enough memory to look");
}

}  // namespace
}  // namespace qvl
