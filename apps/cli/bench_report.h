// What qvl bench measured, for scripts and for people.
#pragma once

#include <optional>
#include <string>

#include "answer_report.h"
#include "qvl/benchmark.h"
#include "qvl/benchmark_baseline.h"
#include "qvl/qvl.h"

namespace qvl::cli {

/// Seconds of starts, of each kind that happened.
struct Starts {
  std::optional<double> packing = {}, mapping = {}, as_stored = {};
  /// Why one that was asked for did not happen; empty: it did, or was not asked for.
  std::string why_no_packing = {}, why_no_mapping = {};

  /// Notes how `model` started, of each kind the first.
  void add(const Model& model);
};

Json report_json(const BenchmarkReport& report, const Model& model, const Starts& starts);
/// {baseline, program_before, regression, machine_before, measurements: [{name, unit, before, now, ratio,
/// ratio_least, ratio_most, verdict}]}
Json comparison_json(const BenchmarkComparison& comparison, const std::string& baseline);
/// A table of lines that follows the report's.
std::string comparison_text(const BenchmarkComparison& comparison, const std::string& baseline,
                            const BenchmarkReport& now);
/// A table of lines.
std::string report_text(const BenchmarkReport& report, const Model& model, const Starts& starts);

}  // namespace qvl::cli
