#include "json_text.h"

namespace qvl::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostBytes = 60;

std::string shortened(std::string text) {
  if (text.size() <= kMostBytes) return text;
  size_t end = kMostBytes;
  while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not inside a character
  return text.substr(0, end) + "...";
}

/// Looks for the numeral of one key of the outermost object.
class NumeralFinder final : public nlohmann::json_sax<Json> {
 public:
  explicit NumeralFinder(std::string key) : wanted_(std::move(key)) {}
  const std::string& numeral() const { return numeral_; }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t& written) override {
    if (depth_ == 1 && key_ == wanted_) numeral_ = written;
    return true;
  }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return enter(); }
  bool key(string_t& name) override {
    if (depth_ == 1) key_ = name;
    return true;
  }
  bool end_object() override { return leave(); }
  bool start_array(size_t) override { return enter(); }
  bool end_array() override { return leave(); }
  bool parse_error(size_t, const std::string&, const Json::exception&) override { return false; }

 private:
  bool enter() { return ++depth_ > 0; }
  bool leave() { return depth_-- > 0; }

  std::string wanted_, key_, numeral_;
  int depth_ = 0;
};

}  // namespace

std::string shown(const Json& value) {
  return shortened(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string shown_as_written(const std::string& text, const std::string& key, const Json& value) {
  if (!value.is_number_float()) return shown(value);
  NumeralFinder finder(key);
  Json::sax_parse(text, &finder);
  return finder.numeral().empty() ? shown(value) : shortened(finder.numeral());
}

}  // namespace qvl::cli
