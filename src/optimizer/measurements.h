// Measured rates of this machine, kept from one start to the next.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "optimizer/hardware_facts.h"

namespace qvl {

/// How rates are measured; each call takes a fraction of a second. One thread for each core, but for the
/// last.
struct Measure {
  std::function<double()> read_gb_s;
  std::function<double(Isa)> int8_gop_s;
  std::function<double()> smt_speedup;  ///< asked only where cores run several threads
};

/// Where they are kept in a cache folder.
std::filesystem::path rates_file(const std::filesystem::path& cache_folder);

/// The rates in the file at `path`, as far as they are of the machine with this fingerprint. Nothing where
/// there is no such file, or it is damaged in any way: then they are to be measured anew.
std::optional<MeasuredRates> read_rates(const std::filesystem::path& path, const std::string& fingerprint);

/// Puts the file in place of an older one, at once or not at all. Throws Error{environment}.
void write_rates(const std::filesystem::path& path, const std::string& fingerprint,
                 const MeasuredRates& rates);

/// Fills what `rates` lacks for this machine. True where something was measured.
bool measure_missing(const HardwareFacts& hardware, const Measure& measure, MeasuredRates& rates);

}  // namespace qvl
