// Arguments of functions and constructors that take objects of Python, and what messages say of them.
#pragma once

#include <nanobind/nanobind.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qvl::python {

namespace nb = nanobind;

/// What messages show of a value: repr() on one line, and not endless.
std::string shown(nb::handle value);

/// The text of a str; nothing for anything else, and for one that has no form in UTF-8: halves of characters
/// (surrogates).
std::optional<std::string> text_of(nb::handle value);

/// The arguments of a constructor in the order of `names`, None where one is left out. Throws TypeError with
/// one line where some are too many, unknown or there twice: nanobind's own has a line for each signature.
std::vector<nb::object> constructor_arguments(std::string_view type,
                                              std::initializer_list<std::string_view> names,
                                              const nb::args& given, const nb::kwargs& named);

}  // namespace qvl::python
