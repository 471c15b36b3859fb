// What has threads of its own, so that none of them runs when the interpreter ends.
#pragma once

#include <future>
#include <memory>
#include <vector>

#include "home_process.h"
#include "qvl/pipeline.h"
#include "qvl/system.h"

namespace qvl::python {

/// Lives as long as the module. Everything is called with the interpreter's lock held, which is the only
/// lock.
class LiveParts {
 public:
  /// Throws Error{environment} once the interpreter is ending.
  void add(const std::shared_ptr<system::ThreadManager>& threads);
  void add(const std::shared_ptr<system::SystemProfiler>& profiler);
  void add(const std::shared_ptr<OptimizedInferencePipeline>& pipeline);

  bool open() const { return !closed_; }

  /// Of a manager whose Python object is gone: what it was given is still done, and nobody waits for that. So
  /// an object may end on a thread of its own.
  void retire(std::shared_ptr<system::ThreadManager> threads);

  /// Of a pipeline whose Python object is gone on a thread that may be its own: another one ends it.
  void retire(std::shared_ptr<OptimizedInferencePipeline> pipeline);

  /// Called when the interpreter ends: gives up what waits, and waits for what runs. An interrupt meanwhile
  /// ends the process: a thread that still runs code of Python would not survive the end of the interpreter.
  void end();

 private:
  void refuse_when_closed() const;
  void forget_parents_threads();
  void collect();

  HomeProcess home_;
  bool closed_ = false;
  std::vector<std::weak_ptr<system::ThreadManager>> threads_;
  std::vector<std::weak_ptr<system::SystemProfiler>> profilers_;
  std::vector<std::weak_ptr<OptimizedInferencePipeline>> pipelines_;
  std::vector<std::shared_ptr<system::ThreadManager>> retired_;
  std::vector<std::future<void>> ending_;  // of pipelines
};

/// Waits until no work waits or runs, without the interpreter's lock. Throws what a signal handler raises
/// meanwhile.
void wait_idle(const system::ThreadManager& threads);

}  // namespace qvl::python
