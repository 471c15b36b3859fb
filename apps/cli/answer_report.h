// An answer for scripts (one JSON object) and its timings for people.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "qvl/qvl.h"

namespace qvl::cli {

using Json = nlohmann::ordered_json;

/// One line; bytes that are no UTF-8 become U+FFFD.
std::string to_line(const Json& json);

/// What an answer is and cost.
Json answer_fields(const Answer& answer);
/// And the process it was made in.
Json answer_json(const Answer& answer, const Model& model);

/// "load 0.1 s, vision 0.2 s, ...", one line.
std::string timings_line(const Answer& answer);

}  // namespace qvl::cli
