// A set of processors, under the numbers the kernel gives them.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qvl {

/// Processor numbers in [0, kMostCpus), ascending, each once. A value; thread-compatible.
class CpuSet {
 public:
  using value_type = int;
  using const_iterator = std::vector<int>::const_iterator;
  static constexpr int kMostCpus = 8192;  ///< the most a Linux kernel is built for

  CpuSet() = default;
  CpuSet(std::initializer_list<int> cpus);
  /// Bit b of word w stands for processor 64 w + b; words beyond kMostCpus are not looked at.
  static CpuSet from_mask(std::span<const uint64_t> words);

  /// `cpu` in [0, kMostCpus).
  void add(int cpu);
  bool contains(int cpu) const;
  bool empty() const { return cpus_.empty(); }
  int size() const { return static_cast<int>(cpus_.size()); }
  const_iterator begin() const { return cpus_.begin(); }
  const_iterator end() const { return cpus_.end(); }

  std::string list() const;  ///< as the kernel writes it: "0-3,8"; "none" for the empty set
  std::string mask() const;  ///< hexadecimal: "0x10f"

  friend CpuSet operator&(const CpuSet& a, const CpuSet& b);
  bool operator==(const CpuSet&) const = default;

 private:
  std::vector<int> cpus_;
};

/// The kernel's form "0-3,8,10-11"; nothing for any other text, or where a number is beyond kMostCpus.
std::optional<CpuSet> parse_cpu_list(std::string_view text);

}  // namespace qvl
