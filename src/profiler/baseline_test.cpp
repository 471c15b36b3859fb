#include "profiler/baseline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "base/fake_system.h"

namespace qvl {
namespace {

using testing::ElementsAre;

Baseline example() {
  return {.hardware = "i5-10210U 4x2 avx2",
          .program = "0.1.0",
          .setup = {{"threads", "2"}, {"isa", "avx2"}},
          .metrics = {
              {.name = "decode", .unit = "1/s", .better = Better::higher, .values = {10.25, 1e-100, 1.0 / 3}},
              {.name = "vision", .unit = "s", .better = Better::lower, .values = {2}}}};
}

class Baselines : public testing::Test {
 protected:
  Baselines() { folder_.write("/out/other", ""); }
  std::filesystem::path path() const { return folder_.files().at("/out/baseline.json"); }
  // The message without the name of the file.
  std::string refusal(const std::function<void()>& act) const {
    try {
      act();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage);
      const std::string what = error.what(), name = path().string() + ": ";
      EXPECT_EQ(what.substr(0, name.size()), name);
      return what.substr(name.size());
    }
    return "no error";
  }
  std::string load_refusal(const std::string& text) const {
    folder_.write("/out/baseline.json", text);
    return refusal([this] { load_baseline(path()); });
  }

  FakeSystem folder_;
};

TEST_F(Baselines, are_read_as_they_were_written) {
  save_baseline(path(), example());
  const auto loaded = load_baseline(path());
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->hardware, "i5-10210U 4x2 avx2");
  EXPECT_EQ(loaded->program, "0.1.0");
  EXPECT_EQ(loaded->setup, example().setup);
  ASSERT_EQ(loaded->metrics.size(), 2);
  EXPECT_EQ(loaded->metrics[0].name, "decode");
  EXPECT_EQ(loaded->metrics[0].unit, "1/s");
  EXPECT_EQ(loaded->metrics[0].better, Better::higher);
  EXPECT_EQ(loaded->metrics[0].values, example().metrics[0].values);  // to the last bit
  EXPECT_EQ(loaded->metrics[1].better, Better::lower);
  EXPECT_THAT(folder_.files().names("/out"), ElementsAre("baseline.json", "other"));
}

TEST_F(Baselines, that_are_not_there_are_none) { EXPECT_FALSE(load_baseline(path())); }

TEST_F(Baselines, that_are_damaged_are_refused) {
  const std::string metric = R"({"name":"a","unit":"s","better":"lower","values":[1]})";
  const auto with = [](const std::string& metrics) {
    return R"({"format":1,"hardware":"h","program":"p","setup":{},"metrics":[)" + metrics + "]}";
  };
  EXPECT_EQ(load_refusal(with(metric)), "no error");
  EXPECT_EQ(load_refusal("[]"), "the document: found array, expected an object");
  EXPECT_EQ(load_refusal(R"({"format":2,"hardware":"h","program":"p","setup":{},"metrics":[]})"),
            "format: found 2, expected an integer from 1 to 1");
  EXPECT_EQ(load_refusal(R"({"format":1,"hardware":"h","program":"p","setup":{},"metrics":[],"more":1})"),
            "more: unknown field");
  EXPECT_EQ(load_refusal(R"({"format":1,"program":"p","setup":{},"metrics":[]})"), "hardware: missing");
  EXPECT_EQ(load_refusal(R"({"format":1,"hardware":"","program":"p","setup":{},"metrics":[]})"),
            "hardware: found 0 bytes, expected 1 to 1024");
  EXPECT_EQ(load_refusal(R"({"format":1,"hardware":"h","program":"p","setup":{},"metrics":{}})"),
            "metrics: expected an array");
  EXPECT_EQ(load_refusal(R"({"format":1,"hardware":"h","program":"p","setup":[],"metrics":[]})"),
            "setup: found array, expected an object");
  EXPECT_EQ(load_refusal(R"({"format":1,"hardware":"h","program":"p","setup":{"a":1},"metrics":[]})"),
            "setup.a: found 1, expected a string");
  EXPECT_EQ(load_refusal(with("")), "metrics: found 0 entries, expected 1 to 256");
  EXPECT_EQ(load_refusal(with("1")), "metrics.0: found 1, expected an object");
  EXPECT_EQ(load_refusal(with(metric + "," + metric)), "metrics.1.name: appears twice");
  EXPECT_EQ(load_refusal(with(R"({"name":"a","unit":"s","better":"faster","values":[1]})")),
            "metrics.0.better: found \"faster\", expected \"lower\" or \"higher\"");
  EXPECT_EQ(load_refusal(with(R"({"name":"a","unit":"s","better":"lower","values":[]})")),
            "metrics.0.values: found 0 entries, expected 1 to 10000");
  for (const char* value : {"0", "-1", "1e101", "1e-101", "\"1\"", "null", "[]"}) {
    EXPECT_EQ(load_refusal(with(R"({"name":"a","unit":"s","better":"lower","values":[1,)" +
                                std::string(value) + "]}")),
              "metrics.0.values: entry 1: expected a number from 1e-100 to 1e100")
        << value;
  }
  EXPECT_EQ(load_refusal(with(R"({"name":"a","unit":"s","better":"lower","values":[1],"x":0})")),
            "metrics.0.x: unknown field");
}

TEST_F(Baselines, with_too_many_entries_of_setup_are_refused) {
  Baseline bad = example();
  for (int i = 0; i < 65; ++i) bad.setup.emplace(std::to_string(i), "x");
  EXPECT_EQ(refusal([&] { save_baseline(path(), bad); }), "setup: found 67 entries, expected at most 64");
}

TEST_F(Baselines, that_could_not_be_read_again_are_not_written) {
  Baseline bad = example();
  bad.metrics[1].values = {1, 0};
  EXPECT_EQ(refusal([&] { save_baseline(path(), bad); }),
            "metrics.1.values: entry 1: expected a number from 1e-100 to 1e100");
  bad = example();
  bad.metrics[1].name = "decode";
  EXPECT_EQ(refusal([&] { save_baseline(path(), bad); }), "metrics.1.name: appears twice");
  bad = example();
  bad.metrics[0].values.assign(10'001, 1.0);
  EXPECT_EQ(refusal([&] { save_baseline(path(), bad); }),
            "metrics.0.values: found 10001 entries, expected 1 to 10000");
  EXPECT_THAT(folder_.files().names("/out"), ElementsAre("other"));
}

TEST_F(Baselines, name_the_file_that_cannot_be_written) {
  const auto nowhere = folder_.files().at("/none/baseline.json");
  try {
    save_baseline(nowhere, example());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::environment);
    EXPECT_EQ(error.what(), nowhere.string() + ": cannot write: No such file or directory");
  }
}

}  // namespace
}  // namespace qvl
