// One kept result as a file: a header that says what it is, then its tensors as they are in memory.
//
// Layout: StoredHeader, then the values of each tensor, float32 or whatever bytes stand in their place. Files
// are of this machine: numbers have its byte order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "pipeline/cache/content_key.h"
#include "tensor/tensor.h"

namespace qvl {

/// What is kept of one result: a few numbers, and tensors. Plain data.
struct StoredEntry {
  std::array<int64_t, 3> numbers = {};
  std::vector<Tensor> tensors = {};
};

/// The same for writing, borrowed.
struct StoredView {
  std::array<int64_t, 3> numbers = {};
  std::vector<std::span<const float>> tensors = {};
};

/// The sizes a reader expects of one tensor.
struct StoredShape {
  uint64_t rows = 0, columns = 0;
};

/// Writes `entry` under a temporary name and puts it at `path`. Throws Error{environment} "PATH: cannot
/// write: ...".
void write_entry(const std::filesystem::path& path, const ContentKey& key, const StoredView& entry);

/// Bytes of a file with such tensors.
uint64_t stored_bytes(std::span<const StoredShape> shapes);

enum class ReadOutcome {
  read,
  missing,  ///< there is no such file
  unfit,    ///< of another version, of something else, or damaged: it is of no use
  no_room,  ///< there is no memory for it
};
struct EntryRead {
  ReadOutcome outcome = ReadOutcome::missing;
  StoredEntry entry = {};
};
/// Reads the entry of `key` at `path`. Header and size of the file are judged before anything is allocated,
/// which is done in `home`, and only where its ledger has so much free.
EntryRead read_entry(const std::filesystem::path& path, const ContentKey& key,
                     std::span<const StoredShape> shapes, MemoryHome home);

/// Whether `name` is a file of this cache: an entry of any version, or what a process that was killed left
/// half written.
bool is_stored_name(std::string_view name);
/// Whether it is the name of a file that is being written, or was left half written.
bool is_temporary_name(std::string_view name);

}  // namespace qvl
