// The file of a session: a header, its turns as JSON, token ids, blocks of keys and values, and a hash of
// all.
//
// Layout: SessionHeader, JSON, int32 ids, blocks as KvCache::read_block gives them, ContentKey. Files are of
// this machine: numbers have its byte order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/atomic_file.h"
#include "memory/file_descriptor.h"
#include "pipeline/cache/content_key.h"

namespace qvl {

/// The longest JSON: the texts of the longest context many times over.
constexpr uint64_t kMostSessionText = 64 << 20;

/// What the rest of the file is made of. Plain data, without padding.
struct SessionHeader {
  char magic[8] = {'Q', 'V', 'L', 'S', 'E', 'S', 'S', '1'};  // the last one is the version
  uint64_t text_bytes = 0;
  uint64_t tokens = 0;       ///< whose keys and values follow
  uint64_t block_bytes = 0;  ///< KvCache::block_bytes()
  ContentKey text = {};      ///< of the JSON alone: it is judged before the rest is read
  uint64_t own = 0;          ///< checksum of the fields above

  uint64_t blocks() const;
};

/// Hashes parts of a file in order.
class PartsHash {
 public:
  void add(std::span<const std::byte> part);
  const ContentKey& key() const { return key_; }

 private:
  ContentKey key_;
};

/// Writes one session; without commit() nothing is left of it. All functions throw as AtomicFile with
/// Error{environment}. Thread-compatible.
class SessionWriter {
 public:
  explicit SessionWriter(const std::filesystem::path& path);

  /// First: all but the blocks.
  void begin(std::string_view text, std::span<const int32_t> ids, uint64_t block_bytes);
  void add_block(std::span<const std::byte> block);
  void commit();

 private:
  void add(std::span<const std::byte> part);

  AtomicFile file_;
  PartsHash hash_;
};

/// Reads one session part by part, in order. All functions throw Error{usage} naming the file where it is not
/// what was written. Thread-compatible.
class SessionReader {
 public:
  /// Judges the header against the size of the file.
  explicit SessionReader(const std::filesystem::path& path);

  const std::string& name() const { return name_; }
  const SessionHeader& header() const { return header_; }

  std::string read_text();
  /// One for each of the header's tokens, whose number the caller has judged.
  std::vector<int32_t> read_ids();
  /// block: [header().block_bytes]
  void read_block(std::span<std::byte> block);
  /// Compares the hash of all that was read.
  void finish();

 private:
  void read(std::span<std::byte> part);
  void check_header(uint64_t file_bytes) const;
  [[noreturn]] void refuse_damaged() const;

  std::string name_;
  FileDescriptor file_;
  SessionHeader header_;
  PartsHash hash_;
};

}  // namespace qvl
