#include "tokenizer/pre_tokenizer.h"

#include <utf8proc.h>

#include "tokenizer/code_point_ranges.h"
#include "tokenizer/utf8.h"

namespace qvl {
namespace {

enum class CharClass : unsigned char {
  letter,   // \p{L}
  number,   // \p{N}
  newline,  // \r and \n
  space,    // the rest of \s
  other,
};

// Letters and numbers of Unicode 15.1 and 16, which the library may be too old to know: the classes are those
// of Unicode 16 whatever version it has.
constexpr CodePointRange kNewLetters[] = {
    {0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},   {0x105C0, 0x105F3}, {0x10D4A, 0x10D65},
    {0x10D6F, 0x10D85}, {0x10EC2, 0x10EC4}, {0x11380, 0x11389}, {0x1138B, 0x1138B}, {0x1138E, 0x1138E},
    {0x11390, 0x113B5}, {0x113B7, 0x113B7}, {0x113D1, 0x113D1}, {0x113D3, 0x113D3}, {0x11BC0, 0x11BE0},
    {0x13460, 0x143FA}, {0x16100, 0x1611D}, {0x16D40, 0x16D6C}, {0x18CFF, 0x18CFF}, {0x1E5D0, 0x1E5ED},
    {0x1E5F0, 0x1E5F0}, {0x2EBF0, 0x2EE5D}};
constexpr CodePointRange kNewNumbers[] = {{0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9},
                                          {0x16130, 0x16139}, {0x16D70, 0x16D79}, {0x1CCF0, 0x1CCF9},
                                          {0x1E5F1, 0x1E5FA}};

// \s beyond ASCII. A fixed set: it is not any one category.
bool is_wide_space(char32_t c) {
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

CharClass classify(char32_t c) {
  if (c == '\r' || c == '\n') return CharClass::newline;
  if ((c >= 0x09 && c <= 0x0C) || c == ' ' || is_wide_space(c)) return CharClass::space;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharClass::letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharClass::number;
    case UTF8PROC_CATEGORY_CN:
      if (contains(kNewLetters, c)) return CharClass::letter;
      return contains(kNewNumbers, c) ? CharClass::number : CharClass::other;
    default:
      return CharClass::other;
  }
}

// The characters of the text one by one, with their classes.
class Cursor {
 public:
  Cursor(std::string_view text, size_t position) : text_(text), position_(position), next_(position) {
    read();
  }

  bool at_end() const { return position_ == text_.size(); }
  size_t position() const { return position_; }
  char32_t code_point() const { return code_point_; }
  bool is(CharClass wanted) const { return !at_end() && class_ == wanted; }
  bool is_space_or_newline() const { return is(CharClass::space) || is(CharClass::newline); }
  void advance() {
    position_ = next_;
    read();
  }
  void skip_all(CharClass wanted) {
    while (is(wanted)) advance();
  }

 private:
  void read() {
    if (at_end()) return;
    code_point_ = next_code_point(text_, next_);
    class_ = classify(code_point_);
  }

  std::string_view text_;
  size_t position_;
  size_t next_;
  char32_t code_point_ = 0;
  CharClass class_ = CharClass::other;
};

// The lower-case ASCII letter that `c` equals without regard to case, 0 if none.
char32_t fold_to_ascii(char32_t c) {
  if (c >= 'A' && c <= 'Z') return c - 'A' + 'a';
  if (c == 0x017F) return 's';  // long s folds to s
  return c < 0x80 ? c : 0;
}

// The end of 's 't 're 've 'm 'll 'd behind the apostrophe at `start`; `start` itself if there is none.
size_t contraction_end(std::string_view text, size_t start) {
  Cursor cursor(text, start);
  cursor.advance();
  if (cursor.at_end()) return start;
  char32_t first = fold_to_ascii(cursor.code_point());
  cursor.advance();
  switch (first) {
    case 's':
    case 't':
    case 'm':
    case 'd':
      return cursor.position();
    case 'r':
    case 'v':
    case 'l': {
      if (cursor.at_end()) return start;
      char32_t wanted = first == 'l' ? 'l' : 'e';
      bool matches = fold_to_ascii(cursor.code_point()) == wanted;
      cursor.advance();
      return matches ? cursor.position() : start;
    }
    default:
      return start;
  }
}

// The white space branches, in order: \s*[\r\n]+ ends behind the last newline of the run; \s+(?!\S) leaves
// the last character to the word that follows; \s+ takes a single one.
size_t space_end(Cursor cursor) {
  size_t start = cursor.position();
  size_t last_start = start;
  size_t behind_newline = start;
  while (cursor.is_space_or_newline()) {
    bool newline = cursor.is(CharClass::newline);
    last_start = cursor.position();
    cursor.advance();
    if (newline) behind_newline = cursor.position();
  }
  if (behind_newline > start) return behind_newline;
  if (cursor.at_end() || last_start == start) return cursor.position();
  return last_start;
}

// [^\s\p{L}\p{N}]+[\r\n]*
size_t symbols_end(Cursor cursor) {
  cursor.skip_all(CharClass::other);
  cursor.skip_all(CharClass::newline);
  return cursor.position();
}

}  // namespace

size_t word_end(std::string_view text, size_t start) {
  Cursor cursor(text, start);
  if (cursor.code_point() == '\'') {
    size_t end = contraction_end(text, start);
    if (end != start) return end;
  }
  Cursor next = cursor;
  next.advance();
  if (cursor.is(CharClass::number)) return next.position();
  if (cursor.is(CharClass::letter) || (!cursor.is(CharClass::newline) && next.is(CharClass::letter))) {
    next.skip_all(CharClass::letter);
    return next.position();
  }
  if (cursor.is(CharClass::other)) return symbols_end(cursor);
  if (cursor.code_point() == ' ' && next.is(CharClass::other)) return symbols_end(next);
  return space_end(cursor);
}

}  // namespace qvl
