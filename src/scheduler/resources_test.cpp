#include "scheduler/resources.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

#include "base/error.h"

namespace qvl::scheduling {
namespace {

constexpr uint64_t kHuge = UINT64_MAX;

TEST(Resources, names_are_read_back) {
  for (Resource resource : kResources) EXPECT_EQ(resource_named(to_string(resource)), resource);
  for (const char* other : {"", "Memory", "memory ", "gpu"}) EXPECT_FALSE(resource_named(other)) << other;
}

TEST(Resources, are_held_up_to_the_share_and_not_one_more) {
  Resources resources({.compute = 4000, .memory = 1001, .io = 1, .gpu_memory = 0}, 700);
  EXPECT_EQ(resources.limits(), (Amounts{.compute = 2800, .memory = 700, .io = 0, .gpu_memory = 0}));
  EXPECT_FALSE(resources.reserve({.compute = 2800, .memory = 699}));
  EXPECT_FALSE(resources.reserve({.memory = 1}));
  const auto refusal = resources.reserve({.memory = 1});
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->message(), "memory: 1 bytes asked, 0 of 700 free");
  EXPECT_TRUE(refusal->can_ever_fit());
  EXPECT_EQ(resources.held(), (Amounts{.compute = 2800, .memory = 700}));
}

TEST(Resources, are_held_up_to_the_capacities_by_one_that_may) {
  Resources resources({.memory = 100, .io = 2}, 500);
  const auto refusal = resources.refusal_of({.memory = 101}, Bound::capacities);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->message(), "memory: 101 bytes asked, 100 of 100 free");
  EXPECT_FALSE(refusal->can_ever_fit());
  EXPECT_FALSE(resources.reserve({.memory = 60}, Bound::capacities));
  EXPECT_EQ(resources.reserve({.memory = 1})->message(), "memory: 1 bytes asked, 0 of 50 free");
  EXPECT_FALSE(resources.reserve({.memory = 40, .io = 2}, Bound::capacities));
  EXPECT_TRUE(resources.reserve({.memory = 1}, Bound::capacities));
}

TEST(Resources, a_refusal_takes_nothing_of_what_was_free) {
  Resources resources({.compute = 1000, .memory = 100, .io = 4, .gpu_memory = 50}, 1000);
  struct Case {
    Amounts asked;
    const char* message;
    bool can_ever_fit;
  };
  ASSERT_FALSE(resources.reserve({.compute = 400, .memory = 60, .io = 3, .gpu_memory = 50}));
  const Amounts before = resources.held();
  for (const Case& c : {
           Case{{.compute = 700, .memory = 1},
                "compute: 700 permille of a processor asked, 600 of 1000 free",
                true},
           Case{{.compute = 1, .memory = 41}, "memory: 41 bytes asked, 40 of 100 free", true},
           Case{{.memory = 40, .io = 5}, "io: 5 operations asked, 1 of 4 free", false},
           Case{{.compute = 601, .gpu_memory = 51}, "gpu_memory: 51 bytes asked, 0 of 50 free", false},
           Case{{.compute = 1001, .gpu_memory = 51},
                "compute: 1001 permille of a processor asked, 600 of 1000 free",
                false},
           Case{{.memory = 40, .gpu_memory = kHuge},
                "gpu_memory: 18446744073709551615 bytes asked, 0 of 50 free",
                false},
       }) {
    const auto refusal = resources.reserve(c.asked);
    ASSERT_TRUE(refusal) << c.message;
    EXPECT_EQ(refusal->message(), c.message);
    EXPECT_EQ(refusal->can_ever_fit(), c.can_ever_fit);
    EXPECT_EQ(resources.held(), before);
  }
}

TEST(Resources, the_largest_numbers_do_not_wrap) {
  Resources resources({.memory = kHuge}, 999);
  // floor(999/1000 * (2^64 - 1)), by exact arithmetic.
  EXPECT_EQ(resources.limits().memory, 18428297329635842063u);
  EXPECT_FALSE(resources.reserve({.memory = 18428297329635842063u}));
  EXPECT_TRUE(resources.reserve({.memory = 1}));
  EXPECT_TRUE(resources.reserve({.memory = kHuge}));
  resources.release({.memory = 18428297329635842063u});
  EXPECT_EQ(resources.held(), Amounts{});
}

TEST(Resources, a_capacity_that_shrinks_below_what_is_held_stops_new_grants_only) {
  Resources resources({.memory = 100}, 1000);
  ASSERT_FALSE(resources.reserve({.memory = 80}));
  resources.set_capacities({.memory = 50});
  EXPECT_EQ(resources.reserve({.memory = 1})->message(), "memory: 1 bytes asked, 0 of 50 free");
  EXPECT_FALSE(resources.reserve({}));
  resources.release({.memory = 40});
  EXPECT_EQ(resources.reserve({.memory = 11})->message(), "memory: 11 bytes asked, 10 of 50 free");
  EXPECT_FALSE(resources.reserve({.memory = 10}));
}

TEST(Resources, the_share_is_one_to_a_thousand) {
  for (int permille : {-1, 0, 1001}) {
    try {
      Resources resources({}, permille);
      FAIL() << permille;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage);
      EXPECT_EQ(
          error.what(),
          fmt::format("share of resources to reserve: found {} permille, expected 1 to 1000", permille));
    }
  }
}

TEST(Resources, giving_back_more_than_is_held_stops_the_program) {
  Resources resources({.memory = 100}, 1000);
  ASSERT_FALSE(resources.reserve({.memory = 1}));
  EXPECT_DEATH(resources.release({.memory = 2}), "internal error");
}

TEST(ResourceHold, releases_once_whatever_way_it_goes) {
  Resources resources({.memory = 100, .io = 2}, 1000);
  {
    auto outcome = resources.hold({.memory = 60, .io = 1});
    ASSERT_TRUE(std::holds_alternative<ResourceHold>(outcome));
    ResourceHold first = std::get<ResourceHold>(std::move(outcome));
    ResourceHold second = std::move(first);
    EXPECT_EQ(first.amounts(), Amounts{});  // NOLINT: the moved-from state is part of the contract
    EXPECT_EQ(second.amounts(), (Amounts{.memory = 60, .io = 1}));
    second = ResourceHold();
    EXPECT_EQ(resources.held(), Amounts{});
    second = std::get<ResourceHold>(resources.hold({.memory = 10}));
    EXPECT_EQ(resources.held(), (Amounts{.memory = 10}));
    EXPECT_TRUE(std::holds_alternative<ResourceRefusal>(resources.hold({.memory = 91})));
  }
  EXPECT_EQ(resources.held(), Amounts{});
}

TEST(ResourceHold, a_thousand_holds_in_random_order_balance) {
  std::mt19937 random(7);
  Resources resources({.compute = 5000, .memory = 1 << 20, .io = 64, .gpu_memory = 1 << 10}, 900);
  std::vector<ResourceHold> holds;
  for (int i = 0; i < 20'000; ++i) {
    if (random() % 2 == 0 || holds.empty()) {
      auto outcome = resources.hold({.compute = random() % 300,
                                     .memory = random() % (1 << 16),
                                     .io = random() % 4,
                                     .gpu_memory = random() % 64});
      if (auto* hold = std::get_if<ResourceHold>(&outcome)) holds.push_back(std::move(*hold));
    } else {
      std::swap(holds[random() % holds.size()], holds.back());
      holds.pop_back();
    }
    Amounts sum;
    for (const auto& hold : holds) {
      for (Resource resource : kResources) sum[resource] += hold.amounts()[resource];
    }
    ASSERT_EQ(resources.held(), sum);
    for (Resource resource : kResources) ASSERT_LE(sum[resource], resources.limits()[resource]);
  }
  holds.clear();
  EXPECT_EQ(resources.held(), Amounts{});
}

}  // namespace
}  // namespace qvl::scheduling
