#include "base/json.h"

#include <set>
#include <vector>

namespace qvl {
namespace {

// Builds a document while refusing what the library accepts by default: deep nesting and duplicate keys.
template <typename Document>
class StrictReader : public nlohmann::detail::json_sax_dom_parser<Document> {
  using Base = nlohmann::detail::json_sax_dom_parser<Document>;

 public:
  StrictReader(Document& document, const JsonSource& source) : Base(document, true), source_(source) {}

  bool start_object(size_t count) {
    enter();
    keys_.emplace_back();
    return Base::start_object(count);
  }
  bool end_object() {
    keys_.pop_back();
    --depth_;
    return Base::end_object();
  }
  bool start_array(size_t count) {
    enter();
    return Base::start_array(count);
  }
  bool end_array() {
    --depth_;
    return Base::end_array();
  }
  bool key(typename Base::string_t& name) {
    if (!keys_.back().insert(name).second) {
      fail(source_.code, "{}: duplicate key \"{}\"", source_.name, printable(name));
    }
    return Base::key(name);
  }
  template <typename Exception>
  bool parse_error(size_t position, const std::string&, const Exception& error) {
    fail(source_.code, "{}: byte {}: {}", source_.name, position, short_reason(error.what()));
  }

 private:
  void enter() {
    if (++depth_ > source_.max_depth) {
      fail(source_.code, "{}: nested deeper than {} levels", source_.name, source_.max_depth);
    }
  }
  // The library's text is "[json.exception...] parse error at line L, column C: reason"; the reason is
  // enough.
  static std::string short_reason(const std::string& what) {
    size_t colon = what.find(": ");
    return printable(colon == std::string::npos ? what : what.substr(colon + 2), 200);
  }

  const JsonSource& source_;
  int depth_ = 0;
  std::vector<std::set<std::string, std::less<>>> keys_;
};

template <typename Document>
Document parse(std::string_view text, const JsonSource& source) {
  // The library takes a NUL byte for the end of the text.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    fail(source.code, "{}: byte {}: a NUL byte, expected JSON text", source.name, nul);
  }
  Document document;
  StrictReader<Document> reader(document, source);
  Document::sax_parse(text.begin(), text.end(), &reader);
  return document;
}

std::string kind_of(const Json& value) {
  std::string text = value.is_structured() ? value.type_name() : value.dump(-1, ' ', true);
  return printable(text, 60);
}

}  // namespace

Json parse_json(std::string_view text, const JsonSource& source) { return parse<Json>(text, source); }

OrderedJson parse_ordered_json(std::string_view text, const JsonSource& source) {
  return parse<OrderedJson>(text, source);
}

JsonObject::JsonObject(const Json& value, const JsonSource& source, std::string path)
    : value_(value), source_(source), path_(std::move(path)) {
  if (!value_.is_object()) {
    fail(source_.code, "{}: {}: found {}, expected an object", source_.name,
         path_.empty() ? "the document" : path_, kind_of(value_));
  }
}

bool JsonObject::has(std::string_view key) const {
  auto found = value_.find(key);
  return found != value_.end() && !found->is_null();
}

const Json& JsonObject::at(std::string_view key) const {
  if (!has(key)) refuse(key, "missing");
  return *value_.find(key);
}

JsonObject JsonObject::object(std::string_view key) const {
  return JsonObject(at(key), source_, path_.empty() ? std::string(key) : path_ + "." + std::string(key));
}

int64_t JsonObject::integer(std::string_view key, int64_t min, int64_t max) const {
  const Json& value = at(key);
  bool fits = value.is_number_integer() &&
              !(value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX));
  if (!fits || value.get<int64_t>() < min || value.get<int64_t>() > max) {
    refuse(key, fmt::format("found {}, expected an integer from {} to {}", kind_of(value), min, max));
  }
  return value.get<int64_t>();
}

int64_t JsonObject::integer_or(std::string_view key, int64_t fallback, int64_t min, int64_t max) const {
  return has(key) ? integer(key, min, max) : fallback;
}

double JsonObject::number(std::string_view key, double min, double max) const {
  const Json& value = at(key);
  if (!value.is_number() || !(value.get<double>() >= min) || !(value.get<double>() <= max)) {
    refuse(key, fmt::format("found {}, expected a number from {:g} to {:g}", kind_of(value), min, max));
  }
  return value.get<double>();
}

double JsonObject::number_or(std::string_view key, double fallback, double min, double max) const {
  return has(key) ? number(key, min, max) : fallback;
}

bool JsonObject::boolean_or(std::string_view key, bool fallback) const {
  if (!has(key)) return fallback;
  const Json& value = at(key);
  if (!value.is_boolean()) refuse(key, fmt::format("found {}, expected true or false", kind_of(value)));
  return value.get<bool>();
}

std::string JsonObject::string(std::string_view key) const {
  const Json& value = at(key);
  if (!value.is_string()) refuse(key, fmt::format("found {}, expected a string", kind_of(value)));
  return value.get<std::string>();
}

std::string JsonObject::string_or(std::string_view key, std::string_view fallback) const {
  return has(key) ? string(key) : std::string(fallback);
}

void JsonObject::refuse(std::string_view key, std::string_view message) const {
  fail(source_.code, "{}: {}{}{}: {}", source_.name, path_, path_.empty() ? "" : ".", printable(key),
       message);
}

}  // namespace qvl
