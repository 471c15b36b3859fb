// SystemOptimizationConfig as JSON, read strictly: a file that says what it cannot mean is refused.
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "qvl/config_fields.h"

namespace qvl {
namespace {

using Config = SystemOptimizationConfig;

constexpr uint64_t kMostFileBytes = 1 << 20;

// The value as the text a command line would give, or nothing where its type is not the field's.
struct AsText {
  const Json& value;

  std::optional<std::string> operator()(const IntegerField&) const {
    return value.is_number_integer() ? std::optional(value.dump()) : std::nullopt;
  }
  std::optional<std::string> operator()(const NumberField&) const {
    return value.is_number() ? std::optional(fmt::format("{}", value.get<double>())) : std::nullopt;
  }
  std::optional<std::string> operator()(const BooleanField&) const {
    return value.is_boolean() ? std::optional(value.dump()) : std::nullopt;
  }
  std::optional<std::string> operator()(const ChoiceField&) const {
    return value.is_string() ? std::optional(value.get<std::string>()) : std::nullopt;
  }
  std::optional<std::string> operator()(const MaskField&) const {
    if (value.is_null()) return "none";
    if (value.is_number_integer()) return value.dump();
    // In a string a number is hexadecimal: "12" would be read either way.
    const bool hexadecimal = value.is_string() && value.get<std::string>().starts_with("0x");
    return hexadecimal ? std::optional(value.get<std::string>()) : std::nullopt;
  }
};

struct ToJson {
  const Config& config;
  OrderedJson operator()(const IntegerField& f) const { return config.*f.member; }
  OrderedJson operator()(const NumberField& f) const { return config.*f.member; }
  OrderedJson operator()(const BooleanField& f) const { return config.*f.member; }
  OrderedJson operator()(const ChoiceField& f) const { return f.names[f.get(config)]; }
  OrderedJson operator()(const MaskField& f) const {
    return config.*f.member ? OrderedJson((config.*f.member)->text()) : OrderedJson();
  }
};

std::string kind_of(const Json& value) {
  return value.is_structured() ? fmt::format("an {}", value.type_name())
                               : printable(value.dump(-1, ' ', true), 60);
}

}  // namespace

std::string to_json(const Config& config) {
  validate(config);
  OrderedJson json;
  for (const ConfigField& field : config_fields()) {
    json[std::string(field.name)] = std::visit(ToJson{config}, field.kind);
  }
  return json.dump(2) + "\n";
}

Config parse_config(std::string_view json, const std::string& name, const Config& base) {
  if (json.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    fail(ErrorCode::usage, "{}: empty, expected a JSON object", name);
  }
  const JsonSource source{
      .name = name, .code = ErrorCode::usage, .max_depth = 4, .max_values = 1000, .place = JsonPlace::line};
  const Json document = parse_json(json, source);
  if (!document.is_object()) {
    fail(ErrorCode::usage, "{}: found {}, expected a JSON object", name, kind_of(document));
  }
  Config config = base;
  for (const auto& [key, value] : document.items()) {
    const ConfigField* field = find_config_field(key);
    if (field == nullptr) fail(ErrorCode::usage, "{}: {}", name, unknown_field(key));
    const auto text = std::visit(AsText{value}, field->kind);
    if (!text || !set_from_text(*field, *text, config)) {
      fail(ErrorCode::usage, "{}: {}: found {}, expected {}", name, key, kind_of(value), expected(*field));
    }
  }
  return config;
}

Config read_config(const std::filesystem::path& path, const Config& base) {
  return parse_config(read_file(path, kMostFileBytes, ErrorCode::usage), path_name(path), base);
}

}  // namespace qvl
