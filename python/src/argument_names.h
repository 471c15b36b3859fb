// What messages of the library call options, in the words of Python.
#pragma once

#include <string>

namespace qvl::python {

/// A message that names options of the command line, with the arguments of load_model() in their places.
std::string with_argument_names(std::string message);

}  // namespace qvl::python
