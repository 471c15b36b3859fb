#include "base/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>

#include "base/fake_system.h"
#include "base/file.h"
#include "base/file_size_limit.h"

namespace qvl {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;

std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::environment);
    return error.what();
  }
  return "no error";
}

class AtomicFiles : public testing::Test {
 protected:
  AtomicFiles() { folder_.write("/out/old", "old"); }
  std::filesystem::path at(std::string_view name) const {
    return folder_.files().at("/out/" + std::string(name));
  }
  std::vector<std::string> names() const { return folder_.files().names("/out"); }
  std::string text_of(std::string_view name) const {
    return *folder_.files().read("/out/" + std::string(name));
  }

  FakeSystem folder_;
};

TEST_F(AtomicFiles, appear_whole_at_commit) {
  const std::string large(200'000, 'x');
  AtomicFile file(at("new"), ErrorCode::environment);
  file.write("begin ");
  file.write(large);
  EXPECT_THAT(names(), Not(Contains("new")));
  file.write(" end");
  file.commit();
  EXPECT_EQ(text_of("new"), "begin " + large + " end");
  EXPECT_THAT(names(), ElementsAre("new", "old"));
}

TEST_F(AtomicFiles, replace_the_old_one) {
  AtomicFile file(at("old"), ErrorCode::environment);
  file.write("new");
  EXPECT_EQ(text_of("old"), "old");
  file.commit();
  EXPECT_EQ(text_of("old"), "new");
}

TEST_F(AtomicFiles, do_not_replace_a_pipe) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_EQ(message_of([&] { AtomicFile(at("pipe"), ErrorCode::environment); }),
            at("pipe").string() + ": cannot write: found a special file, expected a file or nothing");
  EXPECT_TRUE(std::filesystem::is_fifo(at("pipe")));
}

TEST_F(AtomicFiles, go_through_links) {
  std::filesystem::create_symlink("old", at("link"));
  AtomicFile file(at("link"), ErrorCode::environment);
  file.write("new");
  file.commit();
  EXPECT_TRUE(std::filesystem::is_symlink(at("link")));
  EXPECT_EQ(text_of("old"), "new");
}

TEST_F(AtomicFiles, leave_nothing_without_commit) {
  { AtomicFile(at("new"), ErrorCode::environment).write("lost"); }
  EXPECT_THAT(names(), ElementsAre("old"));
}

TEST_F(AtomicFiles, name_the_file_and_the_cause_where_there_is_no_folder) {
  EXPECT_EQ(message_of([&] { AtomicFile(at("none/new"), ErrorCode::environment); }),
            at("none/new").string() + ": cannot write: No such file or directory");
}

TEST_F(AtomicFiles, do_not_replace_a_folder) {
  std::filesystem::create_directory(at("folder"));
  EXPECT_EQ(message_of([&] { AtomicFile(at("folder"), ErrorCode::environment).commit(); }),
            at("folder").string() + ": cannot write: found a folder, expected a file or nothing");
  EXPECT_THAT(names(), ElementsAre("folder", "old"));
}

TEST_F(AtomicFiles, leave_the_old_one_where_there_is_no_room) {
  const std::string message = [&] {
    const FileSizeLimit limit(100'000);
    return message_of([&] {
      AtomicFile file(at("old"), ErrorCode::environment);
      for (int i = 0; i < 100; ++i) file.write(std::string(10'000, 'x'));
      file.commit();
    });
  }();
  EXPECT_EQ(message, at("old").string() + ": cannot write: File too large");
  EXPECT_EQ(text_of("old"), "old");
  EXPECT_THAT(names(), ElementsAre("old"));
}

}  // namespace
}  // namespace qvl
