// qvl eval: how many questions of a set a checkpoint answers with exactly the expected words.
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "activity.h"
#include "answer_report.h"
#include "commands.h"
#include "media_list.h"
#include "options.h"
#include "output.h"
#include "qvl/qvl.h"

namespace qvl::cli {
namespace {

struct EvalArgs {
  ModelArgs model;
  VideoPrompt video_prompt = VideoPrompt::timestamps;
  std::string questions;
  int64_t limit = 0;  // 0: all of them
  int64_t max_tokens = 256;
  bool json = false, verbose = false;
};

struct Question {
  std::string kind, answer;
  Turn turn;
};

struct Score {
  int64_t asked = 0, correct = 0;
};

Question parse_question(const std::string& text, const std::filesystem::path& folder,
                        const std::string& place) {
  try {
    const Json line = Json::parse(text);
    return {.kind = line.at("kind").get<std::string>(),
            .answer = line.at("answer").get<std::string>(),
            .turn = {.text = line.at("question").get<std::string>(),
                     .images = media_list(line, "images", folder),
                     .videos = media_list(line, "videos", folder)}};
  } catch (const Error& error) {
    throw Error(error.code(), place + ": " + error.what());
  } catch (const Json::exception&) {
    throw Error(ErrorCode::usage,
                place +
                    ": expected an object with the strings kind, question and answer, and lists of "
                    "files images and videos");
  }
}

std::vector<Question> read_questions(const EvalArgs& args) {
  const std::string file = read_text_file(args.questions, kMaxTextBytes);
  const auto folder = std::filesystem::path(args.questions).parent_path();
  std::vector<Question> questions;
  int64_t number = 0;
  for (size_t begin = 0; begin < file.size();) {
    if (args.limit != 0 && std::ssize(questions) == args.limit) break;
    const size_t end = std::min(file.find('\n', begin), file.size());
    const std::string line = file.substr(begin, end - begin);
    const std::string place = args.questions + ": line " + std::to_string(++number);
    if (!line.empty()) questions.push_back(parse_question(line, folder, place));
    begin = end + 1;
  }
  if (questions.empty()) throw Error(ErrorCode::usage, args.questions + ": no questions in it");
  return questions;
}

std::string ask(const Model& model, const Question& question, const EvalArgs& args) {
  Activity activity;
  GenerationOptions options{.max_tokens = args.max_tokens};
  options.temperature = 0;
  Conversation conversation(model, {.video_prompt = args.video_prompt});
  std::string text = conversation.ask(question.turn, options, activity.listeners()).text;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

using Scores = std::map<std::string, Score>;

Json to_json(const Scores& scores, const Score& all, const Model& model) {
  Json kinds = Json::object();
  for (const auto& [kind, score] : scores) kinds[kind] = {{"asked", score.asked}, {"correct", score.correct}};
  return {{"asked", all.asked}, {"correct", all.correct}, {"kinds", kinds}, {"warnings", model.warnings()}};
}

std::string score_line(const std::string& name, const Score& score) {
  const int64_t per_mille = (score.correct * 2000 + score.asked) / (score.asked * 2);
  return name + ": " + std::to_string(score.correct) + " of " + std::to_string(score.asked) + " (" +
         std::to_string(per_mille / 10) + "." + std::to_string(per_mille % 10) + " %)\n";
}

int eval(const EvalArgs& args) {
  check_trace(args.model, {args.questions});
  const std::vector<Question> questions = read_questions(args);
  const Model model = load_model(args.model.load_options());
  if (!args.json) print_warnings(model);
  Scores scores;
  Score all;
  for (const Question& question : questions) {
    const std::string text = ask(model, question, args);
    if (interrupted()) return kInterruptedExit;
    const bool correct = text == question.answer;
    for (Score* score : {&scores[question.kind], &all}) {
      ++score->asked;
      score->correct += correct ? 1 : 0;
    }
    if (!correct && args.verbose) {
      print_error(question.kind + ": asked \"" + question.turn.text + "\", expected \"" + question.answer +
                  "\", answered \"" + text + "\"");
    }
  }
  std::string report;
  for (const auto& [kind, score] : scores) report += score_line(kind, score);
  Json json = to_json(scores, all, model);
  json["memory"] = Json::parse(model.memory_json());
  print(args.json ? to_line(json) : report + score_line("all", all));
  write_trace(args.model, model);
  return 0;
}

}  // namespace

void add_eval(CLI::App& app, Action& action) {
  auto args = std::make_shared<EvalArgs>();
  CLI::App& command = *app.add_subcommand(
      "eval",
      "Measures a checkpoint: asks every question of a set, greedily, each in a conversation of its own, and "
      "counts the answers that are exactly as expected.");
  add_model(command, args->model);
  add_trace(command, args->model);
  add_text(command, "--questions", args->questions,
           "one JSON object a line: kind, images, videos, question, answer; paths relative to the file")
      ->required()
      ->type_name("FILE");
  add_video_prompt(command, args->video_prompt);
  add_integer(command, "--limit", args->limit, {1, 1 << 30, "the first N questions only"});
  add_integer(command, "--max-tokens", args->max_tokens, {1, 1 << 24, "the longest answer"});
  command.add_flag("--json", args->json, "print one JSON object");
  command.add_flag("--verbose", args->verbose, "print wrong answers on standard error");
  add_example(command, "qvl eval --model models/shapes --questions questions.jsonl");
  command.callback([args, &action] { action = [args] { return eval(*args); }; });
}

}  // namespace qvl::cli
