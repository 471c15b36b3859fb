// qvl run: one question, one answer; or a file of them.
#include <memory>
#include <string>

#include "activity.h"
#include "answer_report.h"
#include "batch.h"
#include "commands.h"
#include "options.h"
#include "output.h"
#include "qvl/qvl.h"
#include "session.h"

namespace qvl::cli {
namespace {

struct RunArgs {
  ModelArgs model;
  MediaArgs media;
  GenerationOptions generation;
  std::string system, prompt;
  std::string session;        // empty: none
  std::string batch, output;  // empty: none
  bool json = false, timings = false, quiet = false;
};

int run(const RunArgs& args) {
  Activity activity;
  LoadOptions load = args.model.load_options();
  load.progress = activity.progress();
  load.needs_vision = args.media.any();
  const std::string text = args.prompt == "-" ? read_standard_input(kMaxTextBytes) : args.prompt;
  const Model model = load_model(load);
  if (!args.json) print_warnings(model);
  Conversation conversation = open_conversation(
      model, args.session, {.system = args.system, .video_prompt = args.media.video_prompt});
  if (args.json) {
    const Answer answer = conversation.ask(args.media.turn(text), args.generation, activity.listeners());
    print(to_line(answer_json(answer, model)));
    keep_conversation(conversation, args.session);
    write_trace(args.model, model);
    return 0;
  }
  const Answer answer = conversation.ask(args.media.turn(text), args.generation,
                                         activity.listeners([](std::string_view part) { print(part); }));
  print("\n");
  if (args.timings) print_error(timings_line(answer));
  keep_conversation(conversation, args.session);
  write_trace(args.model, model);
  return 0;
}

int batch(const RunArgs& args) {
  return run_batch({.model = args.model,
                    .file = args.batch,
                    .output = args.output,
                    .defaults = {.system = args.system,
                                 .generation = args.generation,
                                 .video_prompt = args.media.video_prompt,
                                 .request_class = RequestClass::background},
                    .quiet = args.quiet});
}

void add_batch(CLI::App& command, RunArgs& args) {
  CLI::Option* batch =
      add_name(command, "--batch", args.batch, "FILE",
               "answer many requests, one JSON object a line, in place of PROMPT; - is standard input");
  for (const char* single : {"PROMPT", "--image", "--video", "--json", "--timings", "--session"}) {
    batch->excludes(command.get_option(single));
  }
  add_name(command, "--output", args.output, "FILE",
           "where the answers of --batch go; what is there already is not asked again")
      ->needs(batch);
  command.add_flag("--quiet", args.quiet, "no progress, no warnings and no summary of --batch")->needs(batch);
}

}  // namespace

void add_run(CLI::App& app, Action& action) {
  auto args = std::make_shared<RunArgs>();
  CLI::App& command = *app.add_subcommand("run", "Answers one question, about pictures and videos if given.");
  add_model(command, args->model);
  add_trace(command, args->model);
  add_media(command, args->media);
  add_text(command, "--system", args->system, "the system turn; without it there is none");
  add_session(command, args->session);
  add_generation(command, args->generation);
  command.add_flag("--json", args->json, "print one JSON object instead of streaming the text");
  command.add_flag("--timings", args->timings, "print a line of timings on standard error at the end");
  add_text(command, "PROMPT", args->prompt, "the question; - reads it from standard input");
  add_batch(command, *args);
  add_example(command, "qvl run --model models/shapes --image photo.png \"What is in the picture?\"");
  command.callback([args, prompt = command.get_option("PROMPT"), &action] {
    if (!args->batch.empty()) {
      action = [args] { return batch(*args); };
    } else if (prompt->empty()) {
      throw CLI::RequiredError("PROMPT");
    } else {
      action = [args] { return run(*args); };
    }
  });
}

}  // namespace qvl::cli
