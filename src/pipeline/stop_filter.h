// Ends a stream of text before the first stop string, however the string is spread over tokens.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qvl {

/// Holds back text that may be the beginning of a stop string, so that no part of one is ever let out. Texts
/// are valid until the next call; their memory is kept. Thread-compatible.
class StopFilter {
 public:
  /// None of `stops` is empty.
  explicit StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  /// Text that can be let out now. After a stop string was found, none.
  std::string_view add(std::string_view text);
  /// What was held back and turned out not to be a stop string.
  std::string_view finish();
  bool stopped() const { return stopped_; }

 private:
  std::optional<size_t> first_stop() const;
  size_t held_suffix() const;

  std::vector<std::string> stops_;
  std::string held_, out_;
  bool stopped_ = false;
};

}  // namespace qvl
