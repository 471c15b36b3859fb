#include "base/json.h"

#include <algorithm>
#include <optional>
#include <set>
#include <type_traits>
#include <vector>

namespace qvl {
namespace {

// Where the byte at `position`, counted from 0, is.
std::string place_of(std::string_view text, size_t position, JsonPlace place) {
  if (place == JsonPlace::byte) return fmt::format("byte {}", position);
  const std::string_view before = text.substr(0, position);
  const size_t line_end = before.rfind('\n');
  const size_t line_begin = line_end == std::string_view::npos ? 0 : line_end + 1;
  return fmt::format("line {}, column {}", 1 + std::count(before.begin(), before.end(), '\n'),
                     before.size() - line_begin + 1);
}

// Builds a document while refusing what the library accepts by default: deep nesting, duplicate keys, and
// more values than memory should hold. Entries of a stream are built one at a time.
template <typename Document>
class StrictReader {
  using Builder = nlohmann::detail::json_sax_dom_parser<Document>;
  using Kind = JsonStream::Kind;

 public:
  using String = typename Document::string_t;

  StrictReader(Document& document, std::string_view text, const JsonSource& source,
               std::span<const JsonStream> streams)
      : text_(text), source_(source), streams_(streams), builder_(document) {}

  bool null() {
    return add([](Builder& to) { return to.null(); });
  }
  bool boolean(bool value) {
    return add([&](Builder& to) { return to.boolean(value); });
  }
  bool number_integer(int64_t value) {
    return add([&](Builder& to) { return to.number_integer(value); });
  }
  bool number_unsigned(uint64_t value) {
    return add([&](Builder& to) { return to.number_unsigned(value); });
  }
  bool number_float(double value, const String& text) {
    return add([&](Builder& to) { return to.number_float(value, text); });
  }
  bool string(String& value) {
    return add([&](Builder& to) { return to.string(value); });
  }
  bool binary(typename Document::binary_t& value) {
    return add([&](Builder& to) { return to.binary(value); });
  }

  bool start_object(size_t count) {
    keys_.emplace_back();
    return open(Kind::object, [&](Builder& to) { return to.start_object(count); });
  }
  bool end_object() {
    keys_.pop_back();
    return close([](Builder& to) { return to.end_object(); });
  }
  bool start_array(size_t count) {
    return open(Kind::array, [&](Builder& to) { return to.start_array(count); });
  }
  bool end_array() {
    return close([](Builder& to) { return to.end_array(); });
  }

  bool key(String& name) {
    if (at_entry()) {
      entry_key_ = name;
      return true;
    }
    if (!keys_.back().insert(name).second) {
      fail(source_.code, "{}: duplicate key \"{}\"", source_.name, printable(name));
    }
    if (stream_ == nullptr) {
      place_.resize(places_.back());
      place_ += (place_.empty() ? "" : ".") + name;
    }
    return to().key(name);
  }

  template <typename Exception>
  bool parse_error(size_t position, const std::string& token, const Exception& error) {
    // The library counts the byte it stopped at from 1.
    const size_t shown = source_.place == JsonPlace::line && position > 0 ? position - 1 : position;
    fail(source_.code, "{}: {}: {}", source_.name, place_of(text_, shown, source_.place),
         json_problem(token, error));
  }

 private:
  bool at_entry() const { return stream_ != nullptr && depth_ == stream_depth_; }
  Builder& to() { return stream_ != nullptr ? *entry_builder_ : builder_; }

  // Every value begins here.
  Builder& begin_value() {
    if (at_entry()) {
      values_ = 0;
      EmptiedAtEnd<Document>::empty(entry_);
      entry_ = Document();
      entry_builder_.emplace(entry_);
    }
    if (++values_ > source_.max_values) {
      fail(source_.code, "{}: more than {} values", source_.name, source_.max_values);
    }
    return to();
  }
  void end_value() {
    if constexpr (std::is_same_v<Document, Json>) {
      if (at_entry()) stream_->entry(entry_key_, entry_);
    }
  }

  template <typename Act>
  bool add(Act act) {
    const bool more = act(begin_value());
    end_value();
    return more;
  }

  template <typename Act>
  bool open(Kind kind, Act act) {
    const bool more = act(begin_value());
    if (++depth_ > source_.max_depth) {
      fail(source_.code, "{}: nested deeper than {} levels", source_.name, source_.max_depth);
    }
    if (stream_ != nullptr) return more;
    for (const JsonStream& stream : streams_) {
      if (stream.kind == kind && stream.path == place_) stream_ = &stream;
    }
    stream_depth_ = depth_;
    values_outside_ = values_;
    // Elements of an array have no key: no path leads into them.
    if (kind == Kind::array) place_ += "[]";
    places_.push_back(place_.size());
    return more;
  }

  template <typename Act>
  bool close(Act act) {
    if (at_entry()) {
      stream_ = nullptr;
      values_ = values_outside_;
    }
    --depth_;
    const bool more = act(to());
    if (stream_ == nullptr) {
      places_.pop_back();
      place_.resize(places_.empty() ? 0 : places_.back());
    }
    end_value();
    return more;
  }

  std::string_view text_;
  const JsonSource& source_;
  std::span<const JsonStream> streams_;
  Builder builder_;
  int depth_ = 0;
  size_t values_ = 0;
  std::vector<std::set<String, std::less<>>> keys_;  // of each open object
  std::string place_;                                // the path of the value that comes next
  std::vector<size_t> places_;                       // length of the path of each open container

  const JsonStream* stream_ = nullptr;  // the one that is open
  int stream_depth_ = 0;
  size_t values_outside_ = 0;
  String entry_key_;
  Document entry_;
  const EmptiedAtEnd<Document> entry_end_{entry_};
  std::optional<Builder> entry_builder_;
};

template <typename Document>
Document parse(std::string_view text, const JsonSource& source, std::span<const JsonStream> streams) {
  // The library takes a NUL byte for the end of the text.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    fail(source.code, "{}: {}: a NUL byte, expected JSON text", source.name,
         place_of(text, nul, source.place));
  }
  Document document;
  try {
    StrictReader<Document> reader(document, text, source, streams);
    Document::sax_parse(text.begin(), text.end(), &reader);
  } catch (...) {
    EmptiedAtEnd<Document>::empty(document);
    throw;
  }
  return document;
}

std::string kind_of(const Json& value) {
  std::string text = value.is_structured() ? value.type_name() : value.dump(-1, ' ', true);
  return printable(text, 60);
}

}  // namespace

Json parse_json(std::string_view text, const JsonSource& source, std::span<const JsonStream> streams) {
  return parse<Json>(text, source, streams);
}

OrderedJson parse_ordered_json(std::string_view text, const JsonSource& source) {
  return parse<OrderedJson>(text, source, {});
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

std::string json_problem(const std::string& token, const nlohmann::detail::exception& error) {
  constexpr int number_overflow = 406;
  if (error.id == number_overflow) return fmt::format("the number {} is too large", printable(token, 60));
  // "[json.exception...] parse error at line L, column C: reason; last read: bytes": the reason is enough,
  // and the bytes may be no text at all.
  const std::string_view what = error.what();
  const size_t colon = what.find(": ");
  const std::string_view reason = colon == std::string_view::npos ? what : what.substr(colon + 2);
  return printable(reason.substr(0, reason.find("; last read")), 200);
}

}  // namespace qvl
