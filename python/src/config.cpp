// SystemOptimizationConfig: every field of the table as a keyword argument and an attribute.
#include <nanobind/nanobind.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/string.h>

#include "arguments.h"
#include "bindings.h"
#include "qvl/config_fields.h"

namespace qvl::python {
namespace {

using Config = SystemOptimizationConfig;

bool is_integer(nb::handle value) { return !PyBool_Check(value.ptr()) && PyIndex_Check(value.ptr()); }

// Nothing where it is no integer after all: arrays of NumPy are integers for some shapes.
std::optional<std::string> integer_text(nb::handle value, int base) {
  const nb::object text = nb::steal(PyNumber_ToBase(value.ptr(), base));
  if (text.is_valid()) return text_of(text);
  PyErr_Clear();
  return std::nullopt;
}

// The value as the text a command line would give; nothing where its type is not the field's.
struct AsText {
  nb::handle value;

  std::optional<std::string> operator()(const IntegerField&) const {
    return is_integer(value) ? integer_text(value, 10) : std::nullopt;
  }
  std::optional<std::string> operator()(const NumberField&) const {
    if (is_integer(value)) return integer_text(value, 10);
    return PyFloat_Check(value.ptr()) ? text_of(nb::str(nb::float_(nb::borrow(value)))) : std::nullopt;
  }
  std::optional<std::string> operator()(const BooleanField&) const {
    if (!PyBool_Check(value.ptr())) return std::nullopt;
    return value.ptr() == Py_True ? "true" : "false";
  }
  std::optional<std::string> operator()(const ChoiceField&) const { return text_of(value); }
  std::optional<std::string> operator()(const MaskField&) const {
    if (value.is_none()) return "none";
    if (is_integer(value)) return integer_text(value, 16);
    // In a string a number is hexadecimal, as in JSON.
    const std::optional<std::string> text = text_of(value);
    return text && text->starts_with("0x") ? text : std::nullopt;
  }
};

struct ToPython {
  const Config& config;
  nb::object operator()(const IntegerField& f) const { return nb::int_(config.*f.member); }
  nb::object operator()(const NumberField& f) const { return nb::float_(config.*f.member); }
  nb::object operator()(const BooleanField& f) const { return nb::bool_(config.*f.member); }
  nb::object operator()(const ChoiceField& f) const {
    const std::string_view name = f.names[f.get(config)];
    return nb::str(name.data(), name.size());
  }
  nb::object operator()(const MaskField& f) const {
    if (!(config.*f.member)) return nb::none();
    return nb::steal(PyLong_FromString((config.*f.member)->text().c_str(), nullptr, 16));
  }
};

void set_field(Config& config, const ConfigField& field, nb::handle value) {
  const auto text = std::visit(AsText{value}, field.kind);
  if (text && set_from_text(field, *text, config)) return;
  throw Error(ErrorCode::usage,
              std::string(field.name) + ": found " + shown(value) + ", expected " + expected(field));
}

Config updated(Config config, const nb::dict& values) {
  for (const auto& [key, value] : values) {
    const std::string name = text_of(key).value_or(shown(key));
    const ConfigField* field = find_config_field(name);
    if (field == nullptr) throw Error(ErrorCode::usage, unknown_field(name));
    set_field(config, *field, value);
  }
  return config;
}

nb::dict to_dict(const Config& config) {
  nb::dict out;
  for (const ConfigField& field : config_fields()) {
    out[std::string(field.name).c_str()] = std::visit(ToPython{config}, field.kind);
  }
  return out;
}

std::string repr(const Config& config) {
  std::string out = "SystemOptimizationConfig(";
  for (const ConfigField& field : config_fields()) {
    if (out.back() != '(') out += ", ";
    out += std::string(field.name) + "=";
    out += nb::cast<std::string>(nb::repr(std::visit(ToPython{config}, field.kind)));
  }
  return out + ")";
}

void bind_fields(nb::class_<Config>& type) {
  for (const ConfigField& field : config_fields()) {
    type.def_prop_rw(
        std::string(field.name).c_str(),
        [&field](const Config& config) { return std::visit(ToPython{config}, field.kind); },
        [&field](Config& config, nb::object value) { set_field(config, field, value); },
        nb::arg("value").none(), std::string(field.description).c_str());
  }
}

}  // namespace

SystemOptimizationConfig config_of(nb::handle value) {
  if (value.is_none()) return {};
  if (nb::isinstance<Config>(value)) return nb::cast<Config>(value);
  throw Error(ErrorCode::usage,
              "config: found " + shown(value) + ", expected a SystemOptimizationConfig or None");
}

void bind_config(nb::module_& module) {
  nb::class_<Config> type(module, "SystemOptimizationConfig",
                          "How qvl may use the machine: every field is a keyword argument and an attribute; "
                          "describe() tells their ranges.");
  type.def("__init__",
           [](Config* self, const nb::args& given, const nb::kwargs& fields) {
             constructor_arguments("SystemOptimizationConfig", {}, given, {});
             new (self) Config(updated({}, fields));
           })
      .def_static("for_this_machine", &Config::for_this_machine, nb::call_guard<nb::gil_scoped_release>())
      .def_static(
          "from_dict", [](const nb::dict& values) { return updated({}, values); }, nb::arg("values"))
      .def_static(
          "from_json", [](const std::string& text) { return parse_config(text, "config", {}); },
          nb::arg("text"))
      .def_static(
          "from_file", [](const std::filesystem::path& path) { return read_config(path, {}); },
          nb::arg("path"))
      .def_static("describe",
                  [] {
                    nb::dict out;
                    for (const ConfigField& field : config_fields()) {
                      out[std::string(field.name).c_str()] =
                          nb::make_tuple(expected(field), std::string(field.description));
                    }
                    return out;
                  })
      .def("to_dict", &to_dict)
      .def("to_json", [](const Config& self) { return to_json(self); })
      .def("replace", [](const Config& self, const nb::kwargs& fields) { return updated(self, fields); })
      .def(
          "__eq__", [](const Config& self, const Config& other) { return self == other; }, nb::is_operator())
      .def("__repr__", &repr)
      .def("__getstate__", &to_dict)
      .def("__setstate__",
           [](Config& self, const nb::dict& values) { new (&self) Config(updated({}, values)); })
      .def("__copy__", [](const Config& self) { return self; })
      .def(
          "__deepcopy__", [](const Config& self, const nb::dict&) { return self; }, nb::arg("memo"));
  bind_fields(type);
  type.attr("__hash__") = nb::none();
}

}  // namespace qvl::python
