#include "memory/fault_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "memory/file_descriptor.h"
#include "memory/page_size.h"

namespace qvl {
namespace {

// A file of some pages of 'x' in memory, mapped shared, whose guard is the test's business.
class MappedPages {
 public:
  explicit MappedPages(size_t pages)
      : size_(pages * page_size()), file_(::memfd_create("pages", MFD_CLOEXEC)) {
    const std::vector<char> text(size_, 'x');
    EXPECT_EQ(::pwrite(file_.get(), text.data(), size_, 0), static_cast<ssize_t>(size_));
    void* address = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
    EXPECT_NE(address, MAP_FAILED);
    data_ = static_cast<std::byte*>(address);
  }
  ~MappedPages() { ::munmap(data_, size_); }
  MappedPages(const MappedPages&) = delete;
  MappedPages& operator=(const MappedPages&) = delete;

  void truncate_to(size_t bytes) const { ASSERT_EQ(::ftruncate(file_.get(), static_cast<off_t>(bytes)), 0); }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  char read(size_t at) const { return static_cast<char>(*static_cast<volatile std::byte*>(data_ + at)); }
  void write(size_t at, char value) const {
    *static_cast<volatile std::byte*>(data_ + at) = static_cast<std::byte>(value);
  }

 private:
  size_t size_;
  FileDescriptor file_;
  std::byte* data_ = nullptr;
};

TEST(FaultGuard, puts_zeros_from_the_first_lost_page_on_and_keeps_those_before) {
  const size_t page = page_size();
  const MappedPages pages(4);
  const FaultGuard guard(pages.bytes(), FaultGuard::Access::read);
  ASSERT_TRUE(guard.active());
  pages.truncate_to(page);
  EXPECT_EQ(pages.read(0), 'x');
  EXPECT_FALSE(guard.faulted());
  EXPECT_EQ(pages.read(2 * page + 5), 0);
  EXPECT_TRUE(guard.faulted());
  EXPECT_EQ(pages.read(4 * page - 1), 0);
  EXPECT_EQ(pages.read(page), 0);
  EXPECT_EQ(pages.read(page - 1), 'x');
}

TEST(FaultGuard, keeps_its_zeros_where_the_file_grows_back) {
  const size_t page = page_size();
  const MappedPages pages(2);
  const FaultGuard guard(pages.bytes(), FaultGuard::Access::read);
  pages.truncate_to(0);
  EXPECT_EQ(pages.read(page), 0);
  pages.truncate_to(2 * page);
  EXPECT_EQ(pages.read(page), 0);
  EXPECT_TRUE(guard.faulted());
}

TEST(FaultGuard, of_a_mapping_to_write_takes_writes_to_lost_pages) {
  const MappedPages pages(2);
  const FaultGuard guard(pages.bytes(), FaultGuard::Access::write);
  pages.truncate_to(0);
  pages.write(page_size(), 'y');
  EXPECT_EQ(pages.read(page_size()), 'y');
  EXPECT_TRUE(guard.faulted());
}

TEST(FaultGuard, marks_the_one_mapping_that_lost_a_page) {
  const MappedPages whole(1), lost(1);
  const FaultGuard of_whole(whole.bytes(), FaultGuard::Access::read);
  FaultGuard first(lost.bytes(), FaultGuard::Access::read);
  const FaultGuard of_lost = std::move(first);
  EXPECT_FALSE(first.active());  // NOLINT: the moved-from state is part of the contract
  lost.truncate_to(0);
  EXPECT_EQ(lost.read(0), 0);
  EXPECT_TRUE(of_lost.faulted());
  EXPECT_FALSE(of_whole.faulted());
}

TEST(FaultGuard, is_inactive_beyond_the_most_and_active_again_when_another_ends) {
  const MappedPages pages(1);
  const auto guard = [&] { return FaultGuard(pages.bytes(), FaultGuard::Access::read); };
  std::vector<FaultGuard> guards;
  while (guards.size() < FaultGuard::kMost) {
    guards.push_back(guard());
    ASSERT_TRUE(guards.back().active());
  }
  EXPECT_FALSE(guard().active());
  EXPECT_FALSE(guard().faulted());
  guards.pop_back();
  EXPECT_TRUE(guard().active());
  for (size_t i = 0; i < 3 * FaultGuard::kMost; ++i) ASSERT_TRUE(guard().active());
}

TEST(FaultGuard, of_nothing_is_inactive) {
  EXPECT_FALSE(FaultGuard().active());
  EXPECT_FALSE(FaultGuard({}, FaultGuard::Access::read).active());
}

TEST(FaultGuard, serves_a_place_that_had_a_fault_to_the_next_mapping_unmarked) {
  for (int round = 0; round < 3; ++round) {
    const MappedPages pages(1);
    const FaultGuard guard(pages.bytes(), FaultGuard::Access::read);
    ASSERT_FALSE(guard.faulted());
    pages.truncate_to(0);
    ASSERT_EQ(pages.read(0), 0);
    ASSERT_TRUE(guard.faulted());
  }
}

TEST(FaultGuard, holds_while_threads_read_a_file_that_shrinks) {
  constexpr size_t kPages = 64;
  const MappedPages pages(kPages);
  const FaultGuard guard(pages.bytes(), FaultGuard::Access::read);
  std::atomic<int> reading{0};
  const auto read_until_lost = [&] {
    ++reading;
    for (size_t at = 0;; at = (at + 97) % (kPages * page_size())) {
      const char found = pages.read(at);
      if (found == 0) break;
      ASSERT_EQ(found, 'x');
    }
    EXPECT_TRUE(guard.faulted());  // whoever reads a zero is told
  };
  std::thread first(read_until_lost), second(read_until_lost);
  while (reading < 2) std::this_thread::yield();
  pages.truncate_to(0);
  first.join();
  second.join();
}

TEST(FaultGuard, finds_its_range_while_other_threads_come_and_go) {
  std::atomic<bool> done{false};
  const MappedPages other(1);
  std::vector<std::thread> others;
  for (int i = 0; i < 3; ++i) {
    others.emplace_back([&] {
      while (!done) EXPECT_TRUE(FaultGuard(other.bytes(), FaultGuard::Access::read).active());
    });
  }
  for (int round = 0; round < 300; ++round) {
    const MappedPages pages(2);
    const FaultGuard guard(pages.bytes(), FaultGuard::Access::read);
    pages.truncate_to(0);
    ASSERT_EQ(pages.read(page_size()), 0);
    ASSERT_TRUE(guard.faulted());
  }
  done = true;
  for (auto& thread : others) thread.join();
}

// A process of its own, in which no guard was made before: what stood there for SIGBUS is the test's choice.
class FaultGuardDeathTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  // Guards one file, then loses a page of another.
  static void lose_an_unguarded_page() {
    const MappedPages guarded(1), foreign(1);
    const FaultGuard guard(guarded.bytes(), FaultGuard::Access::read);
    foreign.truncate_to(0);
    foreign.read(0);
  }
  static void send_the_signal() {
    const MappedPages guarded(1);
    const FaultGuard guard(guarded.bytes(), FaultGuard::Access::read);
    ::raise(SIGBUS);
  }
};

TEST_F(FaultGuardDeathTest, leaves_other_faults_to_the_default_that_ends_the_process) {
  EXPECT_EXIT((::signal(SIGBUS, SIG_DFL), lose_an_unguarded_page()), testing::KilledBySignal(SIGBUS), "");
  EXPECT_EXIT((::signal(SIGBUS, SIG_DFL), send_the_signal()), testing::KilledBySignal(SIGBUS), "");
}

TEST_F(FaultGuardDeathTest, ignores_only_a_sent_signal_where_signals_were_ignored) {
  EXPECT_EXIT((::signal(SIGBUS, SIG_IGN), send_the_signal(), ::_exit(7)), testing::ExitedWithCode(7), "");
  EXPECT_EXIT((::signal(SIGBUS, SIG_IGN), lose_an_unguarded_page()), testing::KilledBySignal(SIGBUS), "");
}

TEST_F(FaultGuardDeathTest, calls_the_handler_that_was_there_before) {
  EXPECT_EXIT((::signal(SIGBUS, [](int) { ::_exit(8); }), lose_an_unguarded_page()),
              testing::ExitedWithCode(8), "");
  const auto with_details = [] {
    struct sigaction action {};
    action.sa_flags = SA_SIGINFO;
    action.sa_sigaction = [](int, siginfo_t* info, void*) { ::_exit(info->si_code == BUS_ADRERR ? 9 : 1); };
    ::sigaction(SIGBUS, &action, nullptr);
    lose_an_unguarded_page();
  };
  EXPECT_EXIT(with_details(), testing::ExitedWithCode(9), "");
}

TEST_F(FaultGuardDeathTest, no_longer_holds_when_it_has_ended) {
  const auto lose_after_the_guard = [] {
    ::signal(SIGBUS, SIG_DFL);
    const MappedPages pages(1);
    { const FaultGuard guard(pages.bytes(), FaultGuard::Access::read); }
    pages.truncate_to(0);
    pages.read(0);
  };
  EXPECT_EXIT(lose_after_the_guard(), testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace qvl
