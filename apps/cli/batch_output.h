// Where the answers of a batch go, and what an earlier run has left there.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "file_descriptor.h"
#include "line_reader.h"

namespace qvl::cli {

/// The beginning of each answer: which line of the batch it belongs to.
nlohmann::ordered_json answer_head(const TextLine& line);

/// Of answers that were there before.
struct EarlierAnswers {
  int64_t answered = 0, failed = 0;
  std::optional<int> first_failure = {};  ///< its code
};

/// One answer a line, each written at once. Thread-compatible.
class BatchOutput {
 public:
  /// Standard output where `path` is empty. Throws Error{environment} where the file cannot be opened or is
  /// another batch's at this moment.
  explicit BatchOutput(const std::string& path);

  /// Passes over the lines of `batch` that were answered; where the last answer is not complete, it is cut
  /// off. Throws Error{usage} where they are answers to other lines, or none, and changes nothing then.
  EarlierAnswers resume(LineReader& batch, const std::string& batch_name);
  /// Throws OutputClosed, or Error{environment} where the system cannot write.
  void write(const nlohmann::ordered_json& answer);

 private:
  std::string name_;
  FileDescriptor file_;  // none: standard output
};

}  // namespace qvl::cli
