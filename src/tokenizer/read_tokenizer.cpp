// Reads tokenizer files of Hugging Face into a spec. Every component this tokenizer does not implement is
// refused by name, for a wrong id is worse than no answer.
#include <array>
#include <charconv>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace qvl {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{64} << 20;

std::string read_text(const std::filesystem::path& path) {
  return read_file(path, kMaxFileBytes, ErrorCode::model_file);
}

std::string shown(const Json& value) {
  return printable(value.is_structured() ? value.type_name() : value.dump(-1, ' ', true));
}

// Refuses where `key` of `object` is present and not `expected`.
void expect(const JsonObject& object, std::string_view key, const Json& expected) {
  if (object.has(key) && object.at(key) != expected) {
    object.refuse(key, fmt::format("found {}, supported is {}", shown(object.at(key)), expected.dump()));
  }
}

void expect_type(const JsonObject& component, std::string_view type) {
  std::string found = component.string("type");
  if (found != type)
    component.refuse("type", fmt::format("found \"{}\", supported is \"{}\"", printable(found), type));
}

void check_pre_tokenizer(const JsonObject& root, const JsonSource& source) {
  JsonObject sequence = root.object("pre_tokenizer");
  expect_type(sequence, "Sequence");
  const Json& parts = sequence.at("pretokenizers");
  if (!parts.is_array() || parts.size() != 2)
    sequence.refuse("pretokenizers", "expected Split and ByteLevel");
  JsonObject split(parts[0], source, "pre_tokenizer.pretokenizers[0]");
  expect_type(split, "Split");
  std::string pattern = split.object("pattern").string("Regex");
  if (pattern != kWordPattern) {
    split.refuse("pattern.Regex",
                 fmt::format("unsupported pre-tokenizer pattern \"{}\"", printable(pattern)));
  }
  expect(split, "behavior", "Isolated");
  expect(split, "invert", false);
  JsonObject byte_level(parts[1], source, "pre_tokenizer.pretokenizers[1]");
  expect_type(byte_level, "ByteLevel");
  expect(byte_level, "add_prefix_space", false);
  if (byte_level.boolean_or("use_regex", true))
    byte_level.refuse("use_regex", "found true, supported is false");
}

void check_components(const JsonObject& root, const JsonSource& source) {
  if (!root.has("version")) root.refuse("version", "missing");
  expect(root, "version", "1.0");
  expect_type(root.object("normalizer"), "NFC");
  check_pre_tokenizer(root, source);
  // Its other fields mean nothing where tokens become text; transformers 5 writes others than it read.
  expect_type(root.object("decoder"), "ByteLevel");
  // Absent or one that changes offsets only: no tokens are put around a text.
  if (root.has("post_processor")) expect_type(root.object("post_processor"), "ByteLevel");
}

void check_model(const JsonObject& model) {
  expect_type(model, "BPE");
  expect(model, "unk_token", nullptr);
  expect(model, "dropout", nullptr);
  expect(model, "continuing_subword_prefix", "");
  expect(model, "end_of_word_suffix", "");
  expect(model, "byte_fallback", false);
  expect(model, "ignore_merges", false);
}

// The pieces of a vocabulary by id, collected while the file is read: a tree of all of them would take longer
// to build than everything else here, and a hostile one gigabytes. A piece given twice is refused with the
// tables, where pieces are looked up by their text.
class VocabularyReader {
 public:
  VocabularyReader(const JsonSource& source, std::string_view path) : source_(source), path_(path) {}

  JsonStream stream() {
    return {.path = path_, .kind = JsonStream::Kind::object, .entry = [this](auto& piece, auto& value) {
              add(piece, value);
            }};
  }
  std::vector<std::string> take() { return std::move(by_id_); }

 private:
  void add(const std::string& piece, const Json& value) {
    if (piece.empty()) refuse(piece, "an empty token");
    if (!value.is_number_unsigned() || value.get<uint64_t>() >= static_cast<uint64_t>(kMaxTokenIds)) {
      refuse(piece, fmt::format("found {}, expected an id from 0 to {}", shown(value), kMaxTokenIds - 1));
    }
    auto id = value.get<size_t>();
    if (id >= by_id_.size()) by_id_.resize(id + 1);
    if (!by_id_[id].empty()) refuse(piece, fmt::format("id {} is \"{}\" already", id, printable(by_id_[id])));
    by_id_[id] = piece;
  }

  [[noreturn]] void refuse(std::string_view piece, std::string_view message) const {
    fail(source_.code, "{}: {}{}{}: {}", source_.name, path_, path_.empty() ? "" : ".", printable(piece),
         message);
  }

  const JsonSource& source_;
  std::string_view path_;
  std::vector<std::string> by_id_;
};

using MergePair = std::pair<std::string, std::string>;

// "a b": exactly one space, something on both sides.
std::optional<MergePair> split_merge(std::string_view text) {
  size_t space = text.find(' ');
  if (space == std::string_view::npos || space == 0 || space + 1 == text.size()) return std::nullopt;
  if (text.find(' ', space + 1) != std::string_view::npos) return std::nullopt;
  return MergePair(text.substr(0, space), text.substr(space + 1));
}

std::optional<MergePair> read_merge(const Json& merge) {
  if (merge.is_string()) return split_merge(merge.get_ref<const std::string&>());
  if (!merge.is_array() || merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string())
    return std::nullopt;
  return MergePair(merge[0].get<std::string>(), merge[1].get<std::string>());
}

// The merges by rank, collected while the file is read.
class MergesReader {
 public:
  explicit MergesReader(const JsonSource& source) : source_(source) {}

  JsonStream stream() {
    return {.path = "model.merges", .kind = JsonStream::Kind::array, .entry = [this](auto&, auto& value) {
              add(value);
            }};
  }
  std::vector<MergePair> take() { return std::move(merges_); }

 private:
  void add(const Json& value) {
    if (merges_.size() == static_cast<size_t>(kMaxTokenIds)) {
      fail(source_.code, "{}: model.merges: more than {} entries", source_.name, kMaxTokenIds);
    }
    auto merge = read_merge(value);
    if (!merge) {
      fail(source_.code, "{}: model.merges: [{}]: found {}, expected \"a b\" or [\"a\", \"b\"]", source_.name,
           merges_.size(), shown(value));
    }
    merges_.push_back(std::move(*merge));
  }

  const JsonSource& source_;
  std::vector<MergePair> merges_;
};

AddedToken read_added_token(const JsonObject& entry, TokenId id) {
  expect(entry, "single_word", false);
  expect(entry, "lstrip", false);
  expect(entry, "rstrip", false);
  bool special = entry.boolean_or("special", false);
  // The format's default: tokens that are not special are matched after normalisation, which is not
  // implemented.
  if (entry.boolean_or("normalized", !special)) entry.refuse("normalized", "found true, supported is false");
  return {.id = id, .content = entry.string("content"), .special = special};
}

std::vector<AddedToken> read_added_tokens(const JsonObject& root, const JsonSource& source) {
  std::vector<AddedToken> tokens;
  if (!root.has("added_tokens")) return tokens;
  const Json& added = root.at("added_tokens");
  if (!added.is_array()) root.refuse("added_tokens", "expected an array");
  for (size_t i = 0; i < added.size(); ++i) {
    JsonObject entry(added[i], source, fmt::format("added_tokens[{}]", i));
    tokens.push_back(read_added_token(entry, static_cast<TokenId>(entry.integer("id", 0, kMaxTokenIds - 1))));
  }
  return tokens;
}

TokenizerSpec read_tokenizer_json(const std::filesystem::path& path) {
  JsonSource source{.name = path.string(), .code = ErrorCode::model_file};
  VocabularyReader vocabulary(source, "model.vocab");
  MergesReader merges(source);
  Json document = parse_json(read_text(path), source, std::array{vocabulary.stream(), merges.stream()});
  const EmptiedAtEnd document_end(document);
  JsonObject root(document, source);
  check_components(root, source);
  JsonObject model = root.object("model");
  check_model(model);
  model.object("vocab");
  if (!model.at("merges").is_array()) model.refuse("merges", "expected an array");
  return {.vocabulary = vocabulary.take(),
          .merges = merges.take(),
          .added = read_added_tokens(root, source),
          .source = source.name};
}

std::vector<std::string> read_vocab_json(const std::filesystem::path& path) {
  JsonSource source{.name = path.string(), .code = ErrorCode::model_file};
  VocabularyReader vocabulary(source, "");
  Json document = parse_json(read_text(path), source, std::array{vocabulary.stream()});
  const EmptiedAtEnd document_end(document);
  JsonObject must_be_an_object(document, source);
  return vocabulary.take();
}

std::vector<MergePair> read_merges_txt(const std::filesystem::path& path) {
  std::string text = read_text(path);
  std::vector<MergePair> merges;
  size_t line_number = 0;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    ++line_number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (line_number == 1 && line.starts_with("#version"))) continue;
    auto merge = split_merge(line);
    if (!merge) {
      fail(ErrorCode::model_file, "{}: line {}: found \"{}\", expected two pieces with a space between",
           path.string(), line_number, printable(line));
    }
    merges.push_back(std::move(*merge));
  }
  return merges;
}

std::vector<AddedToken> read_added_tokens_decoder(const std::filesystem::path& path) {
  JsonSource source{.name = path.string(), .code = ErrorCode::model_file};
  Json document = parse_json(read_text(path), source);
  const EmptiedAtEnd document_end(document);
  JsonObject decoder = JsonObject(document, source).object("added_tokens_decoder");
  std::vector<AddedToken> added;
  for (const auto& [key, value] : decoder.json().items()) {
    TokenId id = 0;
    auto [stop, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || stop != key.data() + key.size() || id < 0 || id >= kMaxTokenIds) {
      decoder.refuse(key, fmt::format("expected an id from 0 to {}", kMaxTokenIds - 1));
    }
    added.push_back(read_added_token(decoder.object(key), id));
  }
  return added;
}

bool is_there(const std::filesystem::path& path) {
  std::error_code unreadable;  // what cannot be looked at is named when it is read
  return std::filesystem::exists(path, unreadable) || unreadable;
}

}  // namespace

TokenizerSpec read_tokenizer_folder(const std::filesystem::path& folder) {
  if (is_there(folder / "tokenizer.json")) return read_tokenizer_json(folder / "tokenizer.json");
  if (!is_there(folder / "vocab.json")) {
    fail(ErrorCode::model_file, "{}: found neither tokenizer.json nor vocab.json", folder.string());
  }
  return {.vocabulary = read_vocab_json(folder / "vocab.json"),
          .merges = read_merges_txt(folder / "merges.txt"),
          .added = read_added_tokens_decoder(folder / "tokenizer_config.json"),
          .source = folder.string()};
}

}  // namespace qvl
