// qvl tokenize and detokenize: text to ids and back. Only the tokenizer is loaded.
#include <memory>
#include <string>

#include "answer_report.h"
#include "commands.h"
#include "options.h"
#include "output.h"
#include "qvl/qvl.h"

namespace qvl::cli {
namespace {

struct TokenizeArgs {
  ModelArgs model;
  std::string text, file, lines;
  bool raw = false;
};

struct DetokenizeArgs {
  ModelArgs model;
  std::string ids;
};

// One line of --lines: a JSON string.
std::string parse_line(const std::string& line, const std::string& place) {
  const Json json = Json::parse(line, nullptr, false);
  if (!json.is_string()) throw Error(ErrorCode::usage, place + ": expected one JSON string");
  return json.get<std::string>();
}

void tokenize_lines(const TokenizeArgs& args, const TextTokenizer& tokenizer, ControlText control) {
  const std::string file = read_text_file(args.lines, kMaxTextBytes);
  std::string out;
  int64_t number = 0;
  for (size_t begin = 0; begin < file.size();) {
    const size_t end = std::min(file.find('\n', begin), file.size());
    const std::string place = args.lines + ": line " + std::to_string(++number);
    out += to_line(tokenizer.tokenize(parse_line(file.substr(begin, end - begin), place), control));
    begin = end + 1;
  }
  print(out);
}

int tokenize(const TokenizeArgs& args) {
  const TextTokenizer tokenizer = load_tokenizer(args.model.path);
  const ControlText control = args.raw ? ControlText::parsed : ControlText::spelled_out;
  if (!args.lines.empty()) {
    tokenize_lines(args, tokenizer, control);
    return 0;
  }
  const std::string text = args.file.empty() ? args.text : read_text_file(args.file, kMaxTextBytes);
  try {
    print(to_line(tokenizer.tokenize(text, control)));
  } catch (const Error& error) {
    throw Error(error.code(), (args.file.empty() ? "TEXT" : args.file) + ": " + error.what());
  }
  return 0;
}

int detokenize(const DetokenizeArgs& args) {
  const auto ids = parse_tokens("IDS", args.ids);
  print(load_tokenizer(args.model.path).detokenize(ids) + "\n");
  return 0;
}

}  // namespace

void add_tokenize(CLI::App& app, Action& action) {
  auto args = std::make_shared<TokenizeArgs>();
  CLI::App& command = *app.add_subcommand("tokenize", "Prints the token ids of a text as a JSON array.");
  add_model_files(command, args->model);
  command.add_flag("--raw", args->raw, "control tokens in the text are parsed, not spelled out");
  auto* text = command.add_option("TEXT", args->text, "the text");
  auto* file = command.add_option("--file", args->file, "a file with the text")->type_name("F");
  auto* lines = command
                    .add_option("--lines", args->lines,
                                "a file with one JSON string a line; one array a line is printed")
                    ->type_name("F");
  add_example(command, "qvl tokenize --model models/shapes \"Hello world\"");
  command.callback([args, &action, text, file, lines] {
    if ((text->count() != 0) + (file->count() != 0) + (lines->count() != 0) != 1) {
      throw CLI::ValidationError("TEXT, --file, --lines", "expected one of them");
    }
    action = [args] { return tokenize(*args); };
  });
}

void add_detokenize(CLI::App& app, Action& action) {
  auto args = std::make_shared<DetokenizeArgs>();
  CLI::App& command =
      *app.add_subcommand("detokenize", "Prints the text of token ids, control tokens included.");
  add_model_files(command, args->model);
  add_text(command, "IDS", args->ids, "ids, like 1,2,3")->required();
  add_example(command, "qvl detokenize --model models/shapes 1,2,3");
  command.callback([args, &action] { action = [args] { return detokenize(*args); }; });
}

}  // namespace qvl::cli
