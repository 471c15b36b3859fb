#include "optimizer/measurements.h"

#include <gtest/gtest.h>

#include "base/fake_system.h"
#include "optimizer/config_testing.h"
#include "optimizer/plan_testing.h"

namespace qvl {
namespace {

const MeasuredRates kRates{
    .read_gb_s = 41.5, .int8_gop_s = {{Isa::scalar, 3.25}, {Isa::avx2, 490}}, .smt_speedup = 1.125};

class RatesFile : public testing::Test {
 protected:
  std::filesystem::path path() const { return folder_.files().at("/cache/machine.json"); }
  std::string text() const { return folder_.files().read("/cache/machine.json").value_or(""); }
  bool readable(const std::string& contents) const {
    folder_.write("/cache/machine.json", contents);
    return read_rates(path(), "this machine").has_value();
  }

  FakeSystem folder_;
};

TEST_F(RatesFile, comes_back_as_it_was_written) {
  write_rates(path(), "this machine", kRates);  // makes the folder
  const auto rates = read_rates(path(), "this machine");
  ASSERT_TRUE(rates.has_value());
  EXPECT_EQ(rates->read_gb_s, kRates.read_gb_s);
  EXPECT_EQ(rates->int8_gop_s, kRates.int8_gop_s);
  EXPECT_EQ(rates->smt_speedup, kRates.smt_speedup);
  EXPECT_EQ(folder_.files().names("/cache"), (std::vector<std::string>{"machine.json"}));
}

TEST_F(RatesFile, keeps_what_was_not_measured_open) {
  write_rates(path(), "m", {});
  const auto rates = read_rates(path(), "m");
  ASSERT_TRUE(rates.has_value());
  EXPECT_EQ(rates->read_gb_s, std::nullopt);
  EXPECT_EQ(rates->smt_speedup, std::nullopt);
  EXPECT_TRUE(rates->int8_gop_s.empty());
}

TEST_F(RatesFile, of_another_machine_counts_as_absent) {
  EXPECT_EQ(read_rates(path(), "this machine"), std::nullopt);
  write_rates(path(), "that machine", kRates);
  EXPECT_EQ(read_rates(path(), "this machine"), std::nullopt);
}

TEST_F(RatesFile, that_is_damaged_anywhere_counts_as_absent) {
  write_rates(path(), "this machine", kRates);
  const std::string good = text();
  ASSERT_TRUE(readable(good));
  const size_t end = good.rfind('}');
  for (size_t size = 0; size <= end; ++size) EXPECT_FALSE(readable(good.substr(0, size))) << size;
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string bad = good;
    bad.replace(bad.find(from), from.size(), to);
    return bad;
  };
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"41.5", "-1"},
                                                        {"41.5", "1e300"},
                                                        {"41.5", "\"fast\""},
                                                        {"1.125", "100"},
                                                        {"\"avx2\"", "\"avx3\""},
                                                        {"490.0", "0"},
                                                        {"\"version\": 1", "\"version\": 2"},
                                                        {"{", "[{"}}) {
    EXPECT_FALSE(readable(changed(from, to))) << to;
  }
}

TEST_F(RatesFile, in_a_place_that_cannot_be_written_is_named) {
  folder_.write("/cache", "a file");
  EXPECT_EQ(refusal(ErrorCode::environment, [&] { write_rates(path(), "m", kRates); }),
            path().string() + ": cannot write: Not a directory");
}

TEST(MeasureMissing, measures_once_and_only_what_is_not_known) {
  std::vector<std::string> asked;
  const Measure measure{.read_gb_s =
                            [&] {
                              asked.push_back("read");
                              return 40.0;
                            },
                        .int8_gop_s =
                            [&](Isa isa) {
                              asked.emplace_back(name_of(isa));
                              return 100.0;
                            },
                        .smt_speedup =
                            [&] {
                              asked.push_back("smt");
                              return 1.25;
                            }};
  MeasuredRates rates{.int8_gop_s = {{Isa::scalar, 3}}};
  EXPECT_TRUE(measure_missing(laptop(), measure, rates));
  EXPECT_EQ(asked, (std::vector<std::string>{"read", "avx2", "smt"}));
  EXPECT_EQ(rates.int8_gop_s.at(Isa::scalar), 3);
  EXPECT_EQ(rates.int8_gop_s.at(Isa::avx2), 100);
  asked.clear();
  EXPECT_FALSE(measure_missing(laptop(), measure, rates));
  EXPECT_TRUE(asked.empty());

  HardwareFacts one_thread_each = laptop();
  one_thread_each.cpus.resize(4);
  MeasuredRates none;
  measure_missing(one_thread_each, measure, none);
  EXPECT_EQ(none.smt_speedup, std::nullopt);
}

}  // namespace
}  // namespace qvl
