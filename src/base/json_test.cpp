#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qvl {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const JsonSource source{.name = "config.json"};

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::model_file);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

std::string parse_message(std::string_view text) {
  return message_of([&] { parse_json(text, source); });
}

TEST(ParseJson, reads_nested_documents) {
  EXPECT_EQ(parse_json(R"({"a": [1, {"b": null}], "c": "x"})", source)["a"][0], 1);
  EXPECT_EQ(parse_json(" [ ] \n", source).size(), 0u);
}

TEST(ParseJson, ordered_documents_keep_the_order_of_keys) {
  EXPECT_EQ(parse_ordered_json(R"({"z": 1, "a": 2})", source).dump(), R"({"z":1,"a":2})");
}

TEST(ParseJson, names_the_byte_of_malformed_text) {
  EXPECT_THAT(parse_message(R"({"a": })"), StartsWith("config.json: byte 7: "));
  EXPECT_THAT(parse_message(""), StartsWith("config.json: byte "));
  EXPECT_THAT(parse_message("{} x"), StartsWith("config.json: byte 4: "));
  EXPECT_THAT(parse_message("{\"a\": \"\xff\"}"), HasSubstr("byte"));
  EXPECT_EQ(parse_message(std::string("{}\0{}", 5)), "config.json: byte 2: a NUL byte, expected JSON text");
  EXPECT_THAT(parse_message("{\"a\": \"\xff\"}"), testing::Not(HasSubstr("\xff")));
  EXPECT_EQ(parse_message("[1e400]"), "config.json: byte 6: the number 1e400 is too large");
}

TEST(ParseJson, names_line_and_column_where_people_write_the_file) {
  const JsonSource by_line{.name = "config.json", .place = JsonPlace::line};
  const auto message = [&](std::string_view text) { return message_of([&] { parse_json(text, by_line); }); };
  EXPECT_THAT(message("{\n  \"a\": }"), StartsWith("config.json: line 2, column 8: syntax error"));
  EXPECT_THAT(message("x"), StartsWith("config.json: line 1, column 1: syntax error"));
  EXPECT_THAT(message("{\r\n\r\n  ]"), StartsWith("config.json: line 3, column 3: syntax error"));
  EXPECT_EQ(message(std::string("{}\n\0", 4)),
            "config.json: line 2, column 1: a NUL byte, expected JSON text");
}

TEST(ParseJson, refuses_duplicate_keys_at_any_level) {
  EXPECT_EQ(parse_message(R"({"a": {"k": 1, "k": 2}})"), "config.json: duplicate key \"k\"");
  EXPECT_NO_THROW(parse_json(R"([{"k": 1}, {"k": 2}])", source));
}

TEST(ParseJson, bounds_the_depth) {
  const std::string fits = std::string(64, '[') + std::string(64, ']');
  EXPECT_NO_THROW(parse_json(fits, source));
  const std::string deep = std::string(100'000, '[');
  EXPECT_EQ(parse_message(deep), "config.json: nested deeper than 64 levels");
}

TEST(ParseJson, bounds_the_number_of_values) {
  const JsonSource few{.name = "config.json", .max_values = 3};
  EXPECT_NO_THROW(parse_json("[1, {\"a\": 2}]", {.name = "config.json", .max_values = 4}));
  EXPECT_EQ(message_of([&] { parse_json("[1, {\"a\": 2}]", few); }), "config.json: more than 3 values");
}

// The entries of a stream as one line of text.
std::string streamed(std::string_view text, std::string_view path, JsonStream::Kind kind, size_t max_values) {
  std::string entries;
  const JsonStream stream{
      .path = path, .kind = kind, .entry = [&](const std::string& key, const Json& value) {
        entries += key + "=" + value.dump() + " ";
      }};
  const Json rest = parse_json(text, {.name = "config.json", .max_values = max_values}, {&stream, 1});
  return entries + "rest=" + rest.dump();
}

TEST(ParseJson, hands_out_streams_entry_by_entry) {
  constexpr auto object = JsonStream::Kind::object, array = JsonStream::Kind::array;
  const char* text = R"({"m": {"v": {"a": 1, "b": [2, {"c": 3}], "a": {}}, "w": 4}, "v": [5, [6, 7]]})";
  EXPECT_EQ(streamed(text, "m.v", object, 9),
            R"(a=1 b=[2,{"c":3}] a={} rest={"m":{"v":{},"w":4},"v":[5,[6,7]]})");
  EXPECT_EQ(streamed("[[1], {\"v\": [2]}]", "v", array, 9), R"(rest=[[1],{"v":[2]}])");
  EXPECT_EQ(streamed("[[1], {\"v\": [2]}]", "", array, 9), R"(=[1] ={"v":[2]} rest=[])");
  EXPECT_EQ(streamed(R"({"v": {"a": 1}, "w": [2]})", "v", array, 9), R"(rest={"v":{"a":1},"w":[2]})");
  EXPECT_EQ(streamed(R"({"v": [1, 2, 3, 4, 5, 6], "w": 7})", "v", array, 3),
            R"(=1 =2 =3 =4 =5 =6 rest={"v":[],"w":7})");
  EXPECT_EQ(message_of([&] { streamed(R"({"v": [[1, 2, 3]]})", "v", array, 3); }),
            "config.json: more than 3 values");
  EXPECT_EQ(message_of([&] { streamed(R"({"v": [{"a": 1, "a": 2}]})", "v", array, 9); }),
            "config.json: duplicate key \"a\"");
}

TEST(JsonObject, reads_fields_within_their_range) {
  const Json json =
      parse_json(R"({"n": 7, "x": 0.5, "s": "t", "b": true, "o": {"m": 1}, "none": null})", source);
  const JsonObject object(json, source);
  EXPECT_EQ(object.integer("n", 0, 7), 7);
  EXPECT_EQ(object.integer_or("none", 3, 0, 9), 3);
  EXPECT_EQ(object.number("x", 0, 1), 0.5);
  EXPECT_EQ(object.string("s"), "t");
  EXPECT_TRUE(object.boolean_or("b", false));
  EXPECT_EQ(object.object("o").integer("m", 0, 1), 1);
  EXPECT_FALSE(object.has("none"));
}

TEST(JsonObject, names_the_path_what_was_found_and_what_was_expected) {
  const Json json =
      parse_json(R"({"n": 8, "big": 18446744073709551615, "f": 1.5, "o": {"m": "x"}, "l": []})", source);
  const JsonObject object(json, source);
  EXPECT_EQ(message_of([&] { object.integer("n", 0, 7); }),
            "config.json: n: found 8, expected an integer from 0 to 7");
  EXPECT_THAT(message_of([&] { object.integer("big", 0, 7); }), HasSubstr("found 18446744073709551615"));
  EXPECT_THAT(message_of([&] { object.integer("f", 0, 7); }), HasSubstr("found 1.5"));
  EXPECT_EQ(message_of([&] { object.object("o").integer("m", 0, 7); }),
            "config.json: o.m: found \"x\", expected an integer from 0 to 7");
  EXPECT_EQ(message_of([&] { object.object("n"); }), "config.json: n: found 8, expected an object");
  EXPECT_EQ(message_of([&] { object.integer("absent", 0, 7); }), "config.json: absent: missing");
  EXPECT_THAT(message_of([&] { object.string("l"); }), HasSubstr("found array"));
}

}  // namespace
}  // namespace qvl
