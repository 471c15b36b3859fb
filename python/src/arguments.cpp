#include "arguments.h"

#include <nanobind/stl/string.h>

#include <algorithm>
#include <string>

namespace qvl::python {
namespace {

std::string place_of(std::string_view name, std::initializer_list<std::string_view> names) {
  std::string known;
  for (std::string_view each : names) known += (known.empty() ? "" : ", ") + std::string(each);
  return std::string(name) + ", expected " + (known.empty() ? "none" : known);
}

}  // namespace

std::string shown(nb::handle value) {
  return nb::cast<std::string>(nb::module_::import_("qvl._arguments").attr("shown")(value));
}

std::optional<std::string> text_of(nb::handle value) {
  if (!nb::isinstance<nb::str>(value)) return std::nullopt;
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(value.ptr(), &size);
  if (text != nullptr) return std::string(text, static_cast<size_t>(size));
  PyErr_Clear();
  return std::nullopt;
}

std::vector<nb::object> constructor_arguments(std::string_view type,
                                              std::initializer_list<std::string_view> names,
                                              const nb::args& given, const nb::kwargs& named) {
  const std::string begin = std::string(type) + ": found ";
  if (given.size() > names.size()) {
    const std::string found = begin + std::to_string(given.size()) + " arguments without a name";
    throw nb::type_error(place_of(found, names).c_str());
  }
  std::vector<nb::object> out(names.size(), nb::none());
  for (size_t i = 0; i < given.size(); ++i) out[i] = given[i];
  for (const auto& [key, value] : named) {
    const auto at = std::find(names.begin(), names.end(), text_of(key).value_or(""));
    const auto place = static_cast<size_t>(at - names.begin());
    if (at == names.end()) throw nb::type_error(place_of(begin + "argument " + shown(key), names).c_str());
    if (place < given.size()) throw nb::type_error((begin + std::string(*at) + " twice").c_str());
    out[place] = nb::borrow(value);
  }
  return out;
}

}  // namespace qvl::python
