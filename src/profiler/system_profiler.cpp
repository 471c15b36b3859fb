#include "profiler/system_profiler.h"

#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "profiler/steady_clock.h"

namespace qvl {
namespace {

using Clock = std::chrono::steady_clock;

int64_t thread_cpu_ns() {
  timespec used{};
  if (::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) != 0) return 0;
  return int64_t{used.tv_sec} * 1'000'000'000 + used.tv_nsec;
}

ProfilerOptions checked(const ProfilerOptions& options) {
  if (!(options.interval_s >= 0.01 && options.interval_s <= 3600)) {
    fail(ErrorCode::usage, "profile_interval: found {:g}, expected seconds from 0.01 to 3600",
         options.interval_s);
  }
  if (options.history < 1 || options.history > 100'000) {
    fail(ErrorCode::usage, "history: found {}, expected samples from 1 to 100000", options.history);
  }
  if (options.history_bytes < 4096) {
    fail(ErrorCode::usage, "history_bytes: found {}, expected at least 4096", options.history_bytes);
  }
  return options;
}

}  // namespace

SystemProfiler::SystemProfiler(const ProfilerOptions& options, SystemFiles files,
                               const std::filesystem::path& gpu_library)
    : SystemProfiler(options, std::make_unique<SystemReader>(std::move(files),
                                                             SampleScope{.memory = options.profile_memory,
                                                                         .compute = options.profile_compute},
                                                             gpu_library)) {}

SystemProfiler::SystemProfiler(const ProfilerOptions& options, std::unique_ptr<SampleSource> source)
    : options_(checked(options)), source_(std::move(source)) {}

SystemProfiler::~SystemProfiler() { stop(); }

bool SystemProfiler::start(Listener listener) {
  const std::lock_guard control(control_);
  if (thread_.joinable()) return true;
  {
    const std::lock_guard lock(state_);
    stopping_ = false;
  }
  try {
    thread_ = std::thread([this, told = std::move(listener)] { run(told); });
  } catch (const std::system_error&) {
    return false;
  }
  return true;
}

void SystemProfiler::stop() {
  const std::lock_guard control(control_);
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(state_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

bool SystemProfiler::running() const {
  const std::lock_guard control(control_);
  return thread_.joinable();
}

void SystemProfiler::run(const Listener& listener) {
  ::pthread_setname_np(::pthread_self(), "qvl-profiler");
  const auto interval =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options_.interval_s));
  auto next = Clock::now();
  for (;;) {
    try {
      const SamplePtr sample = sample_now();
      if (listener) listener(*sample);
    } catch (const std::exception&) {
      count_failure();
    }
    // Missed times (a machine that slept, a sample that took long) are not made up for.
    next = std::max(next + interval, Clock::now());
    std::unique_lock lock(state_);
    if (wake_.wait_until(lock, next, [this] { return stopping_; })) return;
  }
}

SystemProfiler::SamplePtr SystemProfiler::sample_now() {
  const std::lock_guard reading(reading_);
  const int64_t begin_ns = thread_cpu_ns();
  auto sample = std::make_shared<Sample>(source_->read(steady_ns()));
  sample->cost_ns = thread_cpu_ns() - begin_ns;
  keep(sample);
  return sample;
}

void SystemProfiler::keep(SamplePtr sample) {
  const size_t bytes = bytes_of(*sample);
  const double cost_s = static_cast<double>(sample->cost_ns) * 1e-9;
  std::deque<Kept> dropped;  // given back without the lock
  const std::lock_guard lock(state_);
  history_.push_back({.sample = std::move(sample), .bytes = bytes});
  history_bytes_ += bytes;
  while (history_.size() > 1 &&
         (history_.size() > options_.history || history_bytes_ > options_.history_bytes)) {
    history_bytes_ -= history_.front().bytes;
    dropped.push_back(std::move(history_.front()));
    history_.pop_front();
  }
  ++cost_.samples;
  cost_.cpu_s += cost_s;
  cost_.longest_s = std::max(cost_.longest_s, cost_s);
}

void SystemProfiler::count_failure() {
  const std::lock_guard lock(state_);
  ++cost_.failed;
}

SystemProfiler::SamplePtr SystemProfiler::latest() const {
  const std::lock_guard lock(state_);
  return history_.empty() ? nullptr : history_.back().sample;
}

std::vector<SystemProfiler::SamplePtr> SystemProfiler::history() const {
  std::vector<SamplePtr> out;
  out.reserve(options_.history);
  const std::lock_guard lock(state_);
  for (const Kept& kept : history_) out.push_back(kept.sample);
  return out;
}

ProfilerCost SystemProfiler::cost() const {
  const std::lock_guard lock(state_);
  return cost_;
}

}  // namespace qvl
