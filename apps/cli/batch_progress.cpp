#include "batch_progress.h"

#include <algorithm>

#include "number_text.h"

namespace qvl::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kTerminalPace = 100ms;
constexpr auto kFilePace = 5s;
constexpr int64_t kBarWidth = 24;

double seconds_between(BatchProgress::Time from, BatchProgress::Time to) {
  return std::chrono::duration<double>(to - from).count();
}

std::string bar(int64_t done, int64_t total) {
  const int64_t full = total > 0 ? kBarWidth * std::min(done, total) / total : kBarWidth;
  std::string text(1, '[');
  text.append(static_cast<size_t>(full), '#').append(static_cast<size_t>(kBarWidth - full), '.');
  return text += "] ";
}

// "1:05", "2:03:04".
std::string clock_text(double seconds) {
  const auto all = static_cast<int64_t>(seconds + 0.5);
  const int64_t hours = all / 3600, minutes = all / 60 % 60;
  std::string text;
  const auto add_two = [&](int64_t value) {
    if (value < 10) text += '0';
    text += std::to_string(value);
  };
  if (hours > 0) {
    text += std::to_string(hours) + ':';
    add_two(minutes);
  } else {
    text += std::to_string(minutes);
  }
  text += ':';
  add_two(all % 60);
  return text;
}

}  // namespace

// ", 1.50 pictures/s": of pictures, where there are any.
std::string BatchProgress::rates(const BatchCount& count, Time now) const {
  const double seconds = seconds_between(began_, now);
  const int64_t done = count.pictures > 0 ? count.pictures : count.answered - skipped_;
  if (done == 0 || seconds <= 0) return "";
  std::string text = ", ";
  text += fixed(static_cast<double>(done) / seconds, 2);
  return text += count.pictures > 0 ? " pictures/s" : " answers/s";
}

std::string BatchProgress::remaining(const BatchCount& count, Time now) const {
  const int64_t done = count.answered - skipped_;
  if (!total_ || done == 0 || count.answered >= *total_) return "";
  const auto left = static_cast<double>(*total_ - count.answered);
  std::string text = ", ";
  text += clock_text(seconds_between(began_, now) * left / static_cast<double>(done));
  return text += " left";
}

std::string BatchProgress::show(const BatchCount& count, Time now) {
  const bool terminal = target_ == ProgressTarget::terminal;
  if (now - shown_at_ < (terminal ? std::chrono::milliseconds(kTerminalPace) : kFilePace)) return "";
  shown_at_ = now;
  std::string text = terminal ? "\r" : "qvl: ";
  if (terminal && total_) text += bar(count.answered, *total_);
  text += std::to_string(count.answered);
  if (total_) (text += '/') += std::to_string(*total_);
  text += " answered";
  if (count.failed > 0) ((text += " (") += std::to_string(count.failed)) += " failed)";
  text += rates(count, now) + remaining(count, now);
  open_ = terminal;
  return text += terminal ? "\x1b[K" : " ...\n";
}

std::string BatchProgress::finish(const BatchCount& count, Time now) {
  std::string text = open_ ? "\r\x1b[Kqvl: " : "qvl: ";
  open_ = false;
  text += counted(count.answered - skipped_, "request") + " answered";
  if (skipped_ > 0) ((text += ", ") += std::to_string(skipped_)) += " were before";
  ((text += ", ") += std::to_string(count.failed)) += " failed";
  return text += rates(count, now) + '\n';
}

}  // namespace qvl::cli
