#include "ops/source_record.h"

#include <xxhash.h>

#include <string_view>
#include <system_error>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/file.h"

namespace qvl {
namespace {

constexpr uint64_t kMostBytes = 4096;

std::filesystem::path record_file(std::filesystem::path packed_file) { return packed_file += ".sources"; }

// The first line of a record. States are long; their hash tells them apart as well.
std::string heading(const std::string& state) {
  const XXH128_hash_t hash = XXH3_128bits(state.data(), state.size());
  return fmt::format("qvl sources 1 {:016x}{:016x}\n", hash.high64, hash.low64);
}

}  // namespace

std::optional<std::string> recorded_contents(const std::filesystem::path& packed_file,
                                             const std::string& state) {
  if (state.empty()) return std::nullopt;
  try {
    const std::string text = read_file(record_file(packed_file), kMostBytes, ErrorCode::environment);
    const std::string first = heading(state);
    if (!text.starts_with(first) || !text.ends_with('\n')) return std::nullopt;
    return text.substr(first.size(), text.size() - first.size() - 1);
  } catch (const Error&) {
    return std::nullopt;  // not there, or not readable: as good as not known
  }
}

void record_contents(const std::filesystem::path& packed_file, const std::string& state,
                     const std::string& contents) {
  if (state.empty()) return;
  try {
    AtomicFile file(record_file(packed_file), ErrorCode::environment);
    file.write(heading(state) + contents + '\n');
    file.commit();
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): said in the header
  }
}

void forget_contents(const std::filesystem::path& packed_file) {
  std::error_code ignored;
  std::filesystem::remove(record_file(packed_file), ignored);
}

}  // namespace qvl
