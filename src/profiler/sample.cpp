#include "profiler/sample.h"

#include <string>

namespace qvl {
namespace {

template <typename Entry>
size_t list_bytes(const std::vector<Entry>& list) {
  return list.capacity() * sizeof(Entry);
}

template <typename Entry>
size_t named_bytes(const std::vector<Entry>& list) {
  size_t bytes = list_bytes(list);
  for (const Entry& entry : list) bytes += entry.name.capacity();
  return bytes;
}

}  // namespace

size_t bytes_of(const Sample& sample) {
  size_t bytes = sizeof sample + named_bytes(sample.rates.disks) + named_bytes(sample.rates.network) +
                 named_bytes(sample.rates.energy) + list_bytes(sample.frequencies) +
                 named_bytes(sample.temperatures) + named_bytes(sample.power.batteries) +
                 list_bytes(sample.gpus);
  if (sample.rates.cpu) bytes += list_bytes(sample.rates.cpu->each);
  for (const GpuLoad& gpu : sample.gpus) bytes += list_bytes(gpu.processes);
  return bytes;
}

}  // namespace qvl
