// The file that keeps packed weights between starts.
//
// Layout: the weights, whole pages, then a trailer: magic with version, size, hashes of the key, of the
// weights and of the trailer itself. A file is written under a temporary name and takes its own in the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "memory/address_range.h"
#include "threads/thread_pool.h"

namespace qvl {

/// A hash of bytes that come in parts; another cut into parts is another hash.
class ContentHash {
 public:
  /// Hashes mebibytes of `bytes` side by side. Where `stop` ended it, the hash means nothing.
  void add(std::span<const std::byte> bytes, ThreadPool& pool, const std::stop_token& stop);
  uint64_t value() const;
  /// In hexadecimal, twice as long as value().
  std::string text() const;

 private:
  std::vector<uint64_t> pieces_;  // of all parts so far, in order
};

enum class PackedFileState {
  fits,     ///< it lies behind the range now
  differs,  ///< there is none, its trailer is of other weights or another version, or `stop` ended the check
  damaged,  ///< of no use to anybody: cut short, nothing of ours, not the trailer or weights it was written
            ///< with
};
/// Puts the file at `path` behind `range` where it holds `bytes` of weights packed for `key` and is
/// undamaged.
PackedFileState map_packed_file(const std::filesystem::path& path, const std::string& key, uint64_t bytes,
                                AddressRange& range, ThreadPool& pool, const std::stop_token& stop);

/// Whether the regular file open as `fd` was written by PackedFileWriter, in this version or another one, as
/// far as the name in its trailer says: the weights are not read.
bool is_packed_file(int fd);

/// A cache file being written. Until commit() it has a temporary name, which goes away with the object.
class PackedFileWriter {
 public:
  /// Creates folder and file, with the space taken on disk, and puts it behind `range`. problem() tells why
  /// where that failed; then nothing was changed.
  PackedFileWriter(const std::filesystem::path& path, uint64_t bytes, AddressRange& range);
  ~PackedFileWriter();
  PackedFileWriter(const PackedFileWriter&) = delete;
  PackedFileWriter& operator=(const PackedFileWriter&) = delete;

  const std::string& problem() const { return problem_; }
  /// Writes the trailer and takes the final name. False, with problem(), where the system refuses: the
  /// weights stay in the nameless file for as long as they are mapped. Throws Error{cancelled} where `stop`
  /// ended it.
  bool commit(const std::string& key, const AddressRange& range, ThreadPool& pool,
              const std::stop_token& stop);

 private:
  void refuse(const std::string& what);
  bool give_name();
  void open_file(AddressRange& range);

  std::filesystem::path path_, temporary_;
  uint64_t bytes_;
  int fd_ = -1;
  std::string problem_;
};

}  // namespace qvl
