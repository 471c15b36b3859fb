#include "pipeline/stop_filter.h"

#include <algorithm>

namespace qvl {

std::string_view StopFilter::add(std::string_view text) {
  out_.clear();
  if (stopped_) return out_;
  held_ += text;
  const auto stop = first_stop();
  stopped_ = stop.has_value();
  const size_t safe = stop.value_or(held_.size() - held_suffix());
  out_.assign(held_, 0, safe);
  held_.erase(0, stopped_ ? held_.size() : safe);
  return out_;
}

std::string_view StopFilter::finish() {
  out_.assign(held_);
  held_.clear();
  return out_;
}

// Where the stop string begins that is complete first, so that the result does not depend on how the text is
// cut.
std::optional<size_t> StopFilter::first_stop() const {
  std::optional<size_t> begin;
  size_t end = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t found = held_.find(stop);
    if (found == std::string::npos || found + stop.size() > end) continue;
    if (found + stop.size() < end || found < *begin) begin = found;
    end = found + stop.size();
  }
  return begin;
}

// The longest end of the held text that begins a stop string.
size_t StopFilter::held_suffix() const {
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (size_t length = std::min(stop.size() - 1, held_.size()); length > longest; --length) {
      if (held_.ends_with(std::string_view(stop).substr(0, length))) longest = length;
    }
  }
  return longest;
}

}  // namespace qvl
