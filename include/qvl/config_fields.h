// The table of all fields of SystemOptimizationConfig: what JSON, the command line and bindings are made
// from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "qvl/system_config.h"

namespace qvl {

/// A whole number within [min, max].
struct IntegerField {
  int64_t SystemOptimizationConfig::*member;
  int64_t min, max;
};
/// A number within [min, max].
struct NumberField {
  double SystemOptimizationConfig::*member;
  double min, max;
};
struct BooleanField {
  bool SystemOptimizationConfig::*member;
};
/// One of a few names; the enumeration's values count them.
struct ChoiceField {
  std::span<const std::string_view> names;
  size_t (*get)(const SystemOptimizationConfig& config);
  void (*set)(SystemOptimizationConfig& config, size_t index);
};
/// A set of processors, or none.
struct MaskField {
  std::optional<CpuMask> SystemOptimizationConfig::*member;
};

/// One row: the name in JSON, the range with the accessor, and a line of help. The default is the member's.
struct ConfigField {
  std::string_view name;
  std::variant<IntegerField, NumberField, BooleanField, ChoiceField, MaskField> kind;
  std::string_view description;
};

/// All fields, in the order of the structure.
std::span<const ConfigField> config_fields();

/// The field of that name; nullptr where there is none.
const ConfigField* find_config_field(std::string_view name);
/// "memory_limt_ratio: unknown field, did you mean memory_limit_ratio?", of a name that is near none with the
/// list of all.
std::string unknown_field(std::string_view name);

/// "--memory-limit-ratio"
std::string option_name(const ConfigField& field);
/// "a number from 0.05 to 1": what messages and help call the range.
std::string expected(const ConfigField& field);
/// The value of the field as a command line would give it: "0.8", "true", "round_robin", "0xff", "none".
std::string value_text(const ConfigField& field, const SystemOptimizationConfig& config);
/// Sets the field from such a text. False, and nothing changed, where it is not what expected() says.
bool set_from_text(const ConfigField& field, std::string_view text, SystemOptimizationConfig& config);

}  // namespace qvl
