#include "profiler/disks.h"

#include <algorithm>

#include "base/checked.h"
#include "base/error.h"
#include "profiler/counter.h"
#include "profiler/fields.h"

namespace qvl {
namespace {

constexpr size_t kMostDisks = 64;
constexpr uint64_t kSectorBytes = 512;  // in both files, whatever the disk's own is

std::string folder_of(std::string_view name) { return "/sys/block/" + std::string(name); }

// Only hardware has a device behind it. Slashes of a name ("cciss/c0d0") are exclamation marks there.
std::vector<std::string> disk_names(const SystemFiles& files) {
  std::vector<std::string> out;
  for (std::string& name : files.names("/sys/block")) {
    std::error_code error;
    if (!std::filesystem::exists(files.at(folder_of(name) + "/device"), error)) continue;
    out.push_back(std::move(name));
    if (out.size() == kMostDisks) break;
  }
  return out;
}

DiskKind kind_of(const SystemFiles& files, const std::string& folder) {
  const auto rotational = files.number(folder + "/queue/rotational");
  if (!rotational) return DiskKind::unknown;
  return *rotational != 0 ? DiskKind::rotating : DiskKind::solid_state;
}

// "MAJOR MINOR NAME reads merged sectors ms writes merged sectors ms in-flight busy-ms ..."
std::optional<DiskCounters> parse_line(std::string_view line) {
  take_word(line);
  take_word(line);
  DiskCounters out{.name = std::string(take_word(line))};
  std::replace(out.name.begin(), out.name.end(), '/', '!');
  std::optional<uint64_t> fields[10];
  for (auto& field : fields) {
    field = parse_counter(take_word(line));
    if (!field) return std::nullopt;
  }
  const auto read = checked_mul(*fields[2], kSectorBytes), written = checked_mul(*fields[6], kSectorBytes);
  if (!read || !written) return std::nullopt;
  out.read_bytes = *read;
  out.written_bytes = *written;
  out.busy_ms = *fields[9];
  return out;
}

std::optional<double> busy_share(uint64_t before_ms, uint64_t after_ms, double seconds) {
  const auto step = counted(before_ms, after_ms, CounterWidth::bits32);
  if (!step) return std::nullopt;
  return std::min(static_cast<double>(*step) / (1000 * seconds), 1.0);
}

}  // namespace

std::vector<DiskFacts> read_disk_facts(const SystemFiles& files) {
  std::vector<DiskFacts> out;
  for (const std::string& name : disk_names(files)) {
    const std::string folder = folder_of(name);
    DiskFacts disk{.name = printable(name, 64)};
    disk.model = read_label(files, folder + "/device/model");
    if (const auto sectors = files.number(folder + "/size"); sectors && *sectors >= 0) {
      disk.size_bytes = checked_mul(static_cast<uint64_t>(*sectors), kSectorBytes);
    }
    disk.kind = kind_of(files, folder);
    out.push_back(std::move(disk));
  }
  return out;
}

std::vector<DiskCounters> read_disk_counters(const SystemFiles& files) {
  const auto text = files.read("/proc/diskstats");
  if (!text) return {};
  const std::vector<std::string> names = disk_names(files);
  std::vector<DiskCounters> out;
  for (std::string_view rest = *text; !rest.empty() && out.size() < kMostDisks;) {
    auto disk = parse_line(take_line(rest));
    if (!disk || !std::binary_search(names.begin(), names.end(), disk->name)) continue;
    disk->name = printable(disk->name, 64);
    out.push_back(std::move(*disk));
  }
  return out;
}

std::vector<DiskLoad> disk_loads(const std::vector<DiskCounters>& before,
                                 const std::vector<DiskCounters>& after, double seconds) {
  std::vector<DiskLoad> out;
  for (const DiskCounters& now : after) {
    const auto old =
        std::find_if(before.begin(), before.end(), [&](const auto& d) { return d.name == now.name; });
    if (old == before.end()) continue;
    out.push_back({.name = now.name,
                   .read_bytes_per_s = counted_per_second(old->read_bytes, now.read_bytes, seconds),
                   .written_bytes_per_s = counted_per_second(old->written_bytes, now.written_bytes, seconds),
                   .busy = busy_share(old->busy_ms, now.busy_ms, seconds)});
  }
  return out;
}

}  // namespace qvl
