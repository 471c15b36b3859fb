#include "memory/mapped_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <thread>
#include <vector>

#include "base/error.h"
#include "memory/page_size.h"

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
  static std::string damage(const MappedFile& file) {
    try {
      file.check_undamaged();
    } catch (const Error& error) {
      EXPECT_TRUE(file.damaged());
      EXPECT_EQ(error.code(), ErrorCode::model_file);
      return error.what();
    }
    EXPECT_FALSE(file.damaged());
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

TEST_F(MappedFileTest, tells_how_a_file_changed_while_it_was_in_use) {
  const fs::path path = folder_ / "a";
  const size_t page = page_size();
  const auto write = [&](size_t bytes) { std::ofstream(path) << std::string(bytes, 'x'); };

  write(3 * page);
  const MappedFile shrunk(path);
  ASSERT_TRUE(shrunk.guarded());
  EXPECT_FALSE(shrunk.damaged());
  fs::resize_file(path, page + 10);
  EXPECT_TRUE(shrunk.damaged());
  EXPECT_EQ(shrunk.bytes()[page - 1], std::byte{'x'});
  EXPECT_EQ(shrunk.bytes()[2 * page], std::byte{0});
  EXPECT_EQ(damage(shrunk), fmt::format("{}: changed while in use: found {} bytes, expected {}",
                                        path.string(), page + 10, 3 * page));

  write(page);
  const MappedFile written(path);
  fs::last_write_time(path, fs::last_write_time(path) + std::chrono::seconds(1));
  EXPECT_EQ(damage(written), path.string() + ": changed while in use: written to after it was opened");
}

TEST_F(MappedFileTest, stays_damaged_by_a_lost_page_when_the_file_looks_as_before) {
  const fs::path path = folder_ / "a";
  const size_t page = page_size();
  std::ofstream(path) << std::string(2 * page, 'x');
  const auto written = fs::last_write_time(path);
  const MappedFile file(path);
  fs::resize_file(path, 0);
  EXPECT_EQ(file.bytes()[page], std::byte{0});
  fs::resize_file(path, 2 * page);
  fs::last_write_time(path, written);
  EXPECT_EQ(damage(file), fmt::format("{}: changed while in use: some of its {} bytes could not be read",
                                      path.string(), 2 * page));
}

TEST_F(MappedFileTest, is_not_damaged_when_another_file_takes_its_name) {
  std::ofstream(folder_ / "a") << "weights";
  const MappedFile file(folder_ / "a");
  std::ofstream(folder_ / "b") << "others";
  fs::rename(folder_ / "b", folder_ / "a");
  EXPECT_EQ(damage(file), "");
  EXPECT_EQ(file.bytes()[0], std::byte{'w'});
  EXPECT_THROW(file.check_unchanged(), Error);
}

TEST_F(MappedFileTest, of_no_bytes_is_neither_guarded_nor_damaged) {
  std::ofstream(folder_ / "empty").flush();
  const MappedFile file(folder_ / "empty");
  EXPECT_FALSE(file.guarded());
  EXPECT_EQ(damage(file), "");
}

TEST_F(MappedFileTest, reads_ahead_what_it_is_asked_to) {
  const fs::path path = folder_ / "a";
  const size_t bytes = 8 * page_size();
  std::ofstream(path) << std::string(bytes, 'x');
  const MappedFile file(path);
  const auto pages_in_memory = [&] {
    std::vector<unsigned char> pages(8);
    EXPECT_EQ(::mincore(const_cast<std::byte*>(file.bytes().data()), bytes, pages.data()), 0);
    return std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return (page & 1) != 0; });
  };
  const FileDescriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::fsync(descriptor.get()), 0);
  ASSERT_EQ(::posix_fadvise(descriptor.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  if (pages_in_memory() != 0) GTEST_SKIP() << "this file system keeps its files in memory";
  file.read_ahead(file.bytes());
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (pages_in_memory() < 8 && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
  EXPECT_EQ(pages_in_memory(), 8);
}

TEST_F(MappedFileTest, ignores_advice_about_bytes_of_others) {
  std::ofstream(folder_ / "a") << "weights";
  const MappedFile file(folder_ / "a");
  std::vector<std::byte> other(3 * page_size(), std::byte{7});
  file.release(other);
  file.read_ahead(other);
  file.expect_sequential(other);
  EXPECT_EQ(other, std::vector<std::byte>(3 * page_size(), std::byte{7}));
  file.expect_sequential(file.bytes());
  file.release(file.bytes());
  EXPECT_EQ(std::memcmp(file.bytes().data(), "weights", 7), 0);
}

}  // namespace
}  // namespace qvl
