// The pools behind qvl.ThreadManager: they run objects of Python that have run() and cancel().
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "bindings.h"

namespace qvl::python {
namespace {

// Whether the calling thread does work of a pool: it must not wait for room in one, nor for one to end.
thread_local bool at_work = false;

// What the method returns; nothing where it raised, which only a signal's handler does.
nb::object call(const nb::object& item, const char* method) {
  try {
    return item.attr(method)();
  } catch (nb::python_error& error) {
    error.discard_as_unraisable(item);
    return {};
  }
}

/// Takes the interpreter's lock to run and to end.
class PythonWork final : public system::Work {
 public:
  explicit PythonWork(nb::object item) : item_(std::move(item)) {}
  ~PythonWork() override {
    const nb::gil_scoped_acquire locked;
    if (item_.is_valid()) (void)call(item_, "cancel");
    item_.reset();
  }
  void run() override {
    const nb::gil_scoped_acquire locked;
    at_work = true;
    const nb::object done = call(item_, "run");
    item_.reset();
    at_work = false;
    // Its future has the error; the pool counts it.
    if (done.is_valid() && nb::cast<bool>(done)) return;
    throw Error(ErrorCode::environment, "the task raised");
  }

 private:
  nb::object item_;
};

system::Pool pool_named(const std::string& name) {
  if (name == "io") return system::Pool::io;
  return name == "preprocess" ? system::Pool::preprocess : system::Pool::compute;
}

class ThreadPools {
 public:
  ThreadPools(const SystemOptimizationConfig& config, std::shared_ptr<LiveParts> parts)
      : parts_(std::move(parts)), threads_("ThreadManager", std::make_shared<system::ThreadManager>(config)) {
    parts_->add(threads_.shared());
  }
  ~ThreadPools() {
    if (home_.here()) parts_->retire(threads_.shared());
  }
  ThreadPools(const ThreadPools&) = delete;
  ThreadPools& operator=(const ThreadPools&) = delete;

  void submit(const std::string& pool, nb::object item) {
    const auto threads = threads_.shared();
    auto work = std::make_unique<PythonWork>(std::move(item));
    const nb::gil_scoped_release unlocked;
    if (!at_work) return threads->submit(pool_named(pool), std::move(work));
    if (threads->try_submit(pool_named(pool), std::move(work))) return;
    throw Error(ErrorCode::limit, pool + " pool: " + std::to_string(system::ThreadManager::kMostWaiting) +
                                      " tasks wait already, and a task cannot wait for room");
  }
  bool closed() const { return closed_ || !parts_->open(); }
  /// Throws where the caller is a task, before anything is closed.
  void check_may_wait() const {
    if (at_work) throw Error(ErrorCode::environment, "shutdown: a task cannot wait for its own end");
  }
  void shutdown(bool waits, bool cancels) {
    if (waits) check_may_wait();
    closed_ = true;
    const auto threads = threads_.shared();
    {
      const nb::gil_scoped_release unlocked;
      threads->close(cancels ? system::Shutdown::cancel : system::Shutdown::drain);
    }
    if (!waits) return;
    wait_idle(*threads);
    const nb::gil_scoped_release unlocked;
    threads->shutdown(system::Shutdown::drain);
  }
  nb::object status() const { return parsed(threads_->status()); }

 private:
  std::shared_ptr<LiveParts> parts_;
  bool closed_ = false;
  HomeProcess home_;
  AtHome<system::ThreadManager> threads_;
};

}  // namespace

void bind_threads(nb::module_& module, const std::shared_ptr<LiveParts>& parts) {
  nb::class_<ThreadPools>(module, "ThreadPools")
      .def(
          "__init__",
          [parts](ThreadPools* self, nb::handle config) { new (self) ThreadPools(config_of(config), parts); },
          nb::arg("config").none())
      .def("submit", &ThreadPools::submit, nb::arg("pool"), nb::arg("item"))
      .def("check_may_wait", &ThreadPools::check_may_wait)
      .def("shutdown", &ThreadPools::shutdown, nb::arg("waits"), nb::arg("cancels"))
      .def_prop_ro("closed", &ThreadPools::closed)
      .def("status", &ThreadPools::status);
}

}  // namespace qvl::python
