// What observing costs: zones that are recorded and zones that are not, histograms, samples of this machine.
#include <benchmark/benchmark.h>

#include "profiler/stage_statistics.h"
#include "profiler/system_reader.h"
#include "profiler/tracer.h"

namespace qvl {
namespace {

void zone_without_tracer(benchmark::State& state) {
  Tracer* tracer = nullptr;
  benchmark::DoNotOptimize(tracer);
  for (auto _ : state) {
    const Zone zone(tracer, "bench", 1);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(zone_without_tracer);

void zone_switched_off(benchmark::State& state) {
  Tracer tracer;
  for (auto _ : state) {
    const Zone zone(&tracer, "bench", 1);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(zone_switched_off);

void zone_recorded(benchmark::State& state) {
  static Tracer tracer;
  tracer.enable();
  for (auto _ : state) {
    const Zone zone(&tracer, "bench", 1);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(zone_recorded)->Threads(1)->Threads(2);

// Two of these are in a zone.
void reading_the_clock(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(steady_ns());
}
BENCHMARK(reading_the_clock);

void histogram_entry(benchmark::State& state) {
  static DurationHistogram histogram;
  int64_t duration_ns = 1000;
  for (auto _ : state) histogram.add(duration_ns += 17);
}
BENCHMARK(histogram_entry)->Threads(1)->Threads(2);

void sample_of_this_machine(benchmark::State& state) {
  SystemReader reader(SystemFiles(), {});
  int64_t time_ns = 0;
  for (auto _ : state) benchmark::DoNotOptimize(reader.read(time_ns += 1'000'000'000));
}
BENCHMARK(sample_of_this_machine)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace qvl
