// Measured profiles kept in files, to be compared with later ones.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace qvl {

enum class Better { lower, higher };

struct Metric {
  std::string name{};  ///< "decode_tokens_per_s"
  std::string unit{};  ///< "1/s"
  Better better = Better::lower;
  std::vector<double> values{};  ///< from 1e-100 to 1e100, in the order in which they were measured
};

/// Whether a metric may have this value: ratios of two must be numbers.
inline bool is_measurement(double value) { return value >= 1e-100 && value <= 1e100; }

/// What was measured, where, and by which program.
struct Baseline {
  std::string hardware{};  ///< fingerprint of the machine: figures of another one say nothing
  std::string program{};   ///< version
  std::map<std::string, std::string> setup{};  ///< what was measured, by name: "threads" is "2"
  std::vector<Metric> metrics{};
};

/// Writes the file at once and whole. Throws Error{environment} where it cannot be written, Error{usage} for
/// a baseline that load_baseline would refuse.
void save_baseline(const std::filesystem::path& path, const Baseline& baseline);

/// Nothing where there is no such file. Throws Error{usage} naming file, field, found and expected for one
/// that is damaged, has fields this program does not know, or is beyond 16 MiB, 64 entries of setup, 256
/// metrics or 10,000 values a metric.
std::optional<Baseline> load_baseline(const std::filesystem::path& path);

}  // namespace qvl
