// Errors as tests compare them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "qvl/error.h"

namespace qvl {

/// The whole message of the error that `call` throws, which must be of `code`; empty where it throws none.
/// Other exceptions pass.
template <typename Call>
std::string error_of(ErrorCode code, Call&& call) {
  try {
    std::forward<Call>(call)();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  return "";
}

}  // namespace qvl
