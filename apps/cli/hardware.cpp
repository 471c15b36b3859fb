// qvl hardware: the machine as qvl sees it, and what of it this process may use.
#include "qvl/hardware.h"

#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "number_text.h"
#include "options.h"
#include "output.h"

namespace qvl::cli {
namespace {

std::string size_text(const std::optional<uint64_t>& bytes) { return bytes ? byte_size(*bytes) : "unknown"; }

std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : ", ") + part;
  return out.empty() ? "none" : out;
}

std::string line(const std::string& name, const std::string& value) {
  return name + std::string(name.size() < 18 ? 18 - name.size() : 1, ' ') + value + "\n";
}

std::string cores_text(const CpuInfo& cpu) {
  std::string text = counted(cpu.cores, "core") + ", " + counted(cpu.online, "thread");
  if (cpu.performance_cores != cpu.cores) {
    text += ", " + counted(cpu.performance_cores, "performance core");
  }
  if (cpu.packages > 1) text += ", " + counted(cpu.packages, "package");
  if (cpu.numa_nodes > 1) text += ", " + counted(cpu.numa_nodes, "memory node");
  return text;
}

std::string measured_text(const MeasuredInfo& measured) {
  std::vector<std::string> parts;
  if (measured.memory_read_gb_s) {
    parts.push_back("memory read at " + fixed(*measured.memory_read_gb_s, 1) + " GB/s");
  }
  for (const auto& [isa, gop_s] : measured.int8_gop_s) {
    parts.push_back("int8 " + isa + " " + fixed(gop_s, 0) + " Gop/s");
  }
  return parts.empty() ? "nothing yet: qvl plan --measure does it once" : joined(parts);
}

std::string hardware_text(const HardwareInfo& info) {
  std::string text = line("processors", cores_text(info.cpu)) + line("caches", joined(info.cpu.caches)) +
                     line("instruction sets", joined(info.cpu.isas));
  text += line("  for qvl", info.budget.threads_cause);
  text += line("memory", byte_size(info.memory.total_bytes) + ", " + size_text(info.memory.available_bytes) +
                             " available");
  text += line("  for qvl", byte_size(info.budget.memory_bytes) + ": " + info.budget.memory_cause);
  text += line("measured", measured_text(info.measured));
  for (const DiskInfo& disk : info.disks) {
    text += line("disk", disk.name + (disk.model.empty() ? "" : " (" + disk.model + ")") + ", " +
                             size_text(disk.size_bytes) + ", " + disk.kind);
  }
  for (const GpuInfo& gpu : info.gpus) {
    text += line(
        "GPU", (gpu.name.empty() ? "unnamed" : gpu.name) + ", " + size_text(gpu.memory_bytes) +
                   (gpu.compute_capability.empty() ? "" : ", compute capability " + gpu.compute_capability));
  }
  if (info.gpus.empty()) text += line("GPU", info.gpu_problem.empty() ? "none" : "none: " + info.gpu_problem);
  return text + line("stalls told of", joined(info.pressure_files));
}

struct HardwareArgs {
  ConfigArgs config = {};
  std::string cache = {};  // empty: the user's
  bool json = false;
};

int hardware(const HardwareArgs& args) {
  HardwareOptions options{.cpu_affinity_mask = args.config.config().cpu_affinity_mask};
  if (!args.cache.empty()) options.cache_folder = cache_folder_from(args.cache);
  const HardwareInfo info = read_hardware_info(options);
  print(args.json ? to_json(info) + "\n" : hardware_text(info));
  return 0;
}

}  // namespace

void add_hardware(CLI::App& app, Action& action) {
  auto args = std::make_shared<HardwareArgs>();
  CLI::App& command = *app.add_subcommand(
      "hardware", "Shows the machine as qvl sees it, and what of it this process may use.");
  add_config_file(command, args->config);
  add_name(command, "--cache", args->cache, "FOLDER", "folder that keeps what was measured, or off");
  command.add_flag("--json", args->json, "print one JSON object");
  command.callback([args, &action] { action = [args] { return hardware(*args); }; });
}

}  // namespace qvl::cli
