#include "memory/address_range.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "base/error.h"

namespace qvl {
namespace {

FileDescriptor file_of(size_t bytes, char fill) {
  FileDescriptor file(::memfd_create("range", MFD_CLOEXEC));
  const std::vector<char> text(bytes, fill);
  EXPECT_EQ(::pwrite(file.get(), text.data(), bytes, 0), static_cast<ssize_t>(bytes));
  return file;
}

std::string damage(const AddressRange& range) {
  try {
    range.check_undamaged("packed.bin");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::model_file);
    return error.what();
  }
  return "";
}

TEST(AddressRange, keeps_its_addresses_when_memory_is_put_behind_them) {
  AddressRange range(page_size() + 1);
  EXPECT_EQ(range.size(), 2 * page_size());
  std::byte* const data = range.data();
  ASSERT_TRUE(range.back_with_memory(range.size(), HugePages::off));
  EXPECT_EQ(range.data(), data);
  EXPECT_EQ(data[range.size() - 1], std::byte{0});
  data[0] = std::byte{1};
  const AddressRange moved = std::move(range);
  EXPECT_EQ(moved.data(), data);
  EXPECT_EQ(moved.data()[0], std::byte{1});
  EXPECT_FALSE(moved.damaged());
}

TEST(AddressRange, survives_that_the_file_behind_it_shrinks_and_says_so) {
  const size_t page = page_size();
  const FileDescriptor file = file_of(3 * page, 'x');
  AddressRange first(2 * page);
  ASSERT_TRUE(first.back_with_file(file.get(), 2 * page, AddressRange::Access::read));
  const AddressRange range = std::move(first);
  EXPECT_FALSE(range.damaged());
  EXPECT_EQ(damage(range), "");
  ASSERT_EQ(::ftruncate(file.get(), 100), 0);
  EXPECT_TRUE(range.damaged());
  EXPECT_EQ(range.data()[page], std::byte{0});
  EXPECT_EQ(range.data()[0], std::byte{'x'});
  EXPECT_EQ(damage(range),
            fmt::format("packed.bin: changed while in use: found 100 bytes, expected {}", 3 * page));
}

TEST(AddressRange, is_not_damaged_by_its_own_writes) {
  const size_t page = page_size();
  const FileDescriptor file = file_of(page, 'x');
  AddressRange range(page);
  ASSERT_TRUE(range.back_with_file(file.get(), page, AddressRange::Access::write));
  range.data()[0] = std::byte{'y'};
  ASSERT_EQ(::pwrite(file.get(), "z", 1, 1), 1);
  EXPECT_FALSE(range.damaged());
  EXPECT_EQ(range.data()[1], std::byte{'z'});
}

TEST(AddressRange, forgets_the_file_when_memory_takes_its_place) {
  const size_t page = page_size();
  const FileDescriptor file = file_of(page, 'x');
  AddressRange range(page);
  ASSERT_TRUE(range.back_with_file(file.get(), page, AddressRange::Access::read));
  ASSERT_EQ(::ftruncate(file.get(), 0), 0);
  EXPECT_TRUE(range.damaged());
  ASSERT_TRUE(range.back_with_memory(page, HugePages::off));
  EXPECT_FALSE(range.damaged());
}

TEST(AddressRange, refuses_a_file_that_cannot_be_mapped) {
  AddressRange range(page_size());
  EXPECT_FALSE(range.back_with_file(-1, page_size(), AddressRange::Access::read));
}

}  // namespace
}  // namespace qvl
