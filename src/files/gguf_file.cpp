#include "files/gguf_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <set>

#include "base/checked.h"
#include "base/error.h"
#include "files/byte_cursor.h"

namespace qvl {
namespace {

constexpr std::string_view magic = "GGUF";
constexpr uint64_t max_items = 65536;  // of keys, and of tensors
constexpr uint64_t max_key_bytes = 1024;
constexpr uint64_t max_name_bytes = 256;
constexpr uint64_t max_string_bytes = 16u << 20;
constexpr uint32_t max_dimensions = 4;
constexpr IntegerRange alignments{8, 65536};

struct StoredType {
  uint32_t id;
  std::string_view name;
  std::optional<DType> dtype;
};

// All types that have a number, so that a refusal can name what it refuses.
constexpr std::array<StoredType, 35> stored_types = {{
    {0, "F32", DType::f32},
    {1, "F16", DType::f16},
    {2, "Q4_0", DType::q4_0},
    {3, "Q4_1", {}},
    {6, "Q5_0", {}},
    {7, "Q5_1", {}},
    {8, "Q8_0", DType::q8_0},
    {9, "Q8_1", {}},
    {10, "Q2_K", {}},
    {11, "Q3_K", {}},
    {12, "Q4_K", DType::q4_k},
    {13, "Q5_K", DType::q5_k},
    {14, "Q6_K", DType::q6_k},
    {15, "Q8_K", {}},
    {16, "IQ2_XXS", {}},
    {17, "IQ2_XS", {}},
    {18, "IQ3_XXS", {}},
    {19, "IQ1_S", {}},
    {20, "IQ4_NL", {}},
    {21, "IQ3_S", {}},
    {22, "IQ2_S", {}},
    {23, "IQ4_XS", {}},
    {24, "I8", {}},
    {25, "I16", {}},
    {26, "I32", {}},
    {27, "I64", {}},
    {28, "F64", {}},
    {29, "IQ1_M", {}},
    {30, "BF16", DType::bf16},
    {31, "Q4_0_4_4", {}},
    {32, "Q4_0_4_8", {}},
    {33, "Q4_0_8_8", {}},
    {34, "TQ1_0", {}},
    {35, "TQ2_0", {}},
    {39, "MXFP4", {}},
}};

// Names go into messages and comparisons: only what can be printed is one.
std::string read_name(ByteCursor& cursor, uint64_t max_bytes, const std::string& what) {
  std::string_view name = cursor.string(max_bytes, what);
  if (name.empty()) cursor.refuse(what, "is empty");
  if (!std::all_of(name.begin(), name.end(), [](unsigned char c) { return c > ' ' && c < 0x7F; })) {
    cursor.refuse(what, "has characters other than printable ASCII");
  }
  return std::string(name);
}

GgufType read_type(ByteCursor& cursor, const std::string& what) {
  uint32_t id = cursor.u32(what);
  if (id >= gguf_type_count) cursor.refuse(what, fmt::format("unknown value type {}", id));
  return static_cast<GgufType>(id);
}

// The elements of an array, walked to find where it ends; strings are length-checked one by one.
GgufValue read_array(ByteCursor& cursor, std::span<const std::byte> bytes, const std::string& what) {
  GgufValue value;
  value.type = read_type(cursor, what);
  value.is_array = true;
  if (value.type == GgufType::array) cursor.refuse(what, "arrays of arrays are not supported");
  value.count = cursor.u64(what);
  uint64_t least_bytes = value.type == GgufType::string ? 8 : gguf_type_size(value.type);
  if (value.count > cursor.left() / least_bytes) {
    cursor.refuse(what,
                  fmt::format("array of {} elements, {} bytes left in the file", value.count, cursor.left()));
  }
  uint64_t begin = cursor.position();
  if (value.type == GgufType::string) {
    for (uint64_t i = 0; i < value.count; ++i) cursor.string(max_string_bytes, what);
  } else {
    cursor.take(value.count * least_bytes, what);
  }
  value.bytes = bytes.subspan(begin, cursor.position() - begin);
  return value;
}

GgufValue read_value(ByteCursor& cursor, std::span<const std::byte> bytes, const std::string& what) {
  GgufType type = read_type(cursor, what);
  if (type == GgufType::array) return read_array(cursor, bytes, what);
  if (type == GgufType::string) {
    std::string_view text = cursor.string(max_string_bytes, what);
    return {.type = type, .is_array = false, .count = 1, .bytes = std::as_bytes(std::span(text))};
  }
  return {.type = type, .is_array = false, .count = 1, .bytes = cursor.take(gguf_type_size(type), what)};
}

struct Counts {
  uint64_t tensors = 0;
  uint64_t keys = 0;
};

Counts read_counts(ByteCursor& cursor) {
  auto start = cursor.take(magic.size(), "magic");
  if (std::string_view(reinterpret_cast<const char*>(start.data()), start.size()) != magic) {
    const auto* letters = reinterpret_cast<const char*>(start.data());
    cursor.refuse("magic",
                  fmt::format("found \"{}\", expected \"GGUF\"", printable({letters, start.size()})));
  }
  uint32_t version = cursor.u32("version");
  if (version != 0 && (version & 0xFFFF) == 0)
    cursor.refuse("version", "the file is big-endian, expected little-endian");
  if (version != 2 && version != 3)
    cursor.refuse("version", fmt::format("found {}, expected 2 or 3", version));
  Counts counts;
  // The smallest key is a length, a letter, a type and a byte; the smallest tensor a name, one dimension,
  // type, offset.
  constexpr uint64_t least_key = 8 + 1 + 4 + 1, least_tensor = 8 + 1 + 4 + 8 + 4 + 8;
  counts.tensors = cursor.u64("tensor count");
  if (counts.tensors > std::min(max_items, cursor.left() / least_tensor)) {
    cursor.refuse("tensor count", fmt::format("found {}, at most {} allowed and {} bytes left in the file",
                                              counts.tensors, max_items, cursor.left()));
  }
  counts.keys = cursor.u64("key count");
  if (counts.keys > std::min(max_items, cursor.left() / least_key)) {
    cursor.refuse("key count", fmt::format("found {}, at most {} allowed and {} bytes left in the file",
                                           counts.keys, max_items, cursor.left()));
  }
  return counts;
}

void read_metadata(ByteCursor& cursor, uint64_t count, GgufFile& file) {
  for (uint64_t i = 0; i < count; ++i) {
    std::string key = read_name(cursor, max_key_bytes, fmt::format("key {}", i));
    GgufValue value = read_value(cursor, file.file.bytes(), printable(key));
    if (!file.metadata.add(key, value)) cursor.refuse(printable(key), "duplicate key");
  }
}

struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;  // PyTorch order
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

DType read_dtype(ByteCursor& cursor, const std::string& what) {
  uint32_t id = cursor.u32(what);
  auto row =
      std::find_if(stored_types.begin(), stored_types.end(), [&](const auto& type) { return type.id == id; });
  if (row == stored_types.end())
    cursor.refuse(what, fmt::format("unknown tensor type {}, expected the number of a type of GGUF", id));
  if (!row->dtype) {
    cursor.refuse(
        what, fmt::format("type {} is not supported, expected F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K or Q6_K",
                          row->name));
  }
  return *row->dtype;
}

TensorInfo read_tensor_info(ByteCursor& cursor, uint64_t index) {
  TensorInfo tensor{.name = read_name(cursor, max_name_bytes, fmt::format("name of tensor {}", index)),
                    .shape = {}};
  std::string what = fmt::format("tensor \"{}\"", printable(tensor.name));
  uint32_t dimensions = cursor.u32(what);
  if (dimensions == 0 || dimensions > max_dimensions) {
    cursor.refuse(what, fmt::format("{} dimensions, expected 1 to {}", dimensions, max_dimensions));
  }
  for (uint32_t d = 0; d < dimensions; ++d) {
    uint64_t size = cursor.u64(what);
    if (size == 0 || size > static_cast<uint64_t>(INT64_MAX)) {
      cursor.refuse(
          what, fmt::format("dimension {} is {}, expected a positive number", d, static_cast<int64_t>(size)));
    }
    tensor.shape.insert(tensor.shape.begin(), size);
  }
  tensor.dtype = read_dtype(cursor, what);
  uint64_t row = tensor.shape.back();
  auto row_bytes = bytes_for(tensor.dtype, row);
  if (!row_bytes) {
    cursor.refuse(what, fmt::format("rows of {}, expected a multiple of {} for {}", row,
                                    info(tensor.dtype).weights_per_block, info(tensor.dtype).name));
  }
  auto elements = checked_product(tensor.shape);
  auto bytes = elements ? checked_mul(*elements / row, *row_bytes) : std::nullopt;
  if (!bytes) cursor.refuse(what, fmt::format("shape {} is too large", to_string(tensor.shape)));
  tensor.bytes = *bytes;
  tensor.offset = cursor.u64(what);
  return tensor;
}

std::optional<uint64_t> round_up(uint64_t value, uint64_t alignment) {
  auto sum = checked_add(value, alignment - 1);
  if (!sum) return std::nullopt;
  return *sum / alignment * alignment;
}

uint64_t read_alignment(const GgufMetadata& metadata) {
  constexpr std::string_view key = "general.alignment";
  if (!metadata.has(key)) return 32;
  auto alignment = static_cast<uint64_t>(metadata.integer(key, alignments));
  if (!std::has_single_bit(alignment)) {
    metadata.refuse(key, fmt::format("found {}, expected a power of two", alignment));
  }
  return alignment;
}

// Tensors lie in the order of their descriptions, each at the next aligned place: nothing overlaps, nothing
// is hidden.
void place_tensors(const std::vector<TensorInfo>& infos, uint64_t header_end, GgufFile& file) {
  uint64_t alignment = read_alignment(file.metadata);
  auto all = file.file.bytes();
  uint64_t start = std::min<uint64_t>(round_up(header_end, alignment).value_or(all.size()), all.size());
  auto data = all.subspan(start);
  uint64_t expected = 0;
  for (const TensorInfo& tensor : infos) {
    auto refuse = [&](const std::string& what) {
      fail(ErrorCode::model_file, "{}: tensor \"{}\": {}", file.metadata.file(), printable(tensor.name),
           what);
    };
    if (tensor.offset != expected) {
      refuse(fmt::format("offset {}, expected {} (alignment {})", tensor.offset, expected, alignment));
    }
    if (tensor.offset > data.size() || tensor.bytes > data.size() - tensor.offset) {
      refuse(fmt::format("{} bytes at offset {}, but the file has {} data bytes", tensor.bytes, tensor.offset,
                         data.size()));
    }
    // Within the file, so neither sum can wrap.
    expected = (tensor.offset + tensor.bytes + alignment - 1) / alignment * alignment;
    file.tensors.push_back({.name = tensor.name,
                            .view = {.dtype = tensor.dtype,
                                     .shape = tensor.shape,
                                     .bytes = data.subspan(tensor.offset, tensor.bytes)}});
  }
}

}  // namespace

GgufFile read_gguf(const std::filesystem::path& path) {
  GgufFile file{.file = MappedFile(path), .metadata = GgufMetadata(path.string()), .tensors = {}};
  ByteCursor cursor(file.file.bytes(), file.metadata.file());
  Counts counts = read_counts(cursor);
  read_metadata(cursor, counts.keys, file);
  std::vector<TensorInfo> infos;
  infos.reserve(counts.tensors);
  std::set<std::string, std::less<>> names;
  for (uint64_t i = 0; i < counts.tensors; ++i) {
    infos.push_back(read_tensor_info(cursor, i));
    if (!names.insert(infos.back().name).second) {
      fail(ErrorCode::model_file, "{}: tensor \"{}\": duplicate name", file.metadata.file(),
           infos.back().name);
    }
  }
  place_tensors(infos, cursor.position(), file);
  return file;
}

}  // namespace qvl
