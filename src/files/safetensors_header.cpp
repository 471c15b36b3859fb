#include "files/safetensors_header.h"

#include <optional>
#include <set>

#include "base/error.h"
#include "base/json.h"

namespace qvl {
namespace {

// The largest published Qwen3-VL has some thousand tensors; these bound the work a hostile header can ask
// for.
constexpr size_t max_tensors = 65536;
constexpr size_t max_metadata = 65536;
constexpr size_t max_rank = 8;

// Receives the events of nlohmann's parser and accepts exactly
//   { "__metadata__": {string: string...}, name: {"dtype": string, "shape": [n...], "data_offsets": [n,
//   n]}... }
class HeaderReader {
 public:
  explicit HeaderReader(const std::string& file) : file_(file) {}
  std::vector<SafetensorsEntry> take() { return std::move(entries_); }

  bool null() { unexpected("null"); }
  bool boolean(bool value) { unexpected(value ? "true" : "false"); }
  bool number_integer(int64_t value) { unexpected(std::to_string(value)); }
  bool number_float(double, const std::string& text) { unexpected(text); }
  bool binary(std::vector<uint8_t>&) { unexpected("bytes"); }

  bool number_unsigned(uint64_t value) {
    if (place_ == Place::shape) {
      if (entry_.shape.size() == max_rank) refuse(fmt::format("shape has more than {} dimensions", max_rank));
      entry_.shape.push_back(value);
    } else if (place_ == Place::offsets) {
      if (offsets_ == 2) refuse("data_offsets has more than 2 numbers");
      (offsets_ == 0 ? entry_.begin : entry_.end) = value;
      ++offsets_;
    } else {
      unexpected(std::to_string(value));
    }
    return true;
  }

  bool string(std::string& value) {
    if (place_ == Place::metadata) return true;
    if (place_ != Place::tensor || field_ != Field::dtype) unexpected("\"" + printable(value, 40) + "\"");
    entry_.dtype = value;
    return true;
  }

  bool start_object(size_t) {
    if (place_ == Place::before) {
      place_ = Place::root;
    } else if (place_ == Place::root) {
      place_ = entry_.name == "__metadata__" ? Place::metadata : Place::tensor;
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool key(std::string& name) {
    if (place_ == Place::root) {
      start_tensor(name);
    } else if (place_ == Place::metadata) {
      if (!metadata_.insert(name).second) refuse(fmt::format("duplicate key \"{}\"", printable(name)));
      if (metadata_.size() > max_metadata) refuse(fmt::format("more than {} entries", max_metadata));
    } else {
      start_field(name);
    }
    return true;
  }

  bool end_object() {
    if (place_ == Place::tensor) {
      if (!has_dtype_) refuse("dtype: missing");
      if (!has_shape_) refuse("shape: missing");
      if (!has_offsets_) refuse("data_offsets: missing");
      entries_.push_back(std::move(entry_));
    }
    place_ = place_ == Place::root ? Place::before : Place::root;
    return true;
  }

  bool start_array(size_t) {
    if (place_ == Place::tensor && field_ == Field::shape) {
      place_ = Place::shape;
    } else if (place_ == Place::tensor && field_ == Field::offsets) {
      place_ = Place::offsets;
    } else {
      unexpected("an array");
    }
    return true;
  }

  bool end_array() {
    if (place_ == Place::offsets && offsets_ != 2) {
      refuse(fmt::format("data_offsets has {} numbers, expected 2", offsets_));
    }
    place_ = Place::tensor;
    return true;
  }

  template <typename Exception>
  bool parse_error(size_t position, const std::string& token, const Exception& error) {
    fail(ErrorCode::model_file, "{}: header: byte {}: {}", file_, position, json_problem(token, error));
  }

 private:
  enum class Place { before, root, tensor, shape, offsets, metadata };
  enum class Field { dtype, shape, offsets };

  void start_tensor(const std::string& name) {
    if (!names_.insert(name).second) {
      fail(ErrorCode::model_file, "{}: header: duplicate key \"{}\"", file_, printable(name));
    }
    if (names_.size() > max_tensors + 1) {
      fail(ErrorCode::model_file, "{}: header: more than {} tensors", file_, max_tensors);
    }
    entry_ = SafetensorsEntry{.name = name, .dtype = {}, .shape = {}};
    has_dtype_ = has_shape_ = has_offsets_ = false;
    offsets_ = 0;
  }

  void start_field(const std::string& name) {
    bool* seen = nullptr;
    if (name == "dtype") {
      field_ = Field::dtype;
      seen = &has_dtype_;
    } else if (name == "shape") {
      field_ = Field::shape;
      seen = &has_shape_;
    } else if (name == "data_offsets") {
      field_ = Field::offsets;
      seen = &has_offsets_;
    } else {
      refuse(fmt::format("unexpected key \"{}\", expected dtype, shape and data_offsets", printable(name)));
    }
    if (*seen) refuse(fmt::format("duplicate key \"{}\"", name));
    *seen = true;
  }

  [[noreturn]] void refuse(const std::string& what) const {
    fail(ErrorCode::model_file, "{}: {}: {}", file_, subject(), what);
  }

  std::string subject() const {
    if (entry_.name.empty() && place_ == Place::before) return "header";
    return entry_.name == "__metadata__" ? entry_.name : "tensor \"" + printable(entry_.name) + "\"";
  }

  [[noreturn]] void unexpected(const std::string& found) const {
    switch (place_) {
      case Place::before:
        fail(ErrorCode::model_file, "{}: header: found {}, expected an object", file_, found);
      case Place::root:
        refuse(fmt::format("found {}, expected an object", found));
      case Place::metadata:
        refuse(fmt::format("found {}, expected strings only", found));
      case Place::shape:
        refuse(fmt::format("shape: found {}, expected integers not below 0", found));
      case Place::offsets:
        refuse(fmt::format("data_offsets: found {}, expected integers not below 0", found));
      case Place::tensor:
        break;
    }
    if (field_ == Field::dtype) refuse(fmt::format("dtype: found {}, expected a string", found));
    refuse(fmt::format("{}: found {}, expected an array of integers",
                       field_ == Field::shape ? "shape" : "data_offsets", found));
  }

  const std::string& file_;
  Place place_ = Place::before;
  Field field_ = Field::dtype;
  SafetensorsEntry entry_;
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
  int offsets_ = 0;
  std::set<std::string, std::less<>> names_;
  std::set<std::string, std::less<>> metadata_;
  std::vector<SafetensorsEntry> entries_;
};

}  // namespace

std::vector<SafetensorsEntry> parse_safetensors_header(std::string_view header, const std::string& file) {
  if (header.empty() || header.front() != '{') {
    fail(ErrorCode::model_file, "{}: header: byte 0: found {}, expected \"{{\"", file,
         header.empty() ? "nothing" : fmt::format("0x{:02x}", static_cast<unsigned char>(header.front())));
  }
  // The parser would take a NUL for the end of the text and leave what follows unread; JSON has it nowhere.
  if (size_t nul = header.find('\0'); nul != std::string_view::npos) {
    fail(ErrorCode::model_file, "{}: header: byte {}: found 0x00", file, nul);
  }
  HeaderReader reader(file);
  nlohmann::json::sax_parse(header.begin(), header.end(), &reader);
  return reader.take();
}

}  // namespace qvl
