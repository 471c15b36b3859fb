#include "base/file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <fstream>

namespace qvl {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string message(const fs::path& path, uint64_t limit) {
    try {
      read_file(path, limit, ErrorCode::media);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::media);
      return error.what();
    }
    return "";
  }
  fs::path folder_;
};

TEST_F(FileTest, reads_all_bytes) {
  std::ofstream(folder_ / "a") << std::string("x\0y", 3);
  EXPECT_EQ(read_file(folder_ / "a", 3, ErrorCode::media), std::string("x\0y", 3));
}

TEST_F(FileTest, refuses_what_is_no_readable_file_of_the_size) {
  std::ofstream(folder_ / "a") << "four";
  EXPECT_EQ(message(folder_ / "a", 3), (folder_ / "a").string() + ": 4 bytes, at most 3 allowed");
  EXPECT_EQ(message(folder_, 9), folder_.string() + ": found a folder, expected a regular file");
  EXPECT_THAT(message(folder_ / "absent", 9), testing::EndsWith(": cannot open: No such file or directory"));
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(message(folder_ / "fifo", 9),
              testing::EndsWith("found a special file, expected a regular file"));
}

TEST_F(FileTest, fills_what_is_asked_for_or_tells_that_the_file_ended) {
  std::ofstream(folder_ / "a") << "abcde";
  const int fd = ::open((folder_ / "a").c_str(), O_RDONLY);
  ASSERT_GE(fd, 0);
  std::array<std::byte, 3> three{};
  EXPECT_TRUE(read_fully(fd, three));
  EXPECT_EQ(three[2], std::byte{'c'});
  EXPECT_TRUE(read_fully(fd, {}));
  EXPECT_FALSE(read_fully(fd, three));
  EXPECT_EQ(three[1], std::byte{'e'});
  ::close(fd);
}

TEST_F(FileTest, lists_names_sorted_or_tells_why_not) {
  std::ofstream(folder_ / "b") << "";
  fs::create_directory(folder_ / "a");
  std::error_code error = std::make_error_code(std::errc::io_error);
  EXPECT_EQ(names_in(folder_, error), (std::vector<std::string>{"a", "b"}));
  EXPECT_FALSE(error);
  EXPECT_TRUE(names_in(folder_ / "b", error).empty());
  EXPECT_EQ(error, std::errc::not_a_directory);
  EXPECT_TRUE(names_in(folder_ / "absent", error).empty());
  EXPECT_EQ(error, std::errc::no_such_file_or_directory);
}

TEST(Printable, escapes_control_characters_and_cuts_between_characters) {
  EXPECT_EQ(printable("a\nb"), "a\\x0ab");
  EXPECT_EQ(printable("äöü", 3), "ä...");
  EXPECT_EQ(printable("abc", 3), "abc");
  EXPECT_EQ(printable("a\xff\xc3"), "a\\xff\\xc3");
  EXPECT_EQ(printable("\xed\x95\x9c"), "\xed\x95\x9c");
}

}  // namespace
}  // namespace qvl
