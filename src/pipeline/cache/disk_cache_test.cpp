// What was written is read again bit by bit; everything else in its place is no entry, and removed.
#include "pipeline/cache/disk_cache.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>

#include "base/error.h"

namespace qvl {
namespace {

namespace fs = std::filesystem;

const ContentKey kKey = {.high = 0x0123456789abcdef, .low = 0xfedcba9876543210};
const StoredShape kShapes[] = {{.rows = 3, .columns = 5}, {.rows = 2, .columns = 40'000}};
const DiskCache::Name kName = {.key = kKey, .kind = "features"};

class DiskCacheFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    for (const StoredShape& shape : kShapes) {
      std::vector<float> values(shape.rows * shape.columns);
      for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) / 3.0f - 7.0f;
      values_.push_back(std::move(values));
    }
  }
  void TearDown() override {
    std::error_code ignored;
    fs::permissions(folder_, fs::perms::owner_all, ignored);
    fs::remove_all(folder_);
  }

  StoredView view() const { return {.numbers = {1, 4, 6}, .tensors = {values_[0], values_[1]}}; }
  fs::path file() const { return folder_ / "0123456789abcdeffedcba9876543210.features"; }
  void write() {
    DiskCache cache({.folder = folder_, .budget_bytes = 1 << 20}, pool_);
    cache.write(kName, view(), nullptr);
  }
  std::optional<StoredEntry> read(const ContentKey& key = kKey) {
    DiskCache cache({.folder = folder_, .budget_bytes = 1 << 20}, pool_);
    return cache.read({.key = key, .kind = "features"}, kShapes, {});
  }
  // One byte of the file turned over.
  void damage(uint64_t at) const {
    std::fstream bytes(file(), std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekg(static_cast<std::streamoff>(at));
    const char found = static_cast<char>(bytes.get());
    bytes.seekp(static_cast<std::streamoff>(at));
    bytes.put(static_cast<char>(~found));
  }

  fs::path folder_ = fs::temp_directory_path() / ("qvl-disk-cache-" + std::to_string(::getpid()));
  std::vector<std::vector<float>> values_;
  TaskPool pool_{{.name = "io"}};
};

TEST_F(DiskCacheFolder, has_what_was_written_for_whoever_opens_it_next) {
  write();
  const auto found = read();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->numbers, (std::array<int64_t, 3>{1, 4, 6}));
  for (size_t i = 0; i < 2; ++i) {
    const auto values = found->tensors[i].values();
    EXPECT_TRUE(std::equal(values.begin(), values.end(), values_[i].begin(), values_[i].end())) << i;
  }
  EXPECT_EQ(fs::file_size(file()), stored_bytes(kShapes));
  EXPECT_FALSE(read({.high = 1, .low = 2})) << "nothing under another key";
}

TEST_F(DiskCacheFolder, counts_what_it_looked_for_and_found) {
  write();
  DiskCache cache({.folder = folder_, .budget_bytes = 1 << 20}, pool_);
  EXPECT_EQ(cache.stats().lookups, 0u);
  EXPECT_TRUE(cache.read(kName, kShapes, {}));
  EXPECT_FALSE(cache.read({.key = {.high = 1, .low = 2}, .kind = "features"}, kShapes, {}));
  damage(fs::file_size(file()) - 1);
  EXPECT_FALSE(cache.read(kName, kShapes, {}));
  EXPECT_EQ(cache.stats().lookups, 3u);
  EXPECT_EQ(cache.stats().hits, 1u);
  DiskCache off({}, pool_);
  EXPECT_FALSE(off.read(kName, kShapes, {}));
  EXPECT_EQ(off.stats().lookups, 0u);
}

TEST_F(DiskCacheFolder, removes_a_file_that_is_of_no_use) {
  const uint64_t size = stored_bytes(kShapes);
  const struct {
    const char* what;
    std::function<void()> spoil;
  } faults[] = {
      {"another version", [&] { damage(7); }},
      {"a key that is not its own", [&] { damage(8); }},
      {"numbers", [&] { damage(24); }},
      {"count of tensors", [&] { damage(48); }},
      {"sizes of tensors", [&] { damage(56); }},
      {"checksum of the contents", [&] { damage(56 + 16 * 8); }},
      {"first value", [&] { damage(size - (15 + 80'000) * 4); }},
      {"last value", [&] { damage(size - 1); }},
      {"a byte short", [&] { fs::resize_file(file(), size - 1); }},
      {"a byte long", [&] { fs::resize_file(file(), size + 1); }},
      {"half a header", [&] { fs::resize_file(file(), 20); }},
      {"nothing in it", [&] { fs::resize_file(file(), 0); }},
      {"a link",
       [&] {
         fs::rename(file(), folder_ / "elsewhere");
         fs::create_symlink(folder_ / "elsewhere", file());
       }},
      {"a pipe",
       [&] {
         fs::remove(file());
         ASSERT_EQ(::mkfifo(file().c_str(), 0600), 0);
       }},
  };
  for (const auto& fault : faults) {
    SCOPED_TRACE(fault.what);
    write();
    ASSERT_TRUE(read());
    fault.spoil();
    EXPECT_FALSE(read());
    EXPECT_FALSE(fs::exists(fs::symlink_status(file())));
  }
}

TEST_F(DiskCacheFolder, refuses_shapes_that_are_not_those_of_the_file) {
  write();
  DiskCache cache({.folder = folder_, .budget_bytes = 1 << 20}, pool_);
  const StoredShape other[] = {{.rows = 3, .columns = 4}, {.rows = 2, .columns = 40'000}};
  EXPECT_FALSE(cache.read(kName, other, {}));
}

TEST_F(DiskCacheFolder, stays_within_its_budget_and_drops_what_was_used_longest_ago) {
  const uint64_t one = stored_bytes(kShapes);
  DiskCache cache({.folder = folder_, .budget_bytes = 3 * one}, pool_);
  const auto name = [](uint64_t number) {
    return DiskCache::Name{.key = {.high = 0, .low = number}, .kind = "features"};
  };
  for (uint64_t i = 1; i <= 3; ++i) {
    cache.write(name(i), view(), nullptr);
    cache.wait();
    fs::last_write_time(folder_ / (name(i).key.text() + ".features"),
                        fs::file_time_type::clock::now() - std::chrono::hours(10 - static_cast<int>(i)));
  }
  EXPECT_TRUE(cache.read(name(1), kShapes, {}));
  cache.write(name(4), view(), nullptr);
  cache.wait();
  EXPECT_TRUE(cache.read(name(1), kShapes, {})) << "it was used just now";
  EXPECT_FALSE(cache.read(name(2), kShapes, {}));
  EXPECT_TRUE(cache.read(name(3), kShapes, {}));
  EXPECT_TRUE(cache.read(name(4), kShapes, {}));
}

TEST_F(DiskCacheFolder, takes_the_end_of_a_prefix_before_its_beginning) {
  const uint64_t one = stored_bytes(kShapes);
  DiskCache cache({.folder = folder_, .budget_bytes = 3 * one}, pool_);
  const auto name = [](int64_t rank) {
    return DiskCache::Name{
        .key = {.high = 0, .low = static_cast<uint64_t>(rank)}, .kind = "prefix", .rank = 3'600'000 * rank};
  };
  for (int64_t rank = 0; rank < 3; ++rank) cache.write(name(rank), view(), nullptr);
  cache.wait();
  cache.write(kName, view(), nullptr);
  cache.wait();
  EXPECT_TRUE(cache.read(name(0), kShapes, {}));
  EXPECT_TRUE(cache.read(name(1), kShapes, {}));
  EXPECT_FALSE(cache.read(name(2), kShapes, {}));
}

TEST_F(DiskCacheFolder, leaves_files_of_others_alone_and_those_that_are_being_written) {
  fs::create_directories(folder_);
  const fs::path writing = folder_ / "0123456789abcdeffedcba9876543211.prefix.a8Xk2p";
  std::ofstream(folder_ / "notes.features") << std::string(1000, 'x');
  std::ofstream(writing) << "half written";
  trim_folder(folder_, 0);
  EXPECT_TRUE(fs::exists(folder_ / "notes.features"));
  EXPECT_TRUE(fs::exists(writing));
  fs::last_write_time(writing,
                      fs::file_time_type::clock::now() - std::chrono::hours(2));  // nobody's any more
  trim_folder(folder_, 0);
  EXPECT_FALSE(fs::exists(writing));
}

// Everything of it can be opened but by others: too many open files, say.
TEST_F(DiskCacheFolder, keeps_a_file_that_cannot_be_opened_for_now) {
  DiskCache cache({.folder = folder_, .budget_bytes = 1 << 20}, pool_);
  cache.write(kName, view(), nullptr);
  cache.wait();
  struct rlimit before {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  struct rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const bool read = cache.read(kName, kShapes, {}).has_value();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_FALSE(read);
  EXPECT_TRUE(cache.read(kName, kShapes, {}).has_value());
}

TEST_F(DiskCacheFolder, says_once_why_it_keeps_nothing_and_goes_on) {
  std::ofstream(folder_) << "a file in its place";
  DiskCache cache({.folder = folder_, .budget_bytes = 1 << 20}, pool_);
  EXPECT_FALSE(cache.enabled());
  EXPECT_THAT(cache.problem(),
              ::testing::StartsWith("features of pictures are not kept on disk: " + folder_.string() + ": "));
  cache.write(kName, view(), nullptr);
  EXPECT_FALSE(cache.read(kName, kShapes, {}));
}

TEST_F(DiskCacheFolder, stops_writing_when_the_folder_is_gone) {
  DiskCache cache({.folder = folder_, .budget_bytes = 1 << 20}, pool_);
  fs::remove_all(folder_);
  cache.write(kName, view(), nullptr);
  cache.wait();
  EXPECT_EQ(cache.problem(), "features of pictures are not kept on disk: " + file().string() +
                                 ": cannot write: No such file or directory");
  EXPECT_FALSE(cache.enabled());
}

TEST_F(DiskCacheFolder, gives_back_what_it_was_to_write_when_its_threads_are_gone) {
  const auto content = std::make_shared<int>(0);
  DiskCache cache({.folder = folder_, .budget_bytes = 1 << 20}, pool_);
  pool_.shutdown(Shutdown::cancel);
  cache.write(kName, view(), content);
  cache.wait();
  EXPECT_EQ(content.use_count(), 1);
  EXPECT_FALSE(fs::exists(file()));
}

TEST_F(DiskCacheFolder, without_a_budget_makes_no_folder) {
  const DiskCache cache({.folder = folder_, .budget_bytes = 0}, pool_);
  EXPECT_FALSE(fs::exists(folder_));
  EXPECT_EQ(cache.problem(), "");
}

}  // namespace
}  // namespace qvl
