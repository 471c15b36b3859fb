// Code of Python on a thread of C++: letting go of what Python owns, and reading the rows of a picture.
#pragma once

#include <nanobind/nanobind.h>

namespace qvl::python {

/// Holds the interpreter's lock on whatever thread. On one of C++'s own, whatever Python runs meanwhile (a
/// finalizer, the collector) must not wait for the pipeline that has lent the thread: here() tells.
class LentThread {
 public:
  /// Whether the calling thread is one of C++'s own that runs code of Python.
  static bool here();
  /// Throws Error{environment} "WHAT: ..." where it is.
  static void refuse(const char* what);

 private:
  struct Mark {
    Mark();
    ~Mark();
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;
    const bool before;
  };
  const Mark
      mark_;  // set before the lock makes it a thread that Python knows, and kept until that is given back
  const nanobind::gil_scoped_acquire locked_;
};

}  // namespace qvl::python
