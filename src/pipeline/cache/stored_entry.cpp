#include "pipeline/cache/stored_entry.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/file.h"
#include "memory/file_descriptor.h"

namespace qvl {
namespace {

constexpr size_t kMostTensors = 16;
constexpr size_t kKeyDigits = 32;

struct StoredHeader {
  char magic[8] = {'Q', 'V', 'L', 'K', 'E', 'P', 'T', '1'};  // the last one is the version
  ContentKey key = {};
  std::array<int64_t, 3> numbers = {};
  uint64_t tensors = 0;
  std::array<uint64_t, kMostTensors> values = {};  // of each tensor
  uint64_t contents = 0;                           // checksum of checksums of the tensors
  uint64_t own = 0;                                // checksum of the fields above
};

uint64_t own_checksum(const StoredHeader& header) {
  return checksum_of(std::as_bytes(std::span(&header, 1)).first(offsetof(StoredHeader, own)));
}

uint64_t contents_checksum(std::span<const std::span<const float>> tensors) {
  std::vector<uint64_t> sums;
  for (const auto& tensor : tensors) sums.push_back(checksum_of(std::as_bytes(tensor)));
  return checksum_of(std::as_bytes(std::span(sums)));
}

bool fits(const StoredHeader& header, const ContentKey& key, std::span<const StoredShape> shapes) {
  const StoredHeader ours;
  if (std::memcmp(header.magic, ours.magic, sizeof ours.magic) != 0 || header.key != key) return false;
  if (header.own != own_checksum(header) || header.tensors != shapes.size()) return false;
  for (size_t i = 0; i < shapes.size(); ++i) {
    if (header.values[i] != shapes[i].rows * shapes[i].columns) return false;
  }
  return true;
}

// False where the file ends before its last tensor or they are not what was written.
bool read_tensors(int fd, const StoredHeader& header, std::vector<Tensor>& tensors) {
  std::vector<std::span<const float>> values;
  for (Tensor& tensor : tensors) {
    if (!read_fully(fd, std::as_writable_bytes(tensor.values()))) return false;
    values.push_back(tensor.values());
  }
  return contents_checksum(values) == header.contents;
}

// Nothing where the ledger has not that much free: nobody has to give memory back for it.
std::optional<Tensor> spare_tensor(uint64_t rows, uint64_t columns, MemoryHome home) {
  const uint64_t bytes = MemoryHome::taken_bytes(rows * columns * sizeof(float));
  if (home.pool != nullptr && bytes > home.pool->ledger().free_bytes()) return std::nullopt;
  try {
    return Tensor(rows, columns, home);
  } catch (const std::bad_alloc&) {
    return std::nullopt;  // somebody else took it meanwhile
  }
}

}  // namespace

uint64_t stored_bytes(std::span<const StoredShape> shapes) {
  uint64_t bytes = sizeof(StoredHeader);
  for (const StoredShape& shape : shapes) bytes += shape.rows * shape.columns * sizeof(float);
  return bytes;
}

void write_entry(const std::filesystem::path& path, const ContentKey& key, const StoredView& entry) {
  QVL_CHECK(entry.tensors.size() <= kMostTensors);
  StoredHeader header;
  header.key = key;
  header.numbers = entry.numbers;
  header.tensors = entry.tensors.size();
  for (size_t i = 0; i < entry.tensors.size(); ++i) header.values[i] = entry.tensors[i].size();
  header.contents = contents_checksum(entry.tensors);
  header.own = own_checksum(header);
  AtomicFile file(path, ErrorCode::environment);
  file.write(std::as_bytes(std::span(&header, 1)));
  for (const auto& tensor : entry.tensors) file.write(std::as_bytes(tensor));
  file.commit();
}

EntryRead read_entry(const std::filesystem::path& path, const ContentKey& key,
                     std::span<const StoredShape> shapes, MemoryHome home) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  // A link is none of ours and stays unfit; any other failure (too many open files, say) may pass.
  if (!file) return {.outcome = errno == ELOOP ? ReadOutcome::unfit : ReadOutcome::missing};
  struct stat info {};
  const bool is_whole = ::fstat(file.get(), &info) == 0 && S_ISREG(info.st_mode) &&
                        static_cast<uint64_t>(info.st_size) == stored_bytes(shapes);
  StoredHeader header;
  if (!is_whole || !read_fully(file.get(), std::as_writable_bytes(std::span(&header, 1))) ||
      !fits(header, key, shapes)) {
    return {.outcome = ReadOutcome::unfit};
  }
  EntryRead result{.outcome = ReadOutcome::no_room, .entry = {.numbers = header.numbers}};
  for (const StoredShape& shape : shapes) {
    auto tensor = spare_tensor(shape.rows, shape.columns, home);
    if (!tensor) return {.outcome = ReadOutcome::no_room};
    result.entry.tensors.push_back(std::move(*tensor));
  }
  if (!read_tensors(file.get(), header, result.entry.tensors)) return {.outcome = ReadOutcome::unfit};
  result.outcome = ReadOutcome::read;
  return result;
}

bool is_stored_name(std::string_view name) {
  if (name.size() < kKeyDigits) return false;
  const std::string_view key = name.substr(0, kKeyDigits), rest = name.substr(kKeyDigits);
  return key.find_first_not_of("0123456789abcdef") == std::string_view::npos &&
         (rest.starts_with(".features") || rest.starts_with(".prefix") || rest.starts_with(".sources"));
}

bool is_temporary_name(std::string_view name) {
  return is_stored_name(name) && std::count(name.begin(), name.end(), '.') > 1;
}

}  // namespace qvl
