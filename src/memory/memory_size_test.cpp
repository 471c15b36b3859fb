#include "memory/memory_size.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace qvl {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

uint64_t parsed(std::string_view text) { return parse_memory_limit(text, "--memory-limit", 10 * kGiB); }

TEST(MemorySize, is_read_in_bytes_units_and_shares) {
  EXPECT_EQ(parsed("1073741824"), kGiB);
  EXPECT_EQ(parsed("1.5GiB"), 3 * kGiB / 2);
  EXPECT_EQ(parsed("2GB"), 2'000'000'000u);
  EXPECT_EQ(parsed("512MiB"), 512u << 20);
  EXPECT_EQ(parsed("20000kB"), 20'000'000u);
  EXPECT_EQ(parsed("16384KiB"), 16u << 20);
  EXPECT_EQ(parsed("300MB"), 300'000'000u);
  EXPECT_EQ(parsed("1TB"), 1'000'000'000'000u);
  EXPECT_EQ(parsed("0.5TiB"), 512 * kGiB);
  EXPECT_EQ(parsed("60%"), 6 * kGiB);
  EXPECT_EQ(parsed("12.5%"), 5 * kGiB / 4);
  EXPECT_EQ(parsed("100%"), 10 * kGiB);
  EXPECT_EQ(parsed("16.0000001MiB"), 16u << 20);  // a fraction of a byte is dropped
}

TEST(MemorySize, of_more_than_there_can_be_is_the_most_there_can_be) {
  const std::string many(400, '9');
  for (const std::string text : {std::string("99999999TiB"), std::string("9223372036854775808"),
                                 std::string("99999999999999999999"), many, many + "GiB", many + ".5kB"}) {
    EXPECT_EQ(parsed(text), 9'223'372'036'854'775'807u) << text;
  }
}

TEST(MemorySize, refuses_what_is_no_amount) {
  for (const char* text : {"",        "1B",
                           "1e30",    "1e9",
                           "10 GiB",  "10Gib",
                           "10gib",   "10G",
                           "GiB",     "%",
                           "-1",      "-1GiB",
                           "+1GiB",   "1.GiB",
                           ".5GiB",   "1.5",
                           "1,5GB",   "1.5.0GB",
                           "101%",    "100.1%",
                           "nan%",    "infGiB",
                           "0x10GiB", "10GiB ",
                           " 10GiB",  "-99999999999999999999"}) {
    try {
      parsed(text);
      ADD_FAILURE() << '"' << text << "\" was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage);
      EXPECT_EQ(error.what(),
                fmt::format("--memory-limit: found \"{}\", expected bytes such as 1073741824, a size such as "
                            "1.5GiB, 2GB or 512MiB, or a share such as 60%",
                            text));
    }
  }
}

TEST(MemorySize, refuses_less_than_any_program_needs) {
  const std::string tiny = "0." + std::string(400, '0') + "1GiB";
  for (const char* text : {"0", "0GiB", "0%", "1", "16777215", "15.9MiB", "0.1%", tiny.c_str()}) {
    try {
      parsed(text);
      ADD_FAILURE() << '"' << text << "\" was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::usage);
      EXPECT_EQ(error.what(),
                fmt::format("--memory-limit: found \"{}\", expected at least 16.0 MiB", printable(text)));
    }
  }
}

TEST(MemorySize, is_written_with_one_digit_after_the_point) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.0 KiB");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(format_bytes(268'435'456), "256.0 MiB");
  EXPECT_EQ(format_bytes(3'435'973'837), "3.2 GiB");
  EXPECT_EQ(format_bytes(5000 * (uint64_t{1} << 40)), "5000.0 TiB");
}

}  // namespace
}  // namespace qvl
