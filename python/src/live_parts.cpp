#include "live_parts.h"

#include <nanobind/nanobind.h>

#include <algorithm>
#include <chrono>
#include <csignal>

namespace qvl::python {
namespace {

namespace nb = nanobind;

template <typename Part>
void add_to(std::vector<std::weak_ptr<Part>>& parts, const std::shared_ptr<Part>& part) {
  std::erase_if(parts, [](const auto& each) { return each.expired(); });
  parts.push_back(part);
}

void wait_idle_or_die(const system::ThreadManager& threads) {
  for (;;) {
    try {
      return wait_idle(threads);
    } catch (nb::python_error& error) {
      if (error.matches(PyExc_KeyboardInterrupt)) {
        std::signal(SIGINT, SIG_DFL);
        std::raise(SIGINT);
      }
      error.discard_as_unraisable("the end of qvl's threads");
    }
  }
}

}  // namespace

void wait_idle(const system::ThreadManager& threads) {
  constexpr std::chrono::milliseconds kBetweenSignals(50);
  for (bool idle = false; !idle;) {
    {
      const nb::gil_scoped_release unlocked;
      idle = threads.wait_idle(kBetweenSignals);
    }
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
  }
}

void LiveParts::refuse_when_closed() const {
  if (closed_) throw Error(ErrorCode::environment, "threads: the interpreter is ending, none are started");
}

void LiveParts::add(const std::shared_ptr<system::ThreadManager>& threads) {
  forget_parents_threads();
  refuse_when_closed();
  collect();
  add_to(threads_, threads);
}

void LiveParts::add(const std::shared_ptr<system::SystemProfiler>& profiler) {
  forget_parents_threads();
  refuse_when_closed();
  add_to(profilers_, profiler);
}

void LiveParts::add(const std::shared_ptr<OptimizedInferencePipeline>& pipeline) {
  forget_parents_threads();
  refuse_when_closed();
  add_to(pipelines_, pipeline);
}

// After a fork what was retired belongs to threads that are not here.
void LiveParts::forget_parents_threads() {
  if (home_.here()) return;
  (void)std::make_unique<decltype(retired_)>(std::move(retired_)).release();
  (void)std::make_unique<decltype(ending_)>(std::move(ending_)).release();
  retired_.clear();
  ending_.clear();
  threads_.clear();
  profilers_.clear();
  pipelines_.clear();
  home_ = HomeProcess();
}

void LiveParts::retire(std::shared_ptr<system::ThreadManager> threads) {
  threads->close(system::Shutdown::drain);
  retired_.push_back(std::move(threads));
  collect();
}

void LiveParts::retire(std::shared_ptr<OptimizedInferencePipeline> pipeline) {
  std::erase_if(ending_, [](const auto& each) {
    return each.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  });
  ending_.push_back(std::async(std::launch::async, [last = std::move(pipeline)]() mutable {
    last->cleanup();
    last.reset();
  }));
}

// Ends managers that have nothing left to do; their threads need no lock for that. A thread of one of them
// that calls this has its task, so its manager is not idle.
void LiveParts::collect() {
  std::vector<std::shared_ptr<system::ThreadManager>> idle;
  const auto first = std::partition(retired_.begin(), retired_.end(), [](const auto& each) {
    return !each->wait_idle(std::chrono::milliseconds(0));
  });
  idle.assign(std::make_move_iterator(first), std::make_move_iterator(retired_.end()));
  retired_.erase(first, retired_.end());
  const nb::gil_scoped_release unlocked;
  idle.clear();
}

void LiveParts::end() {
  forget_parents_threads();
  closed_ = true;
  std::vector<std::shared_ptr<system::ThreadManager>> all = std::exchange(retired_, {});
  for (const auto& each : threads_) {
    if (auto threads = each.lock()) all.push_back(std::move(threads));
  }
  for (const auto& threads : all) {
    const nb::gil_scoped_release unlocked;
    threads->close(system::Shutdown::cancel);
  }
  for (const auto& threads : all) {
    wait_idle_or_die(*threads);
    const nb::gil_scoped_release unlocked;
    threads->shutdown(system::Shutdown::cancel);
  }
  for (const auto& each : pipelines_) {
    const nb::gil_scoped_release unlocked;
    if (const auto pipeline = each.lock()) pipeline->cleanup();
  }
  // What one of them lets go of may be the last to hold another.
  while (!ending_.empty()) {
    auto ending = std::exchange(ending_, {});
    const nb::gil_scoped_release unlocked;
    ending.clear();
  }
  for (const auto& each : profilers_) {
    if (const auto profiler = each.lock()) profiler->stop_profiling();
  }
}

}  // namespace qvl::python
