// What is written comes back, and whatever is changed in a file is refused with one line.
#include "pipeline/session/session_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>

#include "base/error_testing.h"
#include "base/fake_system.h"

namespace qvl {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

constexpr uint64_t kBlockBytes = 5000;
constexpr int32_t kTokens = 70;  // two blocks

class SessionFiles : public ::testing::Test {
 protected:
  SessionFiles() { write(); }

  void write() const {
    SessionWriter writer(path_);
    std::vector<int32_t> ids(kTokens);
    for (int32_t i = 0; i < kTokens; ++i) ids[static_cast<size_t>(i)] = 3 * i;
    writer.begin("{\"turns\": 1}", ids, kBlockBytes);
    for (int block = 1; block <= 2; ++block) {
      writer.add_block(std::vector<std::byte>(kBlockBytes, static_cast<std::byte>(block)));
    }
    writer.commit();
  }
  static void read(const std::filesystem::path& path) {
    SessionReader reader(path);
    (void)reader.read_text();
    (void)reader.read_ids();
    std::vector<std::byte> block(reader.header().block_bytes);
    for (uint64_t i = 0; i < reader.header().blocks(); ++i) reader.read_block(block);
    reader.finish();
  }
  // Behind the name of the file; empty where it is read.
  std::string problem() const {
    const std::string message = error_of(ErrorCode::usage, [&] { read(path_); });
    const std::string name = path_.string();
    if (message.empty()) return message;
    EXPECT_EQ(message.substr(0, name.size() + 2), name + ": ");
    EXPECT_EQ(message.find('\n'), std::string::npos);
    return message.substr(name.size() + 2);
  }
  std::string bytes() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void put(const std::string& bytes) const { std::ofstream(path_, std::ios::binary) << bytes; }
  // The header with a change and a checksum that fits it.
  std::string problem_of(const std::function<void(SessionHeader&)>& change) const {
    std::string changed = bytes();
    SessionHeader header;
    std::memcpy(&header, changed.data(), sizeof header);
    change(header);
    header.own = checksum_of(std::as_bytes(std::span(&header, 1)).first(offsetof(SessionHeader, own)));
    std::memcpy(changed.data(), &header, sizeof header);
    put(changed);
    return problem();
  }

  FakeSystem folder_;
  const std::filesystem::path path_ = folder_.files().at("/session");
};

TEST_F(SessionFiles, come_back_as_they_were_written) {
  SessionReader reader(path_);
  EXPECT_EQ(reader.header().tokens, 70u);
  EXPECT_EQ(reader.header().blocks(), 2u);
  EXPECT_EQ(reader.header().block_bytes, kBlockBytes);
  EXPECT_EQ(reader.read_text(), "{\"turns\": 1}");
  EXPECT_EQ(reader.read_ids()[69], 207);
  std::vector<std::byte> block(kBlockBytes);
  reader.read_block(block);
  EXPECT_EQ(block, std::vector<std::byte>(kBlockBytes, std::byte{1}));
  reader.read_block(block);
  EXPECT_EQ(block, std::vector<std::byte>(kBlockBytes, std::byte{2}));
  reader.finish();
  EXPECT_EQ(bytes().size(), sizeof(SessionHeader) + 12 + 70 * 4 + 2 * kBlockBytes + sizeof(ContentKey));
}

TEST_F(SessionFiles, that_end_too_early_are_refused_wherever_they_end) {
  const std::string whole = bytes();
  const size_t least = sizeof(SessionHeader) + sizeof(ContentKey);
  for (size_t end = 0; end < whole.size(); end += end < 300 ? 1 : 97) {
    put(whole.substr(0, end));
    const std::string expected =
        end < least ? fmt::format("found {} bytes, expected at least the {} of an empty session", end, least)
                    : fmt::format("damaged: found {} bytes, expected {} by its header", end, whole.size());
    ASSERT_EQ(problem(), expected) << end;
  }
  put(whole + "x");
  EXPECT_EQ(problem(), fmt::format("damaged: found {} bytes, expected {} by its header", whole.size() + 1,
                                   whole.size()));
}

TEST_F(SessionFiles, with_one_flipped_bit_are_refused_wherever_it_is) {
  const std::string whole = bytes();
  const size_t checked_header = offsetof(SessionHeader, own) + sizeof(uint64_t);
  for (size_t at = 0; at < whole.size(); at += at < 300 ? 1 : 211) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
    put(changed);
    const std::string found = problem();
    if (at < 7) {
      ASSERT_THAT(found, EndsWith("at its beginning, expected \"QVLSESS\" of a session")) << at;
    } else if (at == 7) {
      ASSERT_EQ(found, "found a session of version \\xb1, expected version 1");
    } else {
      ASSERT_EQ(found, at < checked_header ? "damaged: its header is not what was written"
                                           : "damaged: its contents are not what was written")
          << at;
    }
  }
}

TEST_F(SessionFiles, of_another_version_or_kind_say_so) {
  EXPECT_EQ(problem_of([](SessionHeader& header) { header.magic[7] = '2'; }),
            "found a session of version 2, expected version 1");
  put(std::string(500, 'x'));
  EXPECT_EQ(problem(), "found \"xxxxxxx\" at its beginning, expected \"QVLSESS\" of a session");
}

TEST_F(SessionFiles, with_headers_that_claim_too_much_are_refused_before_anything_is_allocated) {
  const uint64_t size = bytes().size();
  for (const uint64_t huge : {uint64_t{1} << 40, (uint64_t{1} << 62) + 1, (uint64_t{1} << 63) - 1,
                              uint64_t{1} << 63, ~uint64_t{0}}) {
    const auto claims = [&](uint64_t text, uint64_t tokens, uint64_t block) {
      return fmt::format("its header claims {} bytes of text and {} tokens of {} bytes a block", text, tokens,
                         block);
    };
    write();
    EXPECT_EQ(problem_of([&](SessionHeader& header) { header.text_bytes = huge; }),
              claims(huge, kTokens, kBlockBytes));
    write();
    EXPECT_THAT(problem_of([&](SessionHeader& header) { header.tokens = huge; }),
                ::testing::AnyOf(claims(12, huge, kBlockBytes),
                                 HasSubstr(fmt::format("damaged: found {} bytes, expected ", size))));
    write();
    EXPECT_THAT(problem_of([&](SessionHeader& header) { header.block_bytes = huge; }),
                ::testing::AnyOf(claims(12, kTokens, huge),
                                 HasSubstr(fmt::format("damaged: found {} bytes, expected ", size))));
  }
  // 13 bytes of text of which one is a token's.
  write();
  EXPECT_EQ(problem_of([&](SessionHeader& header) { header.text_bytes = 13; }),
            fmt::format("damaged: found {} bytes, expected {} by its header", size, size + 1));
  // Sizes that add up, of another text.
  write();
  EXPECT_EQ(problem_of([&](SessionHeader& header) {
              header.text_bytes += 4;
              header.tokens -= 1;
            }),
            "damaged: its contents are not what was written");
}

TEST_F(SessionFiles, that_are_none_are_refused) {
  std::filesystem::remove(path_);
  EXPECT_EQ(problem(), "cannot open: No such file or directory");
  std::filesystem::create_directory(path_);
  EXPECT_EQ(problem(), "found a folder, expected the file of a session");
  std::filesystem::remove(path_);
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(problem(), "found a special file, expected the file of a session");
}

TEST_F(SessionFiles, leave_the_old_one_where_they_are_not_committed) {
  const std::string before = bytes();
  {
    SessionWriter writer(path_);
    writer.begin("{}", {}, kBlockBytes);
  }
  EXPECT_EQ(bytes(), before);
  EXPECT_EQ(folder_.files().names("/"), std::vector<std::string>{"session"});
}

}  // namespace
}  // namespace qvl
