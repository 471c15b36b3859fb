// The extension module qvl._core: thin bindings over include/qvl, for the package beside it.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "argument_names.h"
#include "bindings.h"
#include "qvl/system.h"

namespace qvl::python {
namespace {

const char* exception_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::usage:
      return "UsageError";
    case ErrorCode::model_file:
      return "ModelError";
    case ErrorCode::media:
      return "MediaError";
    case ErrorCode::limit:
      return "LimitError";
    case ErrorCode::cancelled:
      return "CancelledError";
    case ErrorCode::environment:
      break;
  }
  return "MachineError";
}

// The classes are Python's (qvl/_errors.py), since each has a builtin beside qvl.Error as its base.
void translate(const std::exception_ptr& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    const nb::object type = nb::module_::import_("qvl._errors").attr(exception_name(error.code()));
    PyErr_SetObject(type.ptr(), nb::str(with_argument_names(error.what()).c_str()).ptr());
  }
}

}  // namespace

nb::object parsed(const std::string& json) { return nb::module_::import_("json").attr("loads")(json); }

}  // namespace qvl::python

NB_MODULE(_core, module) {
  using namespace qvl::python;
  const auto parts = std::make_shared<LiveParts>();
  nb::register_exception_translator(translate);
  // Objects that outlive the interpreter are no mistake here: threads of a forked child's parent, daemon
  // threads and cycles hold some, and a message at the end of somebody's program helps nobody.
  nb::set_leak_warnings(false);
  bind_config(module);
  bind_profiler(module, parts);
  bind_threads(module, parts);
  bind_memory(module);
  bind_resources(module);
  bind_model(module);
  bind_pictures(module);
  bind_conversation(module);
  bind_pipeline(module, parts);
  module.def("end_threads", [parts] { parts->end(); });
  module.def("hardware_info", [] {
    std::string json;
    {
      const nb::gil_scoped_release unlocked;
      json = qvl::system::hardware_info();
    }
    return parsed(json);
  });
}
