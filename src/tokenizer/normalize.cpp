#include "tokenizer/normalize.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "tokenizer/code_point_ranges.h"
#include "tokenizer/utf8.h"

namespace qvl {
namespace {

// The normaliser the models were trained with knows Unicode 9: what has a decomposition, a composition or a
// combining class only since then (as of Unicode 16) passes it unchanged and separates its neighbours.
constexpr CodePointRange kUnknownToNormalizer[] = {
    {0x07FD, 0x07FD},   {0x0897, 0x089F},   {0x08CA, 0x08D3},   {0x09FE, 0x09FE},   {0x0C3C, 0x0C3C},
    {0x0D3B, 0x0D3C},   {0x0EBA, 0x0EBA},   {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},
    {0xA82C, 0xA82C},   {0x105C9, 0x105C9}, {0x105D2, 0x105D2}, {0x105DA, 0x105DA}, {0x105E4, 0x105E4},
    {0x10D24, 0x10D27}, {0x10D69, 0x10D6D}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50},
    {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x11383, 0x11383}, {0x11385, 0x11385},
    {0x1138E, 0x1138E}, {0x11391, 0x11391}, {0x113B8, 0x113B8}, {0x113BB, 0x113BB}, {0x113C2, 0x113C2},
    {0x113C5, 0x113C5}, {0x113C7, 0x113C9}, {0x113CE, 0x113D0}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x11930, 0x11930}, {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0},
    {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45},
    {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x1611E, 0x16129}, {0x1612F, 0x1612F}, {0x16D67, 0x16D6A},
    {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF},
    {0x1E4EC, 0x1E4EF}, {0x1E5EE, 0x1E5EF}};

// Below U+0300 every character is its own form C and none combines with what stands before it.
bool surely_normalized(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0xCC; });
}

int combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

std::vector<utf8proc_int32_t> decompose(std::string_view text) {
  std::vector<utf8proc_int32_t> out;
  out.reserve(text.size());
  utf8proc_int32_t parts[32];
  for (size_t position = 0; position < text.size();) {
    auto c = static_cast<utf8proc_int32_t>(next_code_point(text, position));
    int boundary_class = 0;
    auto count = utf8proc_decompose_char(c, parts, std::size(parts), UTF8PROC_DECOMPOSE, &boundary_class);
    QVL_CHECK(count > 0 && count <= static_cast<utf8proc_ssize_t>(std::size(parts)));
    out.insert(out.end(), parts, parts + count);
  }
  return out;
}

// Canonical order of each run of combining marks. The library's own ordering is quadratic in the length of a
// run.
void order_marks(std::vector<utf8proc_int32_t>& text) {
  auto is_mark = [](utf8proc_int32_t c) { return combining_class(c) != 0; };
  auto by_class = [](utf8proc_int32_t a, utf8proc_int32_t b) {
    return combining_class(a) < combining_class(b);
  };
  for (auto run = text.begin(); run != text.end();) {
    auto begin = std::find_if(run, text.end(), is_mark);
    run = std::find_if_not(begin, text.end(), is_mark);
    if (run - begin > 1) std::stable_sort(begin, run, by_class);
  }
}

// Appends form C of text without characters unknown to the normaliser.
void append_normalized(std::string_view text, std::string& out) {
  std::vector<utf8proc_int32_t> code_points = decompose(text);
  order_marks(code_points);
  auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  auto count = utf8proc_normalize_utf32(code_points.data(), static_cast<utf8proc_ssize_t>(code_points.size()),
                                        options);
  QVL_CHECK(count >= 0);
  for (utf8proc_ssize_t i = 0; i < count; ++i)
    append_utf8(out, static_cast<char32_t>(code_points[static_cast<size_t>(i)]));
}

}  // namespace

std::string normalize_nfc(std::string_view text) {
  if (surely_normalized(text)) return std::string(text);
  std::string out;
  out.reserve(text.size());
  size_t begin = 0;  // of what is not yet appended
  for (size_t position = 0; position < text.size();) {
    size_t start = position;
    if (!contains(kUnknownToNormalizer, next_code_point(text, position))) continue;
    append_normalized(text.substr(begin, start - begin), out);
    out += text.substr(start, position - start);
    begin = position;
  }
  append_normalized(text.substr(begin), out);
  return out;
}

}  // namespace qvl
