// Which files of the cache folder are ours, what is told of them, and that clearing takes nothing else.
#include "pipeline/packed_files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "base/error.h"
#include "memory/page_size.h"
#include "qvl/cache.h"

namespace qvl {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

TEST(PackedFileName, has_the_checkpoint_that_is_found_in_it_again) {
  for (const std::string checkpoint : {"2b", "Qwen3-VL-2B-Instruct", "model.gguf", "-", "a b"}) {
    const std::string name = packed_file_name(checkpoint, 0x12ab, {.isa = Isa::scalar});
    EXPECT_EQ(checkpoint_in(name), checkpoint) << name;
  }
  EXPECT_EQ(packed_file_name("2b", 0x12ab,
                             {.text = WeightChoice::q4, .vision = WeightChoice::automatic, .isa = Isa::avx2}),
            "2b-00000000000012ab-q4-auto-q7.packed");
  EXPECT_EQ(checkpoint_in(packed_file_name(std::string(300, 'x'), 1, {})), std::string(80, 'x'));
}

TEST(PackedFileName, of_another_form_names_no_checkpoint) {
  for (const std::string name :
       {"", ".packed", "2b.packed", "2b-q4-q8-q8.packed", "-00000000000012ab-q4-q8-q8.packed",
        "2b-00000000000012aB-q4-q8-q8.packed", "2b-0012ab-q4-q8-q8.packed",
        "2b-00000000000012ab-q4--q8.packed", "2b-00000000000012ab-q4-q8-q8.packed.1"}) {
    EXPECT_EQ(checkpoint_in(name), std::nullopt) << name;
  }
}

class CacheFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("qvl-cache-" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // `pages` of weights and what a trailer begins with.
  void write(const std::string& name, uint64_t pages, const std::string& trailer) const {
    std::ofstream file(folder_ / name, std::ios::binary);
    file << std::string(pages * page_size(), 'w') << trailer;
  }
  std::vector<std::string> left() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }
  std::string problem_of_reading(const fs::path& folder) const {
    try {
      read_cache(folder);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::environment);
      return error.what();
    }
    return "";
  }

  fs::path folder_;
};

TEST_F(CacheFolder, tells_its_packed_files_and_clears_nothing_else) {
  write("2b-00000000000012ab-q4-q8-q8.packed", 2, "QVLPACK1 and more");
  write("2b-00000000000012ab-q4-q8-q8.packed.sources", 0, "goes with it");
  write("another.packed.sources", 0, "of a file that is not there");
  write("of-another-build.packed", 0, "QVLPACK9");
  write("machine.json", 1, "QVLPACK1");
  write("only-the-name.packed", 1, "something else");
  write("2b-00000000000012ab-q4-q8-q8.packed.1234", 1, "QVLPACK1");
  fs::create_directory(folder_ / "folder.packed");
  fs::create_symlink(folder_ / "of-another-build.packed", folder_ / "link.packed");
  ASSERT_EQ(::mkfifo((folder_ / "pipe.packed").c_str(), 0600), 0);

  const CacheContents contents = read_cache(folder_);
  EXPECT_EQ(contents.folder, folder_);
  ASSERT_EQ(contents.files.size(), 2u);
  EXPECT_EQ(contents.files[0].name, "2b-00000000000012ab-q4-q8-q8.packed");
  EXPECT_EQ(contents.files[0].checkpoint, "2b");
  EXPECT_EQ(contents.files[0].bytes, 2 * page_size() + 17);
  EXPECT_EQ(contents.files[1].name, "of-another-build.packed");
  EXPECT_EQ(contents.files[1].checkpoint, std::nullopt);
  EXPECT_EQ(contents.files[1].bytes, 8u);

  EXPECT_EQ(packed_bytes_of(folder_, "2b", 0x12ab), 2 * page_size() + 17);
  EXPECT_EQ(packed_bytes_of(folder_, "2b", 0x12ac), 0u);
  EXPECT_EQ(packed_bytes_of(folder_ / "none", "2b", 0x12ab), 0u);

  const CacheRemoval removal = clear_cache(folder_);
  EXPECT_EQ(removal.removed.files.size(), 2u);
  EXPECT_TRUE(removal.problems.empty());
  EXPECT_THAT(left(), ElementsAre("2b-00000000000012ab-q4-q8-q8.packed.1234", "another.packed.sources",
                                  "folder.packed", "link.packed", "machine.json", "only-the-name.packed",
                                  "pipe.packed"));
  EXPECT_TRUE(clear_cache(folder_).removed.files.empty());
}

TEST_F(CacheFolder, tells_when_a_file_was_used_last) {
  write("a.packed", 0, "QVLPACK1");
  const struct timespec times[2] = {{.tv_sec = 1'700'000'000, .tv_nsec = 0}, {.tv_sec = 1, .tv_nsec = 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (folder_ / "a.packed").c_str(), times, 0), 0);
  for (int look = 0; look < 2; ++look) {  // looking is no use of it
    EXPECT_EQ(std::chrono::system_clock::to_time_t(read_cache(folder_).files.at(0).last_used), 1'700'000'000);
  }
}

TEST_F(CacheFolder, that_is_not_there_has_no_files_and_one_that_is_none_is_refused) {
  EXPECT_TRUE(read_cache(folder_ / "none").files.empty());
  write("plain", 0, "not a folder");
  EXPECT_EQ(problem_of_reading(folder_ / "plain"),
            (folder_ / "plain").string() + ": cannot read the folder: Not a directory");
  EXPECT_EQ(problem_of_reading(""), "no cache folder: neither XDG_CACHE_HOME nor HOME names one");
}

}  // namespace
}  // namespace qvl
