// qvl logits: what the network computes for every position of a prompt, for comparison with other
// implementations.
#include <memory>
#include <string>

#include "activity.h"
#include "commands.h"
#include "npy_writer.h"
#include "options.h"
#include "output.h"
#include "qvl/qvl.h"

namespace qvl::cli {
namespace {

struct LogitsArgs {
  ModelArgs model;
  MediaArgs media;
  std::string prompt, tokens, output;
  bool raw = false;
  int64_t chunk = 512;
};

LogitsRequest request_of(const LogitsArgs& args) {
  LogitsRequest request{
      .turn = args.media.turn(args.prompt), .video_prompt = args.media.video_prompt, .chunk = args.chunk};
  if (!args.tokens.empty()) {
    request.form = LogitsRequest::Form::tokens;
    request.tokens = parse_tokens("--tokens", args.tokens);
  } else if (args.raw) {
    request.form = LogitsRequest::Form::raw_text;
  }
  return request;
}

int logits(const LogitsArgs& args) {
  Activity activity;
  const LogitsRequest request = request_of(args);
  LoadOptions load = args.model.load_options();
  load.progress = activity.progress();
  load.needs_vision = args.media.any();
  const Model model = load_model(load);
  print_warnings(model);
  NpyWriter writer(args.output, model.vocabulary());
  const auto write = [&](int64_t, std::span<const float> row) { writer.write(row); };
  model.logits(request, write, activity.listeners());
  if (interrupted()) return kInterruptedExit;
  writer.finish();
  return 0;
}

}  // namespace

void add_logits(CLI::App& app, Action& action) {
  auto args = std::make_shared<LogitsArgs>();
  CLI::App& command = *app.add_subcommand(
      "logits", "Writes the logits of every position of a prompt: float32 [positions, vocabulary].");
  add_model(command, args->model);
  add_media(command, args->media);
  CLI::Option_group& prompt = *command.add_option_group("prompt", "one of them is required");
  auto* text = prompt.add_option("--prompt", args->prompt, "the text of a user's turn")->type_name("TEXT");
  prompt.add_option("--tokens", args->tokens, "ids of the whole prompt, like 1,2,3")->type_name("IDS");
  prompt.require_option(1);
  command
      .add_flag("--raw", args->raw, "the prompt as it stands: no chat template, control tokens are parsed")
      ->needs(text);
  add_integer(command, "--chunk", args->chunk, {1, 65536, "tokens computed together"});
  add_text(command, "--output", args->output, "the array is written here")->required()->type_name("F.npy");
  add_example(
      command,
      "qvl logits --model models/shapes --image photo.png --prompt \"What is this?\" --output logits.npy");
  command.callback([args, &action] { action = [args] { return logits(*args); }; });
}

}  // namespace qvl::cli
