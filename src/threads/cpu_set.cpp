#include "threads/cpu_set.h"

#include <algorithm>
#include <iterator>

#include "base/error.h"
#include "base/system_files.h"

namespace qvl {
namespace {

// The kernel writes bare digits; parse_whole would also take white space and a sign.
std::optional<int> parse_cpu(std::string_view text) {
  if (text.empty() || text.size() > 5) return std::nullopt;
  if (text.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  const auto cpu = parse_whole(text);
  if (!cpu || *cpu >= CpuSet::kMostCpus) return std::nullopt;
  return static_cast<int>(*cpu);
}

// "3" or "0-3".
bool add_range(std::string_view text, CpuSet& out) {
  const size_t dash = text.find('-');
  const auto first = parse_cpu(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_cpu(text.substr(dash + 1));
  if (!first || !last || *last < *first) return false;
  for (int cpu = *first; cpu <= *last; ++cpu) out.add(cpu);
  return true;
}

}  // namespace

CpuSet::CpuSet(std::initializer_list<int> cpus) {
  for (int cpu : cpus) add(cpu);
}

CpuSet CpuSet::from_mask(std::span<const uint64_t> words) {
  CpuSet out;
  const size_t bits = std::min<size_t>(words.size() * 64, kMostCpus);
  for (size_t bit = 0; bit < bits; ++bit) {
    if ((words[bit / 64] >> (bit % 64) & 1) != 0) out.add(static_cast<int>(bit));
  }
  return out;
}

void CpuSet::add(int cpu) {
  QVL_CHECK(cpu >= 0 && cpu < kMostCpus);
  const auto place = std::lower_bound(cpus_.begin(), cpus_.end(), cpu);
  if (place == cpus_.end() || *place != cpu) cpus_.insert(place, cpu);
}

bool CpuSet::contains(int cpu) const { return std::binary_search(cpus_.begin(), cpus_.end(), cpu); }

std::string CpuSet::list() const {
  if (empty()) return "none";
  std::string out;
  for (size_t i = 0; i < cpus_.size();) {
    size_t last = i;
    while (last + 1 < cpus_.size() && cpus_[last + 1] == cpus_[last] + 1) ++last;
    if (!out.empty()) out += ',';
    out += last == i ? fmt::format("{}", cpus_[i]) : fmt::format("{}-{}", cpus_[i], cpus_[last]);
    i = last + 1;
  }
  return out;
}

std::string CpuSet::mask() const {
  std::string digits(empty() ? 1 : static_cast<size_t>(cpus_.back()) / 4 + 1, '0');
  for (size_t digit = 0; digit < digits.size(); ++digit) {
    const int first = static_cast<int>(4 * digit);
    int value = 0;
    for (int bit = 0; bit < 4; ++bit) value |= contains(first + bit) ? 1 << bit : 0;
    digits[digits.size() - 1 - digit] = "0123456789abcdef"[value];
  }
  return "0x" + digits;
}

CpuSet operator&(const CpuSet& a, const CpuSet& b) {
  CpuSet out;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out.cpus_));
  return out;
}

std::optional<CpuSet> parse_cpu_list(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  CpuSet out;
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    if (!add_range(text.substr(0, end), out)) return std::nullopt;
    if (end + 1 == text.size()) return std::nullopt;  // nothing behind the last comma
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

}  // namespace qvl
