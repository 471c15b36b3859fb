// Weights that change while they are in use: the request ends with one line, and the process goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "qvl/qvl.h"

namespace qvl {
namespace {

class ChangedFile : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("qvl-changed-" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::copy(std::filesystem::path(QVL_SOURCE_DIR) / "models/shapes", folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path weights() const { return folder_ / "model.safetensors"; }
  std::string problem_of_asking(Conversation& conversation) const {
    try {
      conversation.ask({.text = "How many objects are there?"}, {.max_tokens = 4}, {});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::model_file);
      return error.what();
    }
    return "";
  }

  std::filesystem::path folder_;
};

TEST_F(ChangedFile, that_shrank_ends_the_request_and_not_the_process) {
  const auto bytes = std::filesystem::file_size(weights());
  Conversation conversation(load_model({.path = folder_, .threads = 2, .cache_folder = ""}));
  EXPECT_EQ(problem_of_asking(conversation), "");
  std::filesystem::resize_file(weights(), 1000);
  const std::string expected =
      weights().string() + ": changed while in use: found 1000 bytes, expected " + std::to_string(bytes);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(problem_of_asking(conversation), expected);
}

TEST_F(ChangedFile, that_was_replaced_by_a_rename_changes_nothing) {
  Conversation conversation(load_model({.path = folder_, .threads = 2, .cache_folder = ""}));
  std::ofstream(folder_ / "new") << "another file";
  std::filesystem::rename(folder_ / "new", weights());
  EXPECT_EQ(problem_of_asking(conversation), "");
}

}  // namespace
}  // namespace qvl
