#include "tokenizer/tokenizer_data.h"

#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/piece_index.h"
#include "tokenizer/utf8.h"

namespace qvl {
namespace {

// Turns a spec into tables, naming its source in every refusal. Borrows the spec.
class TableBuilder {
 public:
  explicit TableBuilder(const TokenizerSpec& spec) : spec_(spec), pieces_(spec.vocabulary) {
    index_vocabulary();
  }

  TokenizerData build() {
    AddedTokenMatcher added = add_tokens();  // first: it says which pieces are not in the alphabet
    return {.tokens = tokens(), .byte_ids = byte_ids(), .merges = merges(), .added = std::move(added)};
  }

 private:
  template <typename... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::model_file, "{}: {}", spec_.source, fmt::format(format, std::forward<Args>(args)...));
  }

  void index_vocabulary() {
    if (spec_.vocabulary.size() > static_cast<size_t>(kMaxTokenIds)) {
      refuse("{} tokens, at most {} allowed", spec_.vocabulary.size(), kMaxTokenIds);
    }
    for (size_t id = 0; id < spec_.vocabulary.size(); ++id) {
      std::string_view piece = spec_.vocabulary[id];
      if (piece.empty()) continue;
      auto known = pieces_.insert(static_cast<TokenId>(id));
      if (known) refuse("tokens {} and {} are both \"{}\"", *known, id, printable(piece));
    }
  }

  void check_added(const AddedToken& token) const {
    std::string shown = printable(token.content);
    if (token.content.empty()) refuse("added token {}: empty", token.id);
    if (token.content.size() > kMaxAddedTokenBytes) {
      refuse("added token {}: {} bytes, at most {} allowed", token.id, token.content.size(),
             kMaxAddedTokenBytes);
    }
    if (find_invalid_utf8(token.content)) refuse("added token {}: not valid UTF-8", token.id);
    if (token.id < 0 || token.id >= kMaxTokenIds) {
      refuse("added token \"{}\": found id {}, expected 0 to {}", shown, token.id, kMaxTokenIds - 1);
    }
    auto piece = pieces_.find(token.content);
    if (piece && *piece != token.id) {
      refuse("added token \"{}\": id {}, but the vocabulary has it as {}", shown, token.id, *piece);
    }
    auto id = static_cast<size_t>(token.id);
    if (!piece && id < spec_.vocabulary.size() && !spec_.vocabulary[id].empty()) {
      refuse("added token \"{}\": id {} is \"{}\" in the vocabulary", shown, id,
             printable(spec_.vocabulary[id]));
    }
  }

  AddedTokenMatcher add_tokens() {
    std::vector<AddedTokenMatcher::Entry> entries;
    std::unordered_set<std::string_view> contents;
    for (const AddedToken& token : spec_.added) {
      check_added(token);
      if (!contents.insert(token.content).second)
        refuse("added token \"{}\": given twice", printable(token.content));
      if (!added_by_id_.emplace(token.id, &token).second) refuse("added tokens: id {} given twice", token.id);
      entries.push_back({.content = token.content, .id = token.id});
    }
    return AddedTokenMatcher(std::move(entries));
  }

  std::vector<TokenizerData::Token> tokens() const {
    std::vector<TokenizerData::Token> tokens(spec_.vocabulary.size());
    for (size_t id = 0; id < tokens.size(); ++id) {
      if (added_by_id_.contains(static_cast<TokenId>(id))) continue;
      auto bytes = alphabet_to_bytes(spec_.vocabulary[id]);
      if (!bytes) {
        refuse("token {}: \"{}\" has a character outside the byte-level alphabet", id,
               printable(spec_.vocabulary[id]));
      }
      tokens[id].bytes = std::move(*bytes);
    }
    for (const auto& [id, token] : added_by_id_) {
      auto index = static_cast<size_t>(id);
      if (index >= tokens.size()) tokens.resize(index + 1);
      tokens[index] = {.bytes = token->content, .special = token->special};
    }
    return tokens;
  }

  std::array<TokenId, 256> byte_ids() const {
    std::array<TokenId, 256> ids{};
    for (size_t byte = 0; byte < ids.size(); ++byte) {
      std::string letter;
      append_utf8(letter, byte_to_alphabet(static_cast<unsigned char>(byte)));
      auto piece = pieces_.find(letter);
      if (!piece) refuse("no token for byte 0x{:02x} (\"{}\")", byte, letter);
      ids[byte] = *piece;
    }
    return ids;
  }

  TokenId piece_of_merge(size_t rank, std::string_view text) const {
    auto piece = pieces_.find(text);
    if (!piece) refuse("merge {}: \"{}\" is not in the vocabulary", rank, printable(text));
    return *piece;
  }

  MergeTable merges() const {
    if (spec_.merges.size() > static_cast<size_t>(kMaxTokenIds)) {
      refuse("{} merges, at most {} allowed", spec_.merges.size(), kMaxTokenIds);
    }
    MergeTable table(spec_.merges.size());
    std::string whole;  // its memory serves all merges
    for (size_t rank = 0; rank < spec_.merges.size(); ++rank) {
      const auto& [left, right] = spec_.merges[rank];
      whole.assign(left).append(right);
      Merge merge{.rank = static_cast<int32_t>(rank), .merged = piece_of_merge(rank, whole)};
      if (!table.insert(piece_of_merge(rank, left), piece_of_merge(rank, right), merge)) {
        refuse("merge {}: \"{}\" and \"{}\" given twice", rank, printable(left), printable(right));
      }
    }
    return table;
  }

  const TokenizerSpec& spec_;
  PieceIndex pieces_;
  std::unordered_map<TokenId, const AddedToken*> added_by_id_;
};

}  // namespace

TokenizerData make_tokenizer_data(TokenizerSpec spec) { return TableBuilder(spec).build(); }

}  // namespace qvl
