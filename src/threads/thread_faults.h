// Systems that refuse threads or rights, for tests of this module. Only for tests.
#pragma once

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "threads/os_thread.h"

namespace qvl {

/// Starts `count` threads and refuses every further one, as a system at its limit does.
inline StartThread refuse_after(int count) {
  auto left = std::make_shared<std::atomic<int>>(count);
  return [left](std::function<void()> body) {
    if (left->fetch_sub(1) <= 0) {
      throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
    }
    return start_thread(std::move(body));
  };
}

/// What refuse_after's refusal is called.
inline const char* const kRefusal = "Resource temporarily unavailable";

/// Runs `body` on a thread that may not raise priorities, whoever runs the test.
inline void without_right_to_raise(const std::function<void()>& body) {
  std::thread([&] {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, 2> data{};
    ASSERT_EQ(::syscall(SYS_capget, &header, data.data()), 0);
    data[CAP_TO_INDEX(CAP_SYS_NICE)].effective &= ~CAP_TO_MASK(CAP_SYS_NICE);
    ASSERT_EQ(::syscall(SYS_capset, &header, data.data()), 0);
    rlimit limit{};
    ASSERT_EQ(::getrlimit(RLIMIT_NICE, &limit), 0);
    if (limit.rlim_cur > 0) GTEST_SKIP() << "everybody may raise priorities here";
    if (thread_priority(this_thread_id()).nice > 9) GTEST_SKIP() << "runs after everybody else already";
    body();
  }).join();
}

}  // namespace qvl
