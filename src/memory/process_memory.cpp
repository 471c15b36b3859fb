#include "memory/process_memory.h"

#include <sys/sysinfo.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "base/checked.h"
#include "base/error.h"
#include "memory/page_size.h"

namespace qvl {
namespace {

// A count that is not negative, in units of `unit` bytes.
std::optional<uint64_t> bytes_of(std::string_view text, uint64_t unit) {
  const auto count = parse_whole(text);
  if (!count || *count < 0) return std::nullopt;
  return checked_mul(static_cast<uint64_t>(*count), unit);
}

// The value of a line "NAME:   123 kB".
std::optional<uint64_t> field(std::string_view text, std::string_view name) {
  constexpr std::string_view unit = " kB";
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (!line.starts_with(name) || line.substr(name.size(), 1) != ":") continue;
    line.remove_prefix(name.size() + 1);
    if (!line.ends_with(unit)) return std::nullopt;
    line.remove_suffix(unit.size());
    return bytes_of(line, 1024);
  }
  return std::nullopt;
}

// What the kernel says where its file is hidden. Not sysconf(): older C libraries read the same file for it.
uint64_t counted_by_the_system() {
  struct ::sysinfo counted = {};
  const auto total = ::sysinfo(&counted) == 0
                         ? checked_mul(uint64_t{counted.totalram}, uint64_t{counted.mem_unit})
                         : std::nullopt;
  if (!total || *total == 0) {
    fail(ErrorCode::environment,
         "cannot tell how much memory this machine has: neither /proc/meminfo nor sysinfo() says");
  }
  return *total;
}

}  // namespace

std::optional<ResidentMemory> resident_memory(const SystemFiles& files) {
  // "SIZE RESIDENT SHARED ...", in pages.
  const auto line = files.first_line("/proc/self/statm");
  if (!line) return std::nullopt;
  const std::string_view text = *line;
  const size_t first = text.find(' ');
  if (first == std::string_view::npos) return std::nullopt;
  const size_t second = std::min(text.find(' ', first + 1), text.size());
  const auto size = bytes_of(text.substr(0, first), page_size());
  const auto resident = bytes_of(text.substr(first + 1, second - first - 1), page_size());
  if (!size || !resident) return std::nullopt;
  return ResidentMemory{.rss = *resident, .vms = *size};
}

std::optional<ProcessMemory> process_memory(const SystemFiles& files) {
  const auto text = files.read("/proc/self/status");
  if (!text) return std::nullopt;
  const auto rss = field(*text, "VmRSS"), vms = field(*text, "VmSize");
  if (!rss || !vms) return std::nullopt;
  return ProcessMemory{.rss = *rss,
                       .vms = *vms,
                       .peak_rss = field(*text, "VmHWM"),
                       .rss_anon = field(*text, "RssAnon"),
                       .rss_file = field(*text, "RssFile"),
                       .rss_shmem = field(*text, "RssShmem")};
}

MachineMemory machine_memory(const SystemFiles& files) {
  const std::string text = files.read("/proc/meminfo").value_or("");
  const auto total = field(text, "MemTotal");
  if (!total || *total == 0) return {.total = counted_by_the_system()};
  auto available = field(text, "MemAvailable");
  if (available) available = std::min(*available, *total);
  return {.total = *total, .available = available};
}

}  // namespace qvl
