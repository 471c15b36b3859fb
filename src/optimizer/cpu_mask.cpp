// CpuMask: a bit for each processor, written in hexadecimal.
#include <fmt/format.h>

#include <charconv>

#include "qvl/system_config.h"

namespace qvl {
namespace {

constexpr size_t kWordBits = 64, kDigitsPerWord = kWordBits / 4;

std::optional<uint64_t> parse_word(std::string_view digits, int base) {
  uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto result = std::from_chars(digits.data(), end, value, base);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return value;
}

}  // namespace

CpuMask::CpuMask(uint64_t bits) {
  if (bits != 0) words_.push_back(bits);
}

std::optional<CpuMask> CpuMask::parse(std::string_view text) {
  if (!text.starts_with("0x") && !text.starts_with("0X")) {
    const auto bits = parse_word(text, 10);
    return bits ? std::optional(CpuMask(*bits)) : std::nullopt;
  }
  std::string_view digits = text.substr(2);
  if (digits.empty() || digits.size() > kMostCpus / 4) return std::nullopt;
  CpuMask mask;
  while (!digits.empty()) {
    const size_t first = digits.size() > kDigitsPerWord ? digits.size() - kDigitsPerWord : 0;
    const auto word = parse_word(digits.substr(first), 16);
    if (!word) return std::nullopt;
    mask.words_.push_back(*word);
    digits = digits.substr(0, first);
  }
  while (!mask.words_.empty() && mask.words_.back() == 0) mask.words_.pop_back();
  return mask;
}

bool CpuMask::contains(int cpu) const {
  if (cpu < 0) return false;
  const auto index = static_cast<size_t>(cpu);
  return index / kWordBits < words_.size() && ((words_[index / kWordBits] >> (index % kWordBits)) & 1) != 0;
}

std::string CpuMask::text() const {
  if (words_.empty()) return "0x0";
  std::string out = fmt::format("0x{:x}", words_.back());
  for (size_t i = words_.size() - 1; i > 0; --i) out += fmt::format("{:016x}", words_[i - 1]);
  return out;
}

}  // namespace qvl
