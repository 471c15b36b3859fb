#include "files/safetensors_file.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "base/checked.h"
#include "base/error.h"
#include "files/safetensors_header.h"

namespace qvl {
namespace {

constexpr uint64_t max_header_bytes = 100'000'000;  // the limit of the format
constexpr uint64_t length_bytes = 8;

struct StoredType {
  std::string_view name;
  uint64_t bits;
  std::optional<DType> dtype;
};

constexpr std::array<StoredType, 22> stored_types = {{
    {"F32", 32, DType::f32}, {"F16", 16, DType::f16}, {"BF16", 16, DType::bf16}, {"BOOL", 8, {}},
    {"U8", 8, {}},           {"I8", 8, {}},           {"U16", 16, {}},           {"I16", 16, {}},
    {"U32", 32, {}},         {"I32", 32, {}},         {"U64", 64, {}},           {"I64", 64, {}},
    {"F64", 64, {}},         {"C64", 64, {}},         {"F8_E5M2", 8, {}},        {"F8_E4M3", 8, {}},
    {"F8_E8M0", 8, {}},      {"F8_E5M2FNUZ", 8, {}},  {"F8_E4M3FNUZ", 8, {}},    {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},      {"F4", 4, {}},
}};

const StoredType* find_type(std::string_view name) {
  auto found = std::find_if(stored_types.begin(), stored_types.end(),
                            [&](const auto& row) { return row.name == name; });
  return found == stored_types.end() ? nullptr : &*found;
}

[[noreturn]] void refuse(const std::string& file, const SafetensorsEntry& entry, std::string_view what) {
  fail(ErrorCode::model_file, "{}: tensor \"{}\": {}", file, printable(entry.name), what);
}

std::string_view header_of(std::span<const std::byte> bytes, const std::string& file) {
  if (bytes.size() < length_bytes) {
    fail(ErrorCode::model_file, "{}: {} bytes, expected at least {} for a safetensors file", file,
         bytes.size(), length_bytes);
  }
  uint64_t length = 0;
  for (size_t i = length_bytes; i-- > 0;) length = length << 8 | std::to_integer<uint64_t>(bytes[i]);
  if (length == 0) fail(ErrorCode::model_file, "{}: header length 0, expected at least 2 bytes", file);
  if (length > max_header_bytes) {
    fail(ErrorCode::model_file, "{}: header length {} exceeds the limit of {} bytes", file, length,
         max_header_bytes);
  }
  if (length > bytes.size() - length_bytes) {
    fail(ErrorCode::model_file, "{}: header length {} exceeds the file size of {} bytes", file, length,
         bytes.size());
  }
  return {reinterpret_cast<const char*>(bytes.data()) + length_bytes, length};
}

// Bytes a tensor of this type and shape takes.
uint64_t size_of(const SafetensorsEntry& entry, const StoredType& type, const std::string& file) {
  auto elements = checked_product(entry.shape);
  auto bits = elements ? checked_mul(*elements, type.bits) : std::nullopt;
  if (!bits) refuse(file, entry, fmt::format("shape {}: too large", to_string(entry.shape)));
  if (*bits % 8 != 0) {
    refuse(file, entry,
           fmt::format("shape {} of {} is no whole number of bytes", to_string(entry.shape), type.name));
  }
  return *bits / 8;
}

SafetensorsTensor check_entry(SafetensorsEntry& entry, std::span<const std::byte> data,
                              const std::string& file) {
  const StoredType* type = find_type(entry.dtype);
  if (type == nullptr)
    refuse(file, entry,
           fmt::format("dtype: unknown type \"{}\", expected F32, F16, BF16 or another of safetensors",
                       printable(entry.dtype)));
  if (entry.begin > entry.end) {
    refuse(file, entry, fmt::format("data_offsets: begin {} lies after end {}", entry.begin, entry.end));
  }
  if (entry.end > data.size()) {
    refuse(file, entry,
           fmt::format("data_offsets: end {} lies beyond the {} data bytes of the file", entry.end,
                       data.size()));
  }
  uint64_t expected = size_of(entry, *type, file);
  if (entry.end - entry.begin != expected) {
    refuse(file, entry,
           fmt::format("data_offsets: {} bytes, expected {} for {} {}", entry.end - entry.begin, expected,
                       type->name, to_string(entry.shape)));
  }
  return {.name = entry.name,
          .stored_type = entry.dtype,
          .dtype = type->dtype,
          .shape = entry.shape,
          .bytes = data.subspan(entry.begin, expected)};
}

// The format demands that tensors lie back to back, so that no byte is shared, hidden or unused.
void check_layout(std::vector<SafetensorsEntry>& entries, uint64_t data_bytes, const std::string& file) {
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  uint64_t end = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin < end) {
      refuse(file, entry,
             fmt::format("data_offsets: begin {} overlaps the tensor before, which ends at {}", entry.begin,
                         end));
    }
    if (entry.begin > end) {
      refuse(file, entry, fmt::format("data_offsets: begin {} leaves a hole after {}", entry.begin, end));
    }
    end = entry.end;
  }
  if (end != data_bytes) {
    fail(ErrorCode::model_file, "{}: {} data bytes, but the tensors end at {}", file, data_bytes, end);
  }
}

}  // namespace

SafetensorsFile read_safetensors(const std::filesystem::path& path) {
  SafetensorsFile result{.file = MappedFile(path), .tensors = {}};
  std::string file = path.string();
  std::string_view header = header_of(result.file.bytes(), file);
  auto data = result.file.bytes().subspan(length_bytes + header.size());
  auto entries = parse_safetensors_header(header, file);
  result.tensors.reserve(entries.size());
  for (SafetensorsEntry& entry : entries) result.tensors.push_back(check_entry(entry, data, file));
  check_layout(entries, data.size(), file);
  return result;
}

}  // namespace qvl
