#include "scheduler/resource_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/error.h"

namespace qvl::scheduling {
namespace {

using testing::ElementsAre;

ResourceQueueOptions options_of(Algorithm algorithm) {
  return {.capacities = {.compute = 4000, .memory = 1000, .io = 10}, .algorithm = algorithm};
}

// Tickets in the order of their grants, until none fits.
std::vector<uint64_t> all_grants(ResourceQueue& queue) {
  std::vector<uint64_t> tickets;
  while (const auto grant = queue.allocate_resources()) tickets.push_back(grant->ticket);
  return tickets;
}

TEST(ResourceQueue, grants_what_was_asked_up_to_the_reserved_share) {
  ResourceQueue queue(options_of(Algorithm::round_robin));
  EXPECT_FALSE(queue.allocate_resources());
  const uint64_t first = queue.request_resources("memory", 700);
  const uint64_t second = queue.request_resources("memory", 1);
  EXPECT_NE(first, second);
  const auto grant = queue.allocate_resources();
  ASSERT_TRUE(grant);
  EXPECT_EQ(grant->ticket, first);
  EXPECT_EQ(grant->resource, Resource::memory);
  EXPECT_EQ(grant->amount, 700u);
  EXPECT_FALSE(queue.allocate_resources());
  queue.release_resources("memory", 1);
  EXPECT_EQ(queue.allocate_resources()->ticket, second);
  queue.release_resources("memory", 700);
  EXPECT_EQ(queue.status().usage[1].held, 0u);
}

TEST(ResourceQueue, refuses_what_is_out_of_range_by_name) {
  ResourceQueue queue(options_of(Algorithm::round_robin));
  const auto message_of = [&](auto call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage);
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message_of([&] { queue.request_resources("cpu\n", 1); }),
            "resource: found \"cpu\\x0a\", expected compute, memory, io or gpu_memory");
  EXPECT_EQ(message_of([&] { queue.request_resources("memory", 0); }),
            "amount: found 0, expected 1 to 700 (memory: all that may be held)");
  EXPECT_EQ(message_of([&] { queue.request_resources("memory", 701); }),
            "amount: found 701, expected 1 to 700 (memory: all that may be held)");
  EXPECT_EQ(message_of([&] { queue.request_resources("gpu_memory", 1); }),
            "amount: found 1, but no gpu_memory may be held");
  EXPECT_EQ(message_of([&] { queue.request_resources("io", 1, -1); }), "priority: found -1, expected 0 to 9");
  EXPECT_EQ(message_of([&] { queue.request_resources("io", 1, 10); }), "priority: found 10, expected 0 to 9");
  EXPECT_EQ(message_of([&] { queue.release_resources("io", 1); }), "amount: found 1, but no io is held");
  EXPECT_EQ(message_of([&] { queue.release_resources("disk", 1); }),
            "resource: found \"disk\", expected compute, memory, io or gpu_memory");
  queue.request_resources("io", 3);
  ASSERT_TRUE(queue.allocate_resources());
  EXPECT_EQ(message_of([&] { queue.release_resources("io", 4); }),
            "amount: found 4, expected 1 to 3 (io: all that is held)");
  EXPECT_EQ(message_of([&] { ResourceQueue({.reservation_permille = 0}); }),
            "share of resources to reserve: found 0 permille, expected 1 to 1000");
}

TEST(ResourceQueue, is_bounded) {
  ResourceQueueOptions options = options_of(Algorithm::priority);
  options.max_waiting = 2;
  ResourceQueue queue(options);
  queue.request_resources("io", 1);
  const uint64_t second = queue.request_resources("memory", 1);
  try {
    queue.request_resources("compute", 1);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::limit);
    EXPECT_STREQ(error.what(), "2 requests for resources wait already, at most 2 may");
  }
  EXPECT_TRUE(queue.cancel(second));
  EXPECT_FALSE(queue.cancel(second));
  EXPECT_NO_THROW(queue.request_resources("compute", 1));
}

TEST(ResourceQueue, round_robin_lets_kinds_take_turns) {
  ResourceQueue queue(options_of(Algorithm::round_robin));
  for (int i = 0; i < 3; ++i) queue.request_resources("memory", 100);  // 1 to 3
  for (int i = 0; i < 2; ++i) queue.request_resources("compute", 100, 9);
  queue.request_resources("io", 1);
  EXPECT_THAT(all_grants(queue), ElementsAre(4, 1, 6, 5, 2, 3));
}

TEST(ResourceQueue, priority_takes_the_most_urgent_of_all_kinds_then_the_first) {
  ResourceQueue queue(options_of(Algorithm::priority));
  queue.request_resources("memory", 100, 1);
  queue.request_resources("compute", 100, 2);
  queue.request_resources("memory", 100, 2);
  queue.request_resources("io", 1, 9);
  queue.request_resources("memory", 100);
  EXPECT_THAT(all_grants(queue), ElementsAre(4, 2, 3, 1, 5));
}

TEST(ResourceQueue, priority_ages_those_that_are_passed) {
  ResourceQueueOptions options = options_of(Algorithm::priority);
  ResourceQueue queue(options);
  const uint64_t low = queue.request_resources("memory", 1);
  int passed = 0;
  for (;; ++passed) {
    queue.request_resources("memory", 1, 2);
    if (queue.allocate_resources()->ticket == low) break;
    ASSERT_LT(passed, 100);
  }
  EXPECT_EQ(passed, 16);  // two priorities of eight grants each
}

TEST(ResourceQueue, a_large_request_is_not_passed_by_small_ones_of_its_kind) {
  for (Algorithm algorithm : {Algorithm::round_robin, Algorithm::priority, Algorithm::load_balanced}) {
    ResourceQueue queue(options_of(algorithm));
    queue.request_resources("memory", 100);
    ASSERT_TRUE(queue.allocate_resources());
    const uint64_t large = queue.request_resources("memory", 700);
    queue.request_resources("memory", 1);
    const uint64_t other = queue.request_resources("io", 1);
    EXPECT_EQ(queue.allocate_resources()->ticket, other);
    EXPECT_FALSE(queue.allocate_resources());
    queue.release_resources("memory", 100);
    EXPECT_EQ(queue.allocate_resources()->ticket, large);
  }
}

TEST(ResourceQueue, load_balanced_takes_the_kind_that_is_least_held) {
  ResourceQueue queue(options_of(Algorithm::load_balanced));
  for (int i = 0; i < 2; ++i) queue.request_resources("compute", 1400);  // half of the limit each
  for (int i = 0; i < 3; ++i) queue.request_resources("memory", 140);    // a fifth
  EXPECT_THAT(all_grants(queue), ElementsAre(1, 3, 4, 5, 2));
}

TEST(ResourceQueue, without_scheduling_everything_is_granted_in_order_of_arrival) {
  ResourceQueueOptions options = options_of(Algorithm::priority);
  options.scheduling = Scheduling::disabled;
  ResourceQueue queue(options);
  queue.request_resources("memory", 5000, 0);
  queue.request_resources("gpu_memory", 1, 9);
  queue.request_resources("memory", 5000, 9);
  EXPECT_THAT(all_grants(queue), ElementsAre(1, 2, 3));
  EXPECT_EQ(queue.status().usage[1].held, 10'000u);
  EXPECT_EQ(queue.status().usage[1].capacity, 1000u);
  queue.release_resources("memory", 10'000);
}

TEST(ResourceQueue, tells_its_state_as_json) {
  ResourceQueue queue(options_of(Algorithm::load_balanced));
  queue.request_resources("memory", 300);
  queue.request_resources("memory", 300);
  ASSERT_TRUE(queue.allocate_resources());
  EXPECT_EQ(to_json(queue.status()), Json::parse(R"({
    "resource_usage": {"compute": {"held": 0, "limit": 2800, "capacity": 4000},
                       "memory": {"held": 300, "limit": 700, "capacity": 1000},
                       "io": {"held": 0, "limit": 7, "capacity": 10},
                       "gpu_memory": {"held": 0, "limit": 0, "capacity": 0}},
    "resource_reservation_ratio": 0.7,
    "scheduling_algorithm": "load_balanced",
    "queue_sizes": {"compute": 0, "memory": 1, "io": 0, "gpu_memory": 0}})"));
}

TEST(ResourceQueue, many_threads_never_hold_more_than_the_limit_and_leave_nothing) {
  for (Algorithm algorithm : {Algorithm::round_robin, Algorithm::priority, Algorithm::load_balanced}) {
    ResourceQueue queue(options_of(algorithm));
    std::atomic<uint64_t> memory{0}, granted{0};
    std::atomic<bool> exceeded{false};
    const auto work = [&](uint64_t seed) {
      for (uint64_t i = 0; i < 2000; ++i) {
        if (queue.cancel(queue.request_resources("memory", 1 + (seed + i) % 300, static_cast<int>(i % 3))) &&
            i % 7 == 0) {
          continue;
        }
        queue.request_resources("memory", 1 + (seed * i) % 200, static_cast<int>(i % 10));
        const auto grant = queue.allocate_resources();
        if (!grant) continue;
        ++granted;
        if (memory.fetch_add(grant->amount) + grant->amount > 700) exceeded = true;
        memory.fetch_sub(grant->amount);
        queue.release_resources("memory", grant->amount);
        for (const auto& usage : queue.status().usage) {
          if (usage.held > usage.limit) exceeded = true;
        }
      }
    };
    std::vector<std::thread> threads;
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      threads.emplace_back([&, seed] {
        try {
          work(seed);
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::limit);  // the queue may fill up
        }
      });
    }
    for (auto& thread : threads) thread.join();
    while (const auto grant = queue.allocate_resources()) queue.release_resources("memory", grant->amount);
    EXPECT_FALSE(exceeded);
    EXPECT_GT(granted, 100u);
    EXPECT_EQ(queue.status().usage[1].held, 0u);
    EXPECT_EQ(queue.status().usage[1].waiting, 0u);
  }
}

}  // namespace
}  // namespace qvl::scheduling
