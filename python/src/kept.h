// Objects of Python that C++ holds.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <utility>

#include "lent_thread.h"

namespace qvl::python {

/// Holds something whose end needs the interpreter's lock for C++, which may let it go on any thread, and
/// after the interpreter's end.
template <typename Held>
std::shared_ptr<Held> kept(Held held) {
  return {std::make_unique<Held>(std::move(held)).release(), [](Held* pointer) {
            if (!Py_IsInitialized()) return;
            const LentThread locked;
            const std::unique_ptr<Held> ended(pointer);
          }};
}

}  // namespace qvl::python
