#include "progress_line.h"

namespace qvl::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 1s, kFilePace = 1s;
constexpr auto kTerminalPace = 100ms;

std::string name_of(const Progress& progress) {
  std::string name(progress.stage);
  if (!progress.detail.empty()) (name += ": ") += progress.detail;
  return name;
}

}  // namespace

std::string ProgressLine::show(const Progress& progress, Time now) {
  std::string out;
  if (progress.stage != stage_) {
    out = clear();
    stage_ = progress.stage;
    began_ = now;
    shown_.clear();
  }
  if (progress.fraction >= 1 || now - began_ < kPatience) return out;
  const std::string name = name_of(progress);
  const bool first = shown_.empty();
  if (target_ == ProgressTarget::file) {
    if (!first && (name == shown_ || now - shown_at_ < kFilePace)) return out;
    out += "qvl: " + name + " ...\n";
  } else {
    if (!first && now - shown_at_ < kTerminalPace) return out;
    out += "\r" + name + " " + std::to_string(static_cast<int>(progress.fraction * 100)) + " %\x1b[K";
    open_ = true;
  }
  shown_ = name;
  shown_at_ = now;
  return out;
}

std::string ProgressLine::clear() {
  if (!open_) return "";
  open_ = false;
  return "\r\x1b[K";
}

}  // namespace qvl::cli
