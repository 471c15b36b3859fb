// What the files of the extension module share.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "live_parts.h"
#include "loaded_model.h"

namespace qvl::python {

namespace nb = nanobind;

// Each adds its classes and functions to the module.
void bind_config(nb::module_& module);
void bind_profiler(nb::module_& module, const std::shared_ptr<LiveParts>& parts);
void bind_threads(nb::module_& module, const std::shared_ptr<LiveParts>& parts);
void bind_memory(nb::module_& module);
void bind_resources(nb::module_& module);
void bind_model(nb::module_& module);
void bind_pictures(nb::module_& module);
void bind_conversation(nb::module_& module);
void bind_pipeline(nb::module_& module, const std::shared_ptr<LiveParts>& parts);

/// The configuration that `value` is, for None the defaults. Throws Error{usage} where it is something else.
SystemOptimizationConfig config_of(nb::handle value);

using SharedModel = AtHome<LoadedModel>;

/// What json.loads() makes of a text.
nb::object parsed(const std::string& json);

}  // namespace qvl::python
