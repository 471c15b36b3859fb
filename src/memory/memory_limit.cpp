#include "memory/memory_limit.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "memory/memory_size.h"
#include "memory/process_memory.h"

namespace qvl {
namespace {

void lower(MemoryLimit& least, std::optional<int64_t> bytes, std::string cause) {
  // Version 1 writes "no limit" as a number above any memory, version 2 as a word.
  if (!bytes || *bytes < 0) return;
  const auto found = static_cast<uint64_t>(*bytes);
  if (found < least.bytes) least = {.bytes = found, .cause = std::move(cause)};
}

// The value of a line "NAME 123" of memory.stat.
std::optional<int64_t> stat_field(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.starts_with(name) && line.substr(name.size(), 1) == " ") {
      return parse_whole(line.substr(name.size()));
    }
  }
  return std::nullopt;
}

void lower_by_group(MemoryLimit& least, const SystemFiles& files, const Cgroup& group) {
  const auto lower_by_file = [&](std::string_view name) {
    lower(least, files.number(fmt::format("{}/{}", group.folder, name)),
          fmt::format("cgroup {} {}", group.folder, name));
  };
  if (group.version == Cgroup::Version::v2) {
    lower_by_file("memory.max");
    lower_by_file("memory.high");
    return;
  }
  lower_by_file("memory.limit_in_bytes");
  if (const auto stat = files.read(group.folder + "/memory.stat")) {
    lower(least, stat_field(*stat, "hierarchical_memory_limit"),
          fmt::format("cgroup {} hierarchical_memory_limit", group.folder));
  }
}

}  // namespace

MemoryLimit memory_limit(const SystemFiles& files) {
  MemoryLimit least{.bytes = machine_memory(files).total, .cause = "physical memory"};
  for (const Cgroup& group : enclosing_cgroups(files, "memory")) lower_by_group(least, files, group);
  return least;
}

std::optional<std::string> told_if_lowered(uint64_t asked_bytes, const SystemFiles& files) {
  const MemoryLimit usable = memory_limit(files);
  if (asked_bytes <= usable.bytes) return std::nullopt;
  return fmt::format("memory limit: found {}, lowered to the {} of {}", format_bytes(asked_bytes),
                     format_bytes(usable.bytes), usable.cause);
}

}  // namespace qvl
