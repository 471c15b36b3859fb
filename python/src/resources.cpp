// ResourceScheduler, and the report that needs every component.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "arguments.h"
#include "bindings.h"

namespace qvl::python {
namespace {

using system::ResourceCapacities;
using Scheduler = system::ResourceScheduler;

uint64_t* capacity_named(ResourceCapacities& capacities, const std::string& kind) {
  if (kind == "compute") return &capacities.compute;
  if (kind == "memory") return &capacities.memory;
  if (kind == "io") return &capacities.io;
  return kind == "gpu_memory" ? &capacities.gpu_memory : nullptr;
}

// What this machine has, but for those that are given.
ResourceCapacities capacities_of(const SystemOptimizationConfig& config, const nb::object& given) {
  auto out = ResourceCapacities::of_this_machine(config);
  if (given.is_none()) return out;
  if (!nb::isinstance<nb::dict>(given)) {
    throw Error(ErrorCode::usage, "capacities: found " + shown(given) + ", expected a dict");
  }
  for (const auto& [key, value] : nb::cast<nb::dict>(given)) {
    const std::string kind = text_of(key).value_or(shown(key));
    uint64_t* capacity = capacity_named(out, kind);
    if (capacity == nullptr) {
      throw Error(ErrorCode::usage,
                  "capacities: found \"" + kind + "\", expected compute, memory, io or gpu_memory");
    }
    if (nb::isinstance<nb::bool_>(value) || !nb::try_cast(value, *capacity)) {
      throw Error(ErrorCode::usage, "capacities: " + kind + ": found " + shown(value) +
                                        ", expected an integer from 0 to 2^64 - 1");
    }
  }
  return out;
}

// Python's integers have no end.
template <typename Number>
Number number_of(const std::string& name, const nb::int_& value, const char* expected) {
  Number number = 0;
  if (nb::try_cast(value, number)) return number;
  throw Error(ErrorCode::usage, name + ": found " + shown(value) + ", expected " + expected);
}

uint64_t amount_of(const nb::int_& value) {
  return number_of<uint64_t>("amount", value, "an integer from 1 to what may be held");
}

nb::object allocate(Scheduler& scheduler) {
  const auto grant = scheduler.allocate_resources();
  if (!grant) return nb::none();
  return nb::make_tuple(nb::str(grant->kind.data(), grant->kind.size()), grant->amount);
}

// The same with the ticket it is for.
nb::object next_grant(Scheduler& scheduler) {
  const auto grant = scheduler.allocate_resources();
  if (!grant) return nb::none();
  return nb::make_tuple(grant->ticket, nb::str(grant->kind.data(), grant->kind.size()), grant->amount);
}

}  // namespace

void bind_resources(nb::module_& module) {
  nb::class_<Scheduler>(module, "ResourceScheduler",
                        "Resources (compute, memory, io, gpu_memory) that are asked for, granted in the "
                        "order of scheduling_algorithm, and "
                        "given back. No call waits. Thread-safe.")
      .def("__init__",
           [](Scheduler* self, const nb::args& given, const nb::kwargs& named) {
             const auto arguments =
                 constructor_arguments("ResourceScheduler", {"config", "capacities"}, given, named);
             const SystemOptimizationConfig config = config_of(arguments[0]);
             new (self) Scheduler(config, capacities_of(config, arguments[1]));
           })
      .def(
          "request_resources",
          [](Scheduler& self, const std::string& kind, const nb::int_& amount, const nb::int_& priority) {
            return self.request_resources(kind, amount_of(amount),
                                          number_of<int>("priority", priority, "0 to 9"));
          },
          nb::arg("kind"), nb::arg("amount"), nb::arg("priority") = 0)
      .def("allocate_resources", &allocate)
      .def("_next_grant", &next_grant)
      .def(
          "release_resources",
          [](Scheduler& self, const std::string& kind, const nb::int_& amount) {
            self.release_resources(kind, amount_of(amount));
          },
          nb::arg("kind"), nb::arg("amount"))
      .def("cancel_request", &Scheduler::cancel_request, nb::arg("ticket"))
      .def("get_resource_status", [](const Scheduler& self) { return parsed(self.resource_status()); });

  module.def(
      "system_optimization_report",
      [](const AtHome<system::SystemProfiler>& profiler, const system::MemoryManager& memory,
         const Scheduler& scheduler, const SystemOptimizationConfig& config, uint64_t operations,
         double uptime_s) {
        std::string json;
        {
          const nb::gil_scoped_release unlocked;
          json = system::system_optimization_report(*profiler, memory, scheduler,
                                                    {.operations = operations, .uptime_s = uptime_s}, config);
        }
        return parsed(json);
      },
      nb::arg("profiler"), nb::arg("memory"), nb::arg("scheduler"), nb::arg("config"), nb::arg("operations"),
      nb::arg("uptime_s"));
}

}  // namespace qvl::python
