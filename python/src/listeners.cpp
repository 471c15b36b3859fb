#include "listeners.h"

namespace qvl::python {

namespace nb = nanobind;

PythonListeners::PythonListeners(nb::object on_text, nb::object on_progress)
    : on_text_(std::move(on_text)), on_progress_(std::move(on_progress)) {}

ProgressListener PythonListeners::progress() {
  return [this](const Progress& now) { progressed(now); };
}

Listeners PythonListeners::listeners() {
  return {.text = [this](std::string_view piece) { text(piece); },
          .progress = progress(),
          .stop = stop_.get_token()};
}

void PythonListeners::text(std::string_view piece) {
  if (on_text_.is_none()) return look_for_signals();
  guarded([&] { on_text_(nb::str(piece.data(), piece.size())); });
}

void PythonListeners::progressed(const Progress& now) {
  if (on_progress_.is_none()) return look_for_signals();
  guarded([&] { on_progress_(nb::str(now.stage.data(), now.stage.size()), now.fraction); });
}

template <typename Call>
void PythonListeners::guarded(Call&& call) {
  if (error_) return;
  const nb::gil_scoped_acquire locked;
  try {
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    call();
  } catch (...) {
    error_ = std::current_exception();
    stop_.request_stop();
  }
}

// Not at each token: while other threads of Python compute, each look waits for its turn.
void PythonListeners::look_for_signals() {
  constexpr std::chrono::milliseconds kBetweenLooks(50);
  if (Clock::now() < next_look_) return;
  guarded([] {});
  next_look_ = Clock::now() + kBetweenLooks;
}

}  // namespace qvl::python
