// A loaded checkpoint that several Python threads may share: one computes, the others wait.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

#include "lent_thread.h"
#include "qvl/qvl.h"

namespace qvl::python {

struct LoadedModel {
  explicit LoadedModel(Model loaded) : model(std::move(loaded)) {}
  Model model;
  std::mutex one_at_a_time;
  std::atomic<std::thread::id> computing{};
};

/// While it lives, the calling thread computes with the model. Made without the interpreter's lock.
class Computation {
 public:
  /// Throws Error{environment} on a pipeline's thread, which may be the one that the wait is for,
  /// Error{usage} where this thread computes with it already: a listener asked the model that calls it.
  explicit Computation(LoadedModel& model) : model_(model) {
    LentThread::refuse("model");
    if (model.computing == std::this_thread::get_id()) {
      throw Error(ErrorCode::usage, "model: a listener asked the model that is calling it");
    }
    model.one_at_a_time.lock();
    model.computing = std::this_thread::get_id();
  }
  ~Computation() {
    model_.computing = std::thread::id();
    model_.one_at_a_time.unlock();
  }
  Computation(const Computation&) = delete;
  Computation& operator=(const Computation&) = delete;

 private:
  LoadedModel& model_;
};

}  // namespace qvl::python
