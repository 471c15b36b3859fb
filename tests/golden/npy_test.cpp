#include "npy.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <stdexcept>

namespace qvl::golden {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string npy(const std::string& header, const std::string& data) {
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(header.size());
  bytes += '\0';
  return bytes + header + data;
}

const std::string two_values("\x00\x00\x80\x3f\x00\x00\x00\xc0", 8);

TEST(Npy, ReadsFloat32) {
  const auto header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }   \n";
  EXPECT_THAT(parse_npy(npy(header, two_values), "x"), ElementsAre(1.0f, -2.0f));
}

TEST(Npy, RefusesWhatItDoesNotKnow) {
  const auto refusal = [](const char* what) { return ThrowsMessage<std::runtime_error>(HasSubstr(what)); };
  const auto shape = [](const char* type, const char* size) {
    return fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}\n", type, size);
  };
  EXPECT_THAT([&] { parse_npy("not npy", "x"); }, refusal("x: not a .npy file"));
  EXPECT_THAT([&] { parse_npy(npy(shape("<f8", "1,"), two_values), "x"); },
              refusal("not a one-dimensional float32"));
  EXPECT_THAT([&] { parse_npy(npy(shape("<f4", "1, 2"), two_values), "x"); },
              refusal("not a one-dimensional"));
  EXPECT_THAT([&] { parse_npy(npy(shape("<f4", "3,"), two_values), "x"); },
              refusal("found 8 bytes of values, expected 3"));
  EXPECT_THAT([&] { read_npy("/no/such/file.npy"); }, refusal("/no/such/file.npy: cannot be read"));
}

}  // namespace
}  // namespace qvl::golden
