#include "profiler/fields.h"

#include <gtest/gtest.h>

#include "base/fake_system.h"
#include "profiler/counter.h"

namespace qvl {
namespace {

TEST(Fields, are_words_and_lines_whatever_lies_between_them) {
  std::string_view text = "  one\ttwo  \nthree";
  std::string_view line = take_line(text);
  EXPECT_EQ(take_word(line), "one");
  EXPECT_EQ(take_word(line), "two");
  EXPECT_EQ(take_word(line), "");
  EXPECT_EQ(take_line(text), "three");
  EXPECT_EQ(take_line(text), "");
}

TEST(Fields, that_are_counters_are_whole_numbers_of_64_bits) {
  EXPECT_EQ(parse_counter("18446744073709551615"), UINT64_MAX);
  for (const char* word : {"", "-1", "+1", "18446744073709551616", "12x", "0x10", " 1", "1.0"}) {
    EXPECT_EQ(parse_counter(word), std::nullopt) << word;
  }
}

TEST(Fields, that_are_decimals_are_finite) {
  EXPECT_EQ(parse_decimal("12.50"), 12.5);
  for (const char* word : {"", "inf", "nan", "1e999", "1,5", "1.5%"})
    EXPECT_EQ(parse_decimal(word), std::nullopt) << word;
}

TEST(Fields, are_numbered_by_digits_alone) {
  EXPECT_EQ(numbered("cpu12", "cpu"), 12);
  for (const char* text : {"cpu", "cpufreq", "cpu-1", "cpu2147483648", "xcpu1", "cpu1:0"}) {
    EXPECT_EQ(numbered(text, "cpu"), std::nullopt) << text;
  }
}

TEST(Fields, of_kilobytes_come_as_bytes_unless_they_overflow) {
  const std::string_view text =
      "VmPeak:\t 9 kB\nVmRSS:\t   1692 kB\nVmBig: 18014398509481984 kB\nVmOdd: many kB\n";
  EXPECT_EQ(kilobyte_field(text, "VmRSS:"), 1692 * 1024);
  EXPECT_EQ(kilobyte_field(text, "VmBig:"), std::nullopt);
  EXPECT_EQ(kilobyte_field(text, "VmOdd:"), std::nullopt);
  EXPECT_EQ(kilobyte_field(text, "VmSwap:"), std::nullopt);
}

TEST(Fields, that_are_labels_are_short_and_printable) {
  FakeSystem system;
  system.write("/sys/plain", "Samsung SSD 980   \n");
  system.write("/sys/hostile", "a\x01\xff" + std::string(200, 'b'));
  system.write("/sys/empty", "  \n");
  EXPECT_EQ(read_label(system.files(), "/sys/plain"), "Samsung SSD 980");
  EXPECT_EQ(read_label(system.files(), "/sys/hostile"), "a\\x01\\xff" + std::string(61, 'b') + "...");
  EXPECT_EQ(read_label(system.files(), "/sys/empty"), std::nullopt);
  EXPECT_EQ(read_label(system.files(), "/sys/missing"), std::nullopt);
}

TEST(Counters, count_on_over_their_end) {
  EXPECT_EQ(counted(5, 12, CounterWidth::bits64), 7);
  EXPECT_EQ(counted(UINT64_MAX - 1, 3, CounterWidth::bits64), 5);
  EXPECT_EQ(counted(UINT32_MAX, 9, CounterWidth::bits32), 10);
}

TEST(Counters, that_went_backwards_counted_nothing_that_is_known) {
  EXPECT_EQ(counted(12, 5, CounterWidth::bits64), std::nullopt);
  EXPECT_EQ(counted(5'000'000'000, 0, CounterWidth::bits64), std::nullopt);
  EXPECT_EQ(counted(1'000'000, 0, CounterWidth::bits32), std::nullopt);
  EXPECT_EQ(counted_per_second(100, 50, 2.0), std::nullopt);
  EXPECT_EQ(counted_per_second(50, 100, 2.0), 25.0);
}

}  // namespace
}  // namespace qvl
