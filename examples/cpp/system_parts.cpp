// The parts of the system layer without a model: files are read on one pool of threads and counted on
// another, in blocks under one memory cap, beside a profiler.
//
//   system_parts FILE...
#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <future>
#include <system_error>
#include <utility>
#include <vector>

#include "qvl/system.h"

namespace {

namespace fs = std::filesystem;

using Counts = std::array<size_t, 256>;  // of each value of a byte

// Throws Error{limit}, with what each part holds, where the file does not fit below the cap.
qvl::system::TensorBlock read(qvl::system::MemoryManager& memory, const fs::path& path) {
  std::error_code problem;
  const auto bytes = fs::file_size(path, problem);
  if (problem) {
    throw qvl::Error(qvl::ErrorCode::environment, path.string() + ": cannot be read: " + problem.message());
  }
  auto block = memory.allocate(bytes);
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(block.data()), static_cast<std::streamsize>(block.size()));
  if (!file) throw qvl::Error(qvl::ErrorCode::environment, path.string() + ": cannot be read");
  return block;
}

Counts count(const qvl::system::TensorBlock& block) {
  Counts counts{};
  for (size_t i = 0; i < block.size(); ++i) ++counts[static_cast<size_t>(block.data()[i])];
  return counts;
}

void count_all(const std::vector<fs::path>& files) {
  const auto config = qvl::SystemOptimizationConfig::for_this_machine();
  qvl::system::SystemProfiler profiler(config);
  profiler.start_profiling();
  qvl::system::MemoryManager memory(config);
  qvl::system::ThreadManager threads(config);
  qvl::system::ResourceScheduler resources(config, qvl::system::ResourceCapacities::of_this_machine(config));
  size_t done = 0;
  for (const fs::path& file : files) {
    // One operation in flight, of the class in the middle; nothing else asks here, so it is granted at once.
    resources.request_resources("io", 1, 5);
    const auto grant = resources.allocate_resources().value();
    auto block = threads.submit_io_task([&] { return read(memory, file); });
    auto counted = threads.submit_compute_task([block = block.get()] { return count(block); });
    const Counts counts = counted.get();
    resources.release_resources(grant.kind, grant.amount);
    const auto most = std::max_element(counts.begin(), counts.end());
    std::printf("%s: byte %td comes %zu times\n", file.filename().c_str(), most - counts.begin(), *most);
    ++done;
  }
  threads.shutdown(qvl::system::Shutdown::drain);
  std::fprintf(
      stderr, "%s\n",
      qvl::system::system_optimization_report(profiler, memory, resources, {.operations = done}, config)
          .c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: system_parts FILE...\n");
    return 2;
  }
  try {
    count_all({argv + 1, argv + argc});
    return 0;
  } catch (const qvl::Error& error) {
    std::fprintf(stderr, "system_parts: %s\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "system_parts: %s\n", error.what());
    return 1;
  }
}
