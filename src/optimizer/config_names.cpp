// Fields by their names, and what is said of a name that is none.
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "qvl/config_fields.h"

namespace qvl {
namespace {

// The least number of characters to change, add or leave out.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row.back();
}

}  // namespace

const ConfigField* find_config_field(std::string_view name) {
  const auto fields = config_fields();
  const auto found =
      std::find_if(fields.begin(), fields.end(), [&](const auto& field) { return field.name == name; });
  return found == fields.end() ? nullptr : &*found;
}

std::string unknown_field(std::string_view name) {
  const auto fields = config_fields();
  constexpr size_t kLongestName = 64;  // nothing longer is near any field
  const auto nearest = std::min_element(fields.begin(), fields.end(), [&](const auto& a, const auto& b) {
    const std::string_view begin = name.substr(0, kLongestName);
    return edit_distance(begin, a.name) < edit_distance(begin, b.name);
  });
  const bool near =
      name.size() <= kLongestName && edit_distance(name, nearest->name) <= nearest->name.size() / 3;
  if (near) return fmt::format("{}: unknown field, did you mean {}?", printable(name), nearest->name);
  std::vector<std::string_view> names;
  for (const ConfigField& field : fields) names.push_back(field.name);
  return fmt::format("{}: unknown field, expected one of {}", printable(name), fmt::join(names, ", "));
}

}  // namespace qvl
