// The one exception type that leaves the library.
#pragma once

#include <stdexcept>
#include <string>

namespace qvl {

/// What kind of thing an operation could not go on with. The value is the exit code of the command line.
enum class ErrorCode {
  usage = 2,        ///< an argument or a request field is wrong
  model_file = 3,   ///< a file of the model is missing, damaged or unsupported
  media = 4,        ///< a picture or a video is missing, damaged or unsupported
  limit = 5,        ///< a limit would be passed: context length, pixels, memory
  environment = 6,  ///< the machine cannot do it: no threads, no device, a full disk
  cancelled = 130,  ///< the caller's stop token ended it before there was a result
};

/// Thrown where an operation cannot go on. The message is one line that names the thing, what was found and
/// what was expected.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  /// ErrorCode::limit, where there is no memory even for a message. Allocates nothing.
  static Error out_of_memory() { return Error(); }

  ErrorCode code() const { return code_; }
  const char* what() const noexcept override {
    return out_of_memory_ ? "not enough memory" : std::runtime_error::what();
  }

 private:
  Error() : std::runtime_error(""), code_(ErrorCode::limit), out_of_memory_(true) {}

  ErrorCode code_;
  bool out_of_memory_ = false;
};

}  // namespace qvl
