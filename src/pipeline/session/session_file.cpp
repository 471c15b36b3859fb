#include "pipeline/session/session_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "base/checked.h"
#include "base/error.h"
#include "base/file.h"
#include "kernels/attention/kv_block.h"

namespace qvl {
namespace {

constexpr size_t kVersionAt = sizeof SessionHeader::magic - 1;

std::span<const std::byte> bytes_of(const SessionHeader& header) {
  return std::as_bytes(std::span(&header, 1));
}

uint64_t own_checksum(const SessionHeader& header) {
  return checksum_of(bytes_of(header).first(offsetof(SessionHeader, own)));
}

// Of the whole file; nothing where it does not fit 64 bits.
std::optional<uint64_t> file_bytes_of(const SessionHeader& header) {
  std::optional<uint64_t> total = sizeof(SessionHeader) + sizeof(ContentKey);
  for (const auto& part : {std::optional(header.text_bytes), checked_mul(header.tokens, sizeof(int32_t)),
                           checked_mul(header.blocks(), header.block_bytes)}) {
    if (!part || !total) return std::nullopt;
    total = checked_add(*total, *part);
  }
  return total;
}

}  // namespace

uint64_t SessionHeader::blocks() const { return tokens / kBlockKeys + (tokens % kBlockKeys == 0 ? 0 : 1); }

void PartsHash::add(std::span<const std::byte> part) { key_ = key_of(key_.text() + key_of(part).text()); }

SessionWriter::SessionWriter(const std::filesystem::path& path) : file_(path, ErrorCode::environment) {}

void SessionWriter::add(std::span<const std::byte> part) {
  hash_.add(part);
  file_.write(part);
}

void SessionWriter::begin(std::string_view text, std::span<const int32_t> ids, uint64_t block_bytes) {
  SessionHeader header{
      .text_bytes = text.size(), .tokens = ids.size(), .block_bytes = block_bytes, .text = key_of(text)};
  header.own = own_checksum(header);
  add(bytes_of(header));
  add(std::as_bytes(std::span(text)));
  add(std::as_bytes(ids));
}

void SessionWriter::add_block(std::span<const std::byte> block) { add(block); }

void SessionWriter::commit() {
  const ContentKey key = hash_.key();
  file_.write(std::as_bytes(std::span(&key, 1)));
  file_.commit();
}

SessionReader::SessionReader(const std::filesystem::path& path)
    : name_(path_name(path)),
      // O_NONBLOCK: a FIFO without a writer must not hang.
      file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (!file_) fail(ErrorCode::usage, "{}: cannot open: {}", name_, std::strerror(errno));
  struct stat info {};
  if (::fstat(file_.get(), &info) != 0) {
    fail(ErrorCode::usage, "{}: cannot read: {}", name_, std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) {
    fail(ErrorCode::usage, "{}: found a {}, expected the file of a session", name_,
         S_ISDIR(info.st_mode) ? "folder" : "special file");
  }
  const auto bytes = static_cast<uint64_t>(info.st_size);
  if (bytes < sizeof(SessionHeader) + sizeof(ContentKey)) {
    fail(ErrorCode::usage, "{}: found {} bytes, expected at least the {} of an empty session", name_, bytes,
         sizeof(SessionHeader) + sizeof(ContentKey));
  }
  read(std::as_writable_bytes(std::span(&header_, 1)));
  check_header(bytes);
}

void SessionReader::check_header(uint64_t file_bytes) const {
  const SessionHeader ours;
  if (std::memcmp(header_.magic, ours.magic, kVersionAt) != 0) {
    fail(ErrorCode::usage, "{}: found \"{}\" at its beginning, expected \"{}\" of a session", name_,
         printable({header_.magic, kVersionAt}), std::string_view(ours.magic, kVersionAt));
  }
  if (header_.magic[kVersionAt] != ours.magic[kVersionAt]) {
    fail(ErrorCode::usage, "{}: found a session of version {}, expected version {}", name_,
         printable({&header_.magic[kVersionAt], 1}), ours.magic[kVersionAt]);
  }
  if (header_.own != own_checksum(header_)) {
    fail(ErrorCode::usage, "{}: damaged: its header is not what was written", name_);
  }
  const auto expected = file_bytes_of(header_);
  if (!expected || header_.text_bytes > kMostSessionText) {
    fail(ErrorCode::usage, "{}: its header claims {} bytes of text and {} tokens of {} bytes a block", name_,
         header_.text_bytes, header_.tokens, header_.block_bytes);
  }
  if (*expected != file_bytes) {
    fail(ErrorCode::usage, "{}: damaged: found {} bytes, expected {} by its header", name_, file_bytes,
         *expected);
  }
}

void SessionReader::read(std::span<std::byte> part) {
  if (!read_fully(file_.get(), part)) {
    fail(ErrorCode::usage, "{}: cannot read: became shorter while it was read, or the disk fails", name_);
  }
  hash_.add(part);
}

void SessionReader::refuse_damaged() const {
  fail(ErrorCode::usage, "{}: damaged: its contents are not what was written", name_);
}

std::string SessionReader::read_text() {
  std::string text(header_.text_bytes, '\0');
  read(std::as_writable_bytes(std::span(text)));
  if (key_of(text) != header_.text) refuse_damaged();
  return text;
}

std::vector<int32_t> SessionReader::read_ids() {
  std::vector<int32_t> ids(header_.tokens);
  read(std::as_writable_bytes(std::span(ids)));
  return ids;
}

void SessionReader::read_block(std::span<std::byte> block) {
  QVL_CHECK(block.size() == header_.block_bytes);
  read(block);
}

void SessionReader::finish() {
  const ContentKey expected = hash_.key();
  ContentKey found;
  read(std::as_writable_bytes(std::span(&found, 1)));
  if (found != expected) refuse_damaged();
}

}  // namespace qvl
