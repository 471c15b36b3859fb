#include "memory/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <fstream>

#include "base/error.h"

namespace qvl {
namespace {

namespace fs = std::filesystem;

class MappedFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::string message(const fs::path& path) {
    try {
      MappedFile file(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::model_file);
      return error.what();
    }
    return "";
  }
  fs::path folder_;
};

TEST_F(MappedFileTest, shows_the_bytes_of_the_file) {
  std::ofstream(folder_ / "a") << "weights";
  MappedFile first(folder_ / "a");
  const MappedFile file = std::move(first);
  ASSERT_EQ(file.bytes().size(), 7u);
  EXPECT_EQ(std::memcmp(file.bytes().data(), "weights", 7), 0);
  EXPECT_NO_THROW(file.check_unchanged());
  EXPECT_TRUE(first.bytes().empty());  // NOLINT: the moved-from state is part of the contract
}

TEST_F(MappedFileTest, an_empty_file_is_an_empty_span) {
  std::ofstream(folder_ / "empty").flush();
  EXPECT_TRUE(MappedFile(folder_ / "empty").bytes().empty());
}

TEST_F(MappedFileTest, notices_that_the_file_was_replaced_or_grew) {
  std::ofstream(folder_ / "a") << "weights";
  const MappedFile file(folder_ / "a");
  std::ofstream(folder_ / "a", std::ios::app) << "more";
  EXPECT_THROW(file.check_unchanged(), Error);
}

TEST_F(MappedFileTest, refuses_folders_fifos_and_missing_files_without_blocking) {
  EXPECT_THAT(message(folder_), testing::EndsWith("found a folder, expected a regular file"));
  EXPECT_THAT(message(folder_ / "absent"), testing::EndsWith("cannot open: No such file or directory"));
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(message(folder_ / "fifo"), testing::EndsWith("found a special file, expected a regular file"));
}

}  // namespace
}  // namespace qvl
