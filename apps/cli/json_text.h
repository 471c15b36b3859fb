// Values of JSON as messages show them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace qvl::cli {

/// As it is written in JSON, on one line, and not endless: "urgent" with its quotes, 1.5, [1,2].
std::string shown(const nlohmann::ordered_json& value);

/// The same of the value that `key` has in the object `text`, which has been parsed as `value`: a numeral
/// that no integer of 64 bits holds as it stands there, where `value` has only what is nearest to it.
std::string shown_as_written(const std::string& text, const std::string& key,
                             const nlohmann::ordered_json& value);

}  // namespace qvl::cli
