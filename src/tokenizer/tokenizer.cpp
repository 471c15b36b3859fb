#include "tokenizer/tokenizer.h"

#include <array>

#include "base/error.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/normalize.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer_data.h"
#include "tokenizer/utf8.h"

namespace qvl {
namespace {

// A stretch of the joined text that is trusted or not as a whole.
struct Stretch {
  size_t begin = 0;
  size_t end = 0;
  ControlTokens control = ControlTokens::plain_text;
};

std::vector<Stretch> join(std::span<const Tokenizer::Piece> pieces, std::string& text) {
  std::vector<Stretch> stretches;
  for (const Tokenizer::Piece& piece : pieces) {
    if (piece.text.empty()) continue;
    size_t begin = text.size();
    text += piece.text;
    if (stretches.empty() || stretches.back().control != piece.control) {
      stretches.push_back({.begin = begin, .control = piece.control});
    }
    stretches.back().end = text.size();
  }
  return stretches;
}

// One call of encode: collects ordinary text until an added token or the end closes it.
class Encoding {
 public:
  explicit Encoding(const TokenizerData& data) : data_(data), bpe_(data.byte_ids, data.merges) {}

  void add_ordinary(std::string_view text) { ordinary_ += text; }

  void add_trusted(std::string_view text) {
    size_t ordinary_begin = 0;
    for (size_t position = 0; position < text.size();) {
      const AddedTokenMatcher::Entry* token = data_.added.match(text, position);
      if (token == nullptr) {
        ++position;
        continue;
      }
      add_ordinary(text.substr(ordinary_begin, position - ordinary_begin));
      close_ordinary();
      ids_.push_back(token->id);
      position += token->content.size();
      ordinary_begin = position;
    }
    add_ordinary(text.substr(ordinary_begin));
  }

  std::vector<TokenId> finish() {
    close_ordinary();
    return std::move(ids_);
  }

 private:
  void close_ordinary() {
    std::string text = normalize_nfc(ordinary_);
    ordinary_.clear();
    for (size_t begin = 0; begin < text.size();) {
      size_t end = word_end(text, begin);
      bpe_.encode(std::string_view(text).substr(begin, end - begin), ids_);
      begin = end;
    }
  }

  const TokenizerData& data_;
  BytePairEncoder bpe_;
  std::string ordinary_;
  std::vector<TokenId> ids_;
};

}  // namespace

Tokenizer::Tokenizer(TokenizerSpec spec)
    : data_(std::make_unique<const TokenizerData>(make_tokenizer_data(std::move(spec)))) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;

std::vector<TokenId> Tokenizer::encode(std::string_view text, ControlTokens control) const {
  Piece piece{.text = text, .control = control};
  return encode(std::span(&piece, 1));
}

std::vector<TokenId> Tokenizer::encode(std::span<const Piece> pieces) const {
  std::string text;
  std::vector<Stretch> stretches = join(pieces, text);
  if (auto invalid = find_invalid_utf8(text)) fail(ErrorCode::usage, "byte {}: not valid UTF-8", *invalid);
  Encoding encoding(*data_);
  for (const Stretch& stretch : stretches) {
    std::string_view part = std::string_view(text).substr(stretch.begin, stretch.end - stretch.begin);
    if (stretch.control == ControlTokens::parse) {
      encoding.add_trusted(part);
    } else {
      encoding.add_ordinary(part);
    }
  }
  return encoding.finish();
}

std::string_view Tokenizer::bytes(TokenId id) const {
  if (!data_->contains(id)) {
    fail(ErrorCode::usage, "token id {}: expected 0 to {}", id, data_->tokens.size() - 1);
  }
  return data_->tokens[static_cast<size_t>(id)].bytes;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, Special special) const {
  std::string joined;
  for (TokenId id : ids) {
    if (!data_->contains(id) || (special == Special::skip && is_special(id))) continue;
    joined += bytes(id);
  }
  return replace_invalid_utf8(joined);
}

bool Tokenizer::is_special(TokenId id) const {
  return data_->contains(id) && data_->tokens[static_cast<size_t>(id)].special;
}

size_t Tokenizer::vocabulary_size() const { return data_->tokens.size(); }

std::optional<TokenId> Tokenizer::find_added(std::string_view content) const {
  return data_->added.find(content);
}

std::string_view StreamDecoder::add(TokenId id) {
  text_.clear();
  if (tokenizer_.is_special(id) || id < 0 || static_cast<size_t>(id) >= tokenizer_.vocabulary_size())
    return text_;
  pending_ += tokenizer_.bytes(id);
  size_t complete = 0;
  while (complete < pending_.size()) {
    Utf8Unit unit = read_utf8(pending_, complete);
    if (unit.kind == Utf8Unit::Kind::unfinished) break;
    complete += unit.length;
  }
  append_valid_utf8(text_, std::string_view(pending_).substr(0, complete));
  pending_.erase(0, complete);
  return text_;
}

std::string_view StreamDecoder::finish() {
  text_.clear();
  append_valid_utf8(text_, pending_);
  pending_.clear();
  return text_;
}

}  // namespace qvl
