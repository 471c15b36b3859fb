// SystemProfiler, and the meter of energy.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include "arguments.h"
#include "bindings.h"

namespace qvl::python {
namespace {

using Profiler = AtHome<system::SystemProfiler>;

// What the profiler tells, asked for without the interpreter's lock: a sample may take milliseconds.
template <typename Ask>
nb::object told(const Profiler& profiler, Ask&& ask) {
  std::string json;
  {
    const nb::gil_scoped_release unlocked;
    json = ask(*profiler);
  }
  return parsed(json);
}

}  // namespace

void bind_profiler(nb::module_& module, const std::shared_ptr<LiveParts>& parts) {
  nb::class_<Profiler>(
      module, "SystemProfiler", nb::is_weak_referenceable(),
      "Samples the machine beside whatever else runs, into a history of at most 600 samples. Thread-safe.")
      .def("__init__",
           [parts](Profiler* self, const nb::args& given, const nb::kwargs& named) {
             const auto arguments = constructor_arguments("SystemProfiler", {"config"}, given, named);
             auto profiler = std::make_shared<system::SystemProfiler>(config_of(arguments[0]));
             parts->add(profiler);
             new (self) Profiler("SystemProfiler", std::move(profiler));
           })
      .def(
          "start_profiling", [](const Profiler& self) { return self->start_profiling(); },
          nb::call_guard<nb::gil_scoped_release>())
      .def(
          "stop_profiling", [](const Profiler& self) { self->stop_profiling(); },
          nb::call_guard<nb::gil_scoped_release>())
      .def_prop_ro("profiling", [](const Profiler& self) { return self->profiling(); })
      .def("get_current_profile",
           [](const Profiler& self) { return told(self, [](auto& it) { return it.current_profile(); }); })
      .def_prop_ro("profiles",
                   [](const Profiler& self) { return told(self, [](auto& it) { return it.profiles(); }); })
      .def("get_system_summary",
           [](const Profiler& self) { return told(self, [](auto& it) { return it.system_summary(); }); })
      .def("get_hardware_info",
           [](const Profiler& self) { return told(self, [](auto&) { return system::hardware_info(); }); });
  nb::class_<system::EnergyMeter>(module, "EnergyMeter",
                                  "What the processors of this machine use, whoever computes. Thread-safe.")
      .def("__init__",
           [](system::EnergyMeter* self, const nb::args& given, const nb::kwargs& named) {
             constructor_arguments("EnergyMeter", {}, given, named);
             new (self) system::EnergyMeter();
           })
      .def("advance", &system::EnergyMeter::advance, nb::call_guard<nb::gil_scoped_release>())
      .def("joules", &system::EnergyMeter::joules, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace qvl::python
