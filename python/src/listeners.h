// Callables of Python that are told of text and progress while C++ computes without the interpreter's lock.
#pragma once

#include <nanobind/nanobind.h>

#include <chrono>
#include <exception>

#include "qvl/qvl.h"

namespace qvl::python {

/// Made and destroyed with the interpreter's lock held, used without it. What a callable or a signal handler
/// raises ends the work after its step; raise() throws it once the work has returned.
class PythonListeners {
 public:
  /// Each None, or called with a text; with a stage and a fraction.
  PythonListeners(nanobind::object on_text, nanobind::object on_progress);
  PythonListeners(const PythonListeners&) = delete;
  PythonListeners& operator=(const PythonListeners&) = delete;

  /// Valid as long as this object.
  Listeners listeners();
  ProgressListener progress();
  void raise() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  using Clock = std::chrono::steady_clock;
  void text(std::string_view piece);
  void progressed(const Progress& progress);
  template <typename Call>
  void guarded(Call&& call);
  void look_for_signals();

  nanobind::object on_text_, on_progress_;
  std::stop_source stop_;
  std::exception_ptr error_;
  Clock::time_point next_look_ = Clock::now();
};

}  // namespace qvl::python
