// The table of fields: defaults, ranges, text in and out.
#include "qvl/config_fields.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "optimizer/config_testing.h"

namespace qvl {
namespace {

using Config = SystemOptimizationConfig;

const ConfigField& field(std::string_view name) {
  for (const ConfigField& row : config_fields()) {
    if (row.name == name) return row;
  }
  throw std::out_of_range(std::string(name));
}

std::string invalid(const Config& config) {
  return refusal(ErrorCode::usage, [&] { validate(config); });
}

TEST(ConfigFields, have_the_names_defaults_and_ranges_that_programs_rely_on) {
  struct Row {
    std::string name, value, expected;
  };
  const std::string threads = "an integer from 1 to 1024", yes_no = "true or false";
  const std::vector<Row> rows = {
      {"num_compute_threads", "4", threads},
      {"num_io_threads", "2", threads},
      {"num_preprocess_threads", "4", threads},
      {"thread_priority", "1", "an integer from 0 to 2"},
      {"cpu_affinity_mask", "none",
       "a mask of at least one processor, like 0xff, of at most 8192 bits, or none"},
      {"scheduler_policy", "performance", "one of performance, balanced, power_save"},
      {"memory_limit_ratio", "0.8", "a number from 0.05 to 1"},
      {"memory_pool_size", "268435456", "an integer from 0 to 1125899906842624"},
      {"memory_cleanup_interval", "10", "an integer from 1 to 1000000"},
      {"enable_profiling", "true", yes_no},
      {"profile_interval", "1", "a number from 0.01 to 3600"},
      {"profile_memory", "true", yes_no},
      {"profile_compute", "true", yes_no},
      {"resource_scheduling_enabled", "true", yes_no},
      {"scheduling_algorithm", "round_robin", "one of round_robin, priority, load_balanced"},
      {"resource_reservation_ratio", "0.7", "a number from 0.05 to 1"},
      {"dynamic_resource_adjustment", "true", yes_no},
      {"optimization_level", "3", "an integer from 0 to 3"}};
  const auto fields = config_fields();
  ASSERT_EQ(fields.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(fields[i].name, rows[i].name);
    EXPECT_EQ(value_text(fields[i], Config{}), rows[i].value) << rows[i].name;
    EXPECT_EQ(expected(fields[i]), rows[i].expected) << rows[i].name;
    EXPECT_FALSE(fields[i].description.empty());
  }
  EXPECT_EQ(option_name(field("memory_limit_ratio")), "--memory-limit-ratio");
}

TEST(ConfigFields, designated_initialisers_follow_the_order_of_the_table) {
  const Config config{.num_compute_threads = 4,
                      .num_io_threads = 2,
                      .cpu_affinity_mask = 0xF,
                      .memory_limit_ratio = 0.7,
                      .scheduling_algorithm = SchedulingAlgorithm::load_balanced};
  EXPECT_EQ(value_text(field("scheduling_algorithm"), config), "load_balanced");
  EXPECT_EQ(value_text(field("cpu_affinity_mask"), config), "0xf");
  EXPECT_NO_THROW(validate(config));
}

TEST(ConfigFields, take_texts_within_their_range_and_change_nothing_for_others) {
  struct Row {
    std::string name;
    std::vector<std::string> good, bad;
  };
  const std::vector<std::string> no_integer = {
      "", " 1", "1 ", "1.0", "1e2", "abc", "0x10", "+1", "-1", "99999999999999999999", "1\n"};
  std::vector<Row> rows = {
      {"num_compute_threads", {"1", "1024"}, {"0", "1025"}},
      {"thread_priority", {"0", "2"}, {"3"}},
      {"memory_pool_size", {"0", "1125899906842624"}, {"1125899906842625"}},
      {"optimization_level", {"0", "3"}, {"4"}},
  };
  for (Row& row : rows) row.bad.insert(row.bad.end(), no_integer.begin(), no_integer.end());
  rows.push_back(
      {"memory_limit_ratio", {"0.05", "1", "1e-1"}, {"0.049", "1.01", "nan", "inf", "0,5", "", "0.5 "}});
  rows.push_back({"enable_profiling", {"true", "false"}, {"1", "yes", "True", ""}});
  rows.push_back({"scheduler_policy", {"balanced", "power_save"}, {"", "fast", "Balanced"}});
  rows.push_back(
      {"cpu_affinity_mask",
       {"none", "1", "0xFF", "0x" + std::string(2048, 'f')},
       {"", "0", "0x", "0x0", "-1", "0xfg", "ff", "18446744073709551616", "0x" + std::string(2049, 'f')}});
  for (const Row& row : rows) {
    for (const std::string& text : row.good) {
      Config config;
      EXPECT_TRUE(set_from_text(field(row.name), text, config)) << row.name << " " << text;
      EXPECT_NO_THROW(validate(config));
    }
    for (const std::string& text : row.bad) {
      Config config;
      EXPECT_FALSE(set_from_text(field(row.name), text, config)) << row.name << " " << text;
      EXPECT_EQ(config, Config{});
    }
  }
}

TEST(ConfigFields, show_values_that_read_back_as_the_same_numbers) {
  const Config config{.cpu_affinity_mask = 5,
                      .memory_limit_ratio = 0.1 + 0.2,
                      .profile_interval = 1.0 / 3.0,
                      .profile_memory = false};
  Config back;
  for (const ConfigField& row : config_fields()) {
    EXPECT_TRUE(set_from_text(row, value_text(row, config), back)) << row.name;
  }
  EXPECT_EQ(back, config);
}

TEST(Validate, names_the_field_what_was_found_and_what_was_expected) {
  EXPECT_EQ(invalid({.num_compute_threads = 0}),
            "num_compute_threads: found 0, expected an integer from 1 to 1024");
  EXPECT_EQ(invalid({.memory_limit_ratio = 1.7}),
            "memory_limit_ratio: found 1.7, expected a number from 0.05 to 1");
  EXPECT_EQ(invalid({.memory_limit_ratio = std::numeric_limits<double>::quiet_NaN()}),
            "memory_limit_ratio: found nan, expected a number from 0.05 to 1");
  EXPECT_EQ(invalid({.cpu_affinity_mask = 0}),
            "cpu_affinity_mask: found 0x0, expected a mask of at least one processor, like 0xff, of at most "
            "8192 bits, or none");
  EXPECT_EQ(invalid({.scheduler_policy = static_cast<SchedulerPolicy>(7)}),
            "scheduler_policy: found 7, expected one of performance, balanced, power_save");
}

TEST(CpuMask, knows_processors_beyond_the_first_64) {
  const auto mask = CpuMask::parse("0x10000000000000001");
  ASSERT_TRUE(mask.has_value());
  for (int cpu : {0, 64}) EXPECT_TRUE(mask->contains(cpu)) << cpu;
  for (int cpu : {-1, 1, 63, 65, 8191, 100'000}) EXPECT_FALSE(mask->contains(cpu)) << cpu;
  EXPECT_EQ(mask->text(), "0x10000000000000001");
  EXPECT_EQ(CpuMask::parse("0x0000000000000000000ff"), CpuMask(0xFF));
  EXPECT_EQ(CpuMask::parse("255"), CpuMask(0xFF));
  EXPECT_TRUE(CpuMask::parse("0x0")->empty());
}

}  // namespace
}  // namespace qvl
