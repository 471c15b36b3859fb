// Reports of plans, as text and as JSON.
#include "optimizer/explain.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "optimizer/passes/pass_list.h"
#include "optimizer/plan_testing.h"

namespace qvl {
namespace {

PlanReport report_at(int64_t level) {
  const PlanInputs inputs = inputs_at(level);
  return explain(inputs, resolve(inputs, all_passes()));
}

TEST(Explain, every_choice_has_a_value_and_a_cause_and_every_pass_appears_once) {
  const PlanReport report = report_at(3);
  ASSERT_EQ(report.choices.size(), static_cast<size_t>(Choice::count));
  size_t passes = 0;
  for (const PlanChoice& choice : report.choices) {
    EXPECT_FALSE(choice.value.empty()) << choice.name;
    EXPECT_FALSE(choice.cause.empty()) << choice.name;
    passes += choice.alternatives.size() + (choice.pass.empty() ? 0 : 1);
    for (const PlanAlternative& other : choice.alternatives) EXPECT_FALSE(other.reason.empty()) << other.pass;
  }
  EXPECT_EQ(passes, all_passes().size());
}

TEST(Explain, parts_of_memory_add_up_below_the_cap) {
  const PlanReport report = report_at(3);
  uint64_t sum = 0;
  for (const auto& [part, bytes] : report.memory) sum += bytes;
  EXPECT_EQ(sum, report.memory_bytes);
  EXPECT_EQ(report.memory_cap_bytes, 8'240'000'000u);
  EXPECT_LE(report.memory_bytes, report.memory_cap_bytes);
}

TEST(Explain, json_holds_what_the_report_holds) {
  const PlanReport report = report_at(3);
  const std::string text = to_json(report);
  EXPECT_EQ(text.find('\n'), text.size() - 1);
  const Json json = parse_json(text, {.name = "plan"});
  EXPECT_EQ(json["level"], 3);
  EXPECT_EQ(json["choices"]["decoder weights"]["value"], "q4");
  EXPECT_EQ(json["choices"]["decoder weights"]["pass"], "weights_4_bit");
  EXPECT_EQ(json["choices"]["decoder weights"]["alternatives"][0]["pass"], "weights_8_bit");
  EXPECT_EQ(json["choices"]["huge weights"]["pass"], nullptr);
  EXPECT_EQ(json["choices"]["huge weights"]["cause"], "the baseline");
  EXPECT_EQ(json["choices"].size(), report.choices.size());
  EXPECT_EQ(json["memory_bytes"], report.memory_bytes);
  EXPECT_EQ(json["seconds"].size(), 5u);
}

TEST(Explain, text_tells_values_alone_or_causes_with_alternatives) {
  const PlanReport report = report_at(3);
  const std::string values = to_text(report, PlanDetail::values);
  EXPECT_TRUE(values.starts_with("plan of level 3\n  instruction set           avx2\n")) << values;
  EXPECT_EQ(values.find("weights_8_bit"), std::string::npos);
  const std::string explained = to_text(report, PlanDetail::explained);
  EXPECT_NE(explained.find("  decoder weights           q4\n      weights_4_bit: a token reads "),
            std::string::npos);
  EXPECT_NE(explained.find("      not weights_8_bit (q8): weights_4_bit is taken and excludes it: "),
            std::string::npos)
      << explained;
  EXPECT_NE(explained.find("      not kv_8_bit: 16 bits leave room for the 16384 tokens wanted\n"),
            std::string::npos);
}

TEST(Explain, what_was_asked_for_is_said_to_be) {
  PlanInputs inputs = inputs_at(3);
  inputs.wishes.vision = WeightChoice::f32;
  const PlanReport report = explain(inputs, resolve(inputs, all_passes()));
  const PlanChoice& vision = report.choices[static_cast<size_t>(Choice::vision_weights)];
  EXPECT_EQ(vision.value, "f32");
  EXPECT_EQ(vision.cause, "asked for");
  EXPECT_EQ(vision.alternatives.front().reason, "f32 was asked for");
}

}  // namespace
}  // namespace qvl
