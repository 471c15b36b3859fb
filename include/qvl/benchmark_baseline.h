// Results of a benchmark kept under a name, and whether later ones are faster or slower.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "qvl/benchmark.h"

namespace qvl {

/// Fewer runs than this say nothing about their median with a certainty of 99 %.
constexpr int64_t kLeastBaselineRuns = 8;

struct BaselinePlace {
  std::string name = {};  ///< 1 to 64 letters, digits, ".", "-" and "_", the first a letter or a digit
  std::optional<std::filesystem::path> cache_folder = {};  ///< as LoadOptions has it; kept in its baselines/
  std::string program = {};                                ///< of today's figures: "qvl 0.1.0"
};

enum class SpeedVerdict { faster, same, slower };

/// One measurement then and now. Ratios are turned so that above 1 is faster.
struct ComparedMeasurement {
  std::string name = {}, unit = {};        ///< "decode_1", "tok/s"
  double before = 0, now = 0;              ///< medians
  double ratio = 1;                        ///< median over the pairs of runs
  double ratio_least = 1, ratio_most = 1;  ///< the band that holds the true one with 99 %
  SpeedVerdict verdict = SpeedVerdict::same;
};

struct BenchmarkComparison {
  std::string program_before = {};
  MachinePeaks peaks_before;  ///< where these differ from today's, the machine itself is another than it was
  std::vector<ComparedMeasurement> measurements = {};
  bool regression = false;  ///< any is slower
};

/// What save_baseline() and compare_with_baseline() would refuse, before anything is measured: Error{usage}
/// for a name or a number of runs out of range, and where there is no cache folder; Error{environment} where
/// it cannot hold them.
void check_can_save(const BaselinePlace& place, const BenchmarkOptions& options);
/// Besides: where there is no such baseline, or one of another machine, checkpoint, number of threads, or of
/// other options.
void check_can_compare(const BaselinePlace& place, const Model& model, const BenchmarkOptions& options);

/// Keeps `report`, in place of what had that name. Returns the file. Throws as check_can_save(), and
/// Error{environment} where it cannot be written.
std::filesystem::path save_baseline(const BaselinePlace& place, const Model& model,
                                    const BenchmarkOptions& options, const BenchmarkReport& report);

/// A measurement is faster or slower where the band does not hold 1 and the median is more than 2 % away from
/// it. The runs cannot be taken in turns with those that were kept, so a machine that is slower today is a
/// slower result: compare the peaks. Throws as check_can_compare().
BenchmarkComparison compare_with_baseline(const BaselinePlace& place, const Model& model,
                                          const BenchmarkOptions& options, const BenchmarkReport& report);

}  // namespace qvl
