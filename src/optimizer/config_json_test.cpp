// Configurations as JSON: what is read, what is refused, and with which words.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "optimizer/config_testing.h"
#include "qvl/system_config.h"

namespace qvl {
namespace {

using Config = SystemOptimizationConfig;

Config parse(std::string_view json) { return parse_config(json, "qvl.json", {}); }
std::string refused(std::string_view json) {
  return refusal(ErrorCode::usage, [&] { parse(json); });
}

class ConfigFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("qvl-config-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
};

TEST(ConfigJson, comes_back_from_its_own_text) {
  const Config config{.num_compute_threads = 3,
                      .cpu_affinity_mask = CpuMask::parse("0x100000000000000000000"),
                      .scheduler_policy = SchedulerPolicy::power_save,
                      .memory_limit_ratio = 0.1 + 0.2,
                      .enable_profiling = false,
                      .scheduling_algorithm = SchedulingAlgorithm::load_balanced,
                      .optimization_level = 1};
  EXPECT_EQ(parse(to_json(config)), config);
  EXPECT_EQ(parse(to_json({})), Config{});
}

TEST(ConfigJson, is_written_in_the_order_of_the_structure) {
  const std::string text = to_json({.cpu_affinity_mask = 0xFF});
  EXPECT_TRUE(text.starts_with(
      "{\n  \"num_compute_threads\": 4,\n  \"num_io_threads\": 2,\n  \"num_preprocess_threads\": 4,\n"
      "  \"thread_priority\": 1,\n  \"cpu_affinity_mask\": \"0xff\",\n"))
      << text;
  EXPECT_TRUE(text.ends_with("\"optimization_level\": 3\n}\n")) << text;
}

TEST(ConfigJson, fields_that_are_not_given_keep_the_value_below) {
  const Config base{.num_io_threads = 7, .memory_limit_ratio = 0.5};
  const Config config = parse_config(R"({"memory_limit_ratio": 1})", "qvl.json", base);
  EXPECT_EQ(config.num_io_threads, 7);
  EXPECT_EQ(config.memory_limit_ratio, 1.0);
  EXPECT_EQ(parse_config("{}", "qvl.json", base), base);
}

TEST(ConfigJson, a_mask_is_a_number_a_hexadecimal_text_or_null) {
  EXPECT_EQ(parse(R"({"cpu_affinity_mask": 255})").cpu_affinity_mask, CpuMask(0xFF));
  EXPECT_EQ(parse(R"({"cpu_affinity_mask": "0xff"})").cpu_affinity_mask, CpuMask(0xFF));
  EXPECT_EQ(parse(R"({"cpu_affinity_mask": null})").cpu_affinity_mask, std::nullopt);
  const std::string expected =
      ", expected a mask of at least one processor, like 0xff, of at most 8192 bits, or none";
  for (const std::string bad : {"-1", "0", "1.5", "\"255\"", "\"none\"", "\"0x0\"", "true"}) {
    EXPECT_EQ(refused("{\"cpu_affinity_mask\": " + bad + "}"),
              "qvl.json: cpu_affinity_mask: found " + bad + expected);
  }
  const std::string widest = "0x" + std::string(2048, 'f');
  EXPECT_EQ(parse("{\"cpu_affinity_mask\": \"" + widest + "\"}").cpu_affinity_mask, CpuMask::parse(widest));
  const std::string wider = refused("{\"cpu_affinity_mask\": \"" + widest + "f\"}");
  EXPECT_TRUE(wider.ends_with(expected)) << wider;
}

TEST(ConfigJson, a_byte_order_mark_and_windows_line_ends_are_read) {
  EXPECT_EQ(parse("\xEF\xBB\xBF{\r\n  \"num_io_threads\": 3\r\n}\r\n").num_io_threads, 3);
}

TEST(ConfigJson, refuses_what_it_cannot_mean_with_one_line) {
  struct Row {
    std::string json, message;
  };
  const std::vector<Row> rows = {
      {"", "qvl.json: empty, expected a JSON object"},
      {" \r\n", "qvl.json: empty, expected a JSON object"},
      {"[]", "qvl.json: found an array, expected a JSON object"},
      {"3", "qvl.json: found 3, expected a JSON object"},
      {R"({"memory_limit_ratio": 1.7})",
       "qvl.json: memory_limit_ratio: found 1.7, expected a number from 0.05 to 1"},
      {R"({"memory_limit_ratio": "0.5"})",
       "qvl.json: memory_limit_ratio: found \"0.5\", expected a number from 0.05 to 1"},
      {R"({"num_io_threads": 1.0})",
       "qvl.json: num_io_threads: found 1.0, expected an integer from 1 to 1024"},
      {R"({"num_io_threads": null})",
       "qvl.json: num_io_threads: found null, expected an integer from 1 to 1024"},
      {R"({"num_io_threads": [1]})",
       "qvl.json: num_io_threads: found an array, expected an integer from 1 to 1024"},
      {R"({"enable_profiling": 1})", "qvl.json: enable_profiling: found 1, expected true or false"},
      {R"({"scheduler_policy": "fast"})",
       "qvl.json: scheduler_policy: found \"fast\", expected one of performance, balanced, power_save"},
      {R"({"num_io_threads": 1, "num_io_threads": 2})", "qvl.json: duplicate key \"num_io_threads\""},
      {R"({"memory_limit_ration": 1})",
       "qvl.json: memory_limit_ration: unknown field, did you mean memory_limit_ratio?"},
      {R"({"num_threads": 1})", "qvl.json: num_threads: unknown field, did you mean num_io_threads?"},
      {R"({"profiling": true})",
       "qvl.json: profiling: unknown field, expected one of num_compute_threads, num_io_threads, "
       "num_preprocess_threads, thread_priority, cpu_affinity_mask, scheduler_policy, memory_limit_ratio, "
       "memory_pool_size, memory_cleanup_interval, enable_profiling, profile_interval, profile_memory, "
       "profile_compute, resource_scheduling_enabled, scheduling_algorithm, resource_reservation_ratio, "
       "dynamic_resource_adjustment, optimization_level"},
      {"{\n  \"num_io_threads\": 3,\n}",
       "qvl.json: line 3, column 1: syntax error while parsing object key - unexpected '}'; expected string "
       "literal"},
      {"{\"num_io_threads\": 1e400}", "qvl.json: line 1, column 24: the number 1e400 is too large"},
      {"{\"a\": [[[[1]]]]}", "qvl.json: nested deeper than 4 levels"},
  };
  for (const Row& row : rows) EXPECT_EQ(refused(row.json), row.message) << row.json;
}

TEST(ConfigJson, text_that_is_no_utf8_is_refused_with_its_place) {
  const std::string message = refused("{\n\"num_io_\xFF\": 3}");
  EXPECT_TRUE(message.starts_with("qvl.json: line 2, column 9: syntax error")) << message;
  EXPECT_EQ(message.find('\xFF'), std::string::npos);
}

TEST_F(ConfigFile, is_read_from_a_path) {
  const auto path = folder_ / "qvl.json";
  std::ofstream(path) << R"({"optimization_level": 2})";
  EXPECT_EQ(read_config(path, {}).optimization_level, 2);
}

TEST_F(ConfigFile, that_cannot_be_one_is_refused_before_it_is_read) {
  const auto refused_file = [&](const std::filesystem::path& path) {
    return refusal(ErrorCode::usage, [&] { read_config(path, {}); });
  };
  const auto path = folder_ / "large.json";
  std::ofstream(path).close();
  std::filesystem::resize_file(path, 100 << 20);
  EXPECT_EQ(refused_file(path), path.string() + ": 104857600 bytes, at most 1048576 allowed");
  EXPECT_EQ(refused_file(folder_ / "none.json"),
            (folder_ / "none.json").string() + ": cannot open: No such file or directory");
  EXPECT_EQ(refused_file(folder_), folder_.string() + ": found a folder, expected a regular file");
  const auto loop = folder_ / "loop.json";
  std::filesystem::create_symlink(loop, loop);
  EXPECT_EQ(refused_file(loop), loop.string() + ": cannot open: Too many levels of symbolic links");
}

}  // namespace
}  // namespace qvl
