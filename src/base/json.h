// Reading JSON from outside: bounded depth, no duplicate keys, errors with a byte offset.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace qvl {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;  ///< keeps the order of keys, as the chat template needs

/// How messages tell where malformed text is.
enum class JsonPlace {
  byte,  ///< "byte 36": of files that programs write
  line,  ///< "line 2, column 5" (bytes of the line): of files that people write
};

/// What a parse refuses, and under whose name and code.
struct JsonSource {
  std::string name;  ///< the file or field, for the message
  ErrorCode code = ErrorCode::model_file;
  int max_depth = 64;
  size_t max_values = 200'000;  ///< a value takes a hundred bytes of memory, but two in the text
  JsonPlace place = JsonPlace::byte;
};

/// A large object or array of a document, handed out entry by entry while it is read instead of being kept.
struct JsonStream {
  enum class Kind { object, array };
  std::string_view path;  ///< keys from the root with dots between; empty: the document itself
  Kind kind = Kind::object;
  /// Takes the key of a member, or "" for an element, and its value. Members of one key are its to refuse.
  std::function<void(const std::string& key, const Json& value)> entry;
};

/// Empties a document when this ends, the innermost values first. The library's own destructor allocates for
/// values with children, and ends the program where there is no memory. For documents from outside; borrows.
template <typename Document>
class EmptiedAtEnd {
 public:
  explicit EmptiedAtEnd(Document& document) : document_(document) {}
  ~EmptiedAtEnd() { empty(document_); }
  EmptiedAtEnd(const EmptiedAtEnd&) = delete;
  EmptiedAtEnd& operator=(const EmptiedAtEnd&) = delete;

  /// At once. As deep as the document is nested.
  static void empty(Document& value) noexcept {
    if (auto* object = value.template get_ptr<typename Document::object_t*>()) {
      for (auto& [key, child] : *object) empty(child);
      object->clear();
    } else if (auto* array = value.template get_ptr<typename Document::array_t*>()) {
      for (Document& child : *array) empty(child);
      array->clear();
    }
  }

 private:
  Document& document_;
};

/// Parses one JSON document. Throws Error "NAME: PLACE: what" for malformed text, invalid UTF-8, duplicate
/// keys, trailing bytes other than white space, nesting beyond max_depth, and more than max_values values, in
/// the document without its streams or in one entry of them. What is streamed is left empty in the document.
Json parse_json(std::string_view text, const JsonSource& source, std::span<const JsonStream> streams = {});
OrderedJson parse_ordered_json(std::string_view text, const JsonSource& source);

/// Reads fields of one JSON object with range checks; every error is "NAME: PATH: what".
/// Borrowed: the object and the source outlive it. Thread-compatible.
class JsonObject {
 public:
  /// Throws where `value` is not an object. `path` is the place in the document, empty for the root.
  JsonObject(const Json& value, const JsonSource& source, std::string path = "");

  bool has(std::string_view key) const;  ///< present and not null
  /// The value of `key`; throws where it is missing.
  const Json& at(std::string_view key) const;
  JsonObject object(std::string_view key) const;

  int64_t integer(std::string_view key, int64_t min, int64_t max) const;
  int64_t integer_or(std::string_view key, int64_t fallback, int64_t min, int64_t max) const;
  double number(std::string_view key, double min, double max) const;
  double number_or(std::string_view key, double fallback, double min, double max) const;
  bool boolean_or(std::string_view key, bool fallback) const;
  std::string string(std::string_view key) const;
  std::string string_or(std::string_view key, std::string_view fallback) const;

  /// Throws Error "NAME: PATH.key: message".
  [[noreturn]] void refuse(std::string_view key, std::string_view message) const;
  const Json& json() const { return value_; }

 private:
  const Json& value_;
  const JsonSource& source_;
  std::string path_;
};

/// What a parser of the library found wrong, without the library's own words for where: `token` is the text
/// it stopped at. At most 200 bytes, printable.
std::string json_problem(const std::string& token, const nlohmann::detail::exception& error);

}  // namespace qvl
