// For the tests of configurations: the message of a refusal. Only for tests.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "base/error_testing.h"

namespace qvl {

/// The message `action` is refused with, which must be one line under `code`.
inline std::string refusal(ErrorCode code, const std::function<void()>& action) {
  const std::string message = error_of(code, action);
  EXPECT_FALSE(message.empty()) << "nothing was thrown";
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  return message;
}

}  // namespace qvl
