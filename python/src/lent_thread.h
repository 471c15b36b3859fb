// Code of Python on a thread of a pipeline: letting go of a picture, and reading its rows.
#pragma once

#include <nanobind/nanobind.h>

namespace qvl::python {

/// Holds the interpreter's lock on whatever thread. On one of C++'s own, whatever Python runs meanwhile (a
/// finalizer, the collector) must not wait for the pipeline that has lent the thread: here() tells.
class LentThread {
 public:
  LentThread() = default;
  ~LentThread();
  LentThread(const LentThread&) = delete;
  LentThread& operator=(const LentThread&) = delete;

  /// Whether the calling thread is one of C++'s own that runs code of Python.
  static bool here();
  /// Throws Error{environment} "WHAT: ..." where it is.
  static void refuse(const char* what);

 private:
  const bool before_ = lend();  // before the lock makes it a thread that Python knows
  const nanobind::gil_scoped_acquire locked_;

  static bool lend();
};

}  // namespace qvl::python
