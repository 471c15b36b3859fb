// qvl run: one question, one answer; or a file of them.
#include <limits>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "activity.h"
#include "answer_report.h"
#include "batch.h"
#include "commands.h"
#include "options.h"
#include "output.h"
#include "qvl/pipeline.h"
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
  std::optional<int64_t> deadline_ms;
  bool json = false, timings = false, quiet = false, plan = false;
};

Model load(const RunArgs& args, Activity& activity) {
  LoadOptions load = args.model.load_options();
  load.progress = activity.progress();
  load.needs_vision = args.media.any();
  Model model = load_model(load);
  if (!args.json) print_warnings(model);
  return model;
}

std::string prompt_of(const RunArgs& args) {
  return args.prompt == "-" ? read_standard_input(kMaxTextBytes) : args.prompt;
}

// Without texts and files.
InferenceRequest defaults_of(const RunArgs& args) {
  return {.system = args.system,
          .generation = args.generation,
          .video_prompt = args.media.video_prompt,
          .max_image_tokens = args.media.max_image_tokens,
          .deadline_ms = args.deadline_ms};
}

InferenceRequest request_of(const RunArgs& args, const Turn& turn) {
  InferenceRequest request = defaults_of(args);
  request.prompt = turn.text;
  request.images.assign(turn.images.begin(), turn.images.end());
  request.videos = turn.videos;
  return request;
}

// As a request of a pipeline, which is what knows deadlines.
Answer answer_in_time(const RunArgs& args, const Model& model, const Turn& turn, const Listeners& listeners) {
  auto pipeline = apply_system_level_optimizations(model, args.model.load_options().system);
  InferenceStream stream = pipeline.submit(request_of(args, turn));
  const std::stop_callback stop(listeners.stop, [&] { stream.cancel(); });
  while (const auto event = stream.next()) {
    if (listeners.text && !event->text.empty()) listeners.text(event->text);
  }
  Answer answer = stream.result();
  answer.timings.load_s = model.load_seconds();
  return answer;
}

int run(const RunArgs& args) {
  Activity activity;
  const Turn turn = args.media.turn(prompt_of(args));
  const Model model = load(args, activity);
  std::optional<Conversation> conversation;
  if (!args.deadline_ms) {
    conversation.emplace(open_conversation(model, args.session,
                                           {.system = args.system, .video_prompt = args.media.video_prompt}));
  }
  const auto ask = [&](const Listeners& listeners) {
    return conversation ? conversation->ask(turn, args.generation, listeners)
                        : answer_in_time(args, model, turn, listeners);
  };
  if (args.json) {
    print(to_line(answer_json(ask(activity.listeners()), model)));
  } else {
    const Answer answer = ask(activity.listeners([](std::string_view part) { print(part); }));
    print("\n");
    if (args.timings) print_error(timings_line(answer));
  }
  if (conversation) keep_conversation(*conversation, args.session);
  write_trace(args.model, model);
  return 0;
}

int plan(const RunArgs& args) {
  Activity activity;
  const Turn turn = args.media.turn(prompt_of(args));
  const Model model = load(args, activity);
  auto pipeline = apply_system_level_optimizations(model, args.model.load_options().system);
  const RequestPlan plan = pipeline.plan(request_of(args, turn));
  print(args.json ? to_json(plan) : to_text(plan));
  write_trace(args.model, model);
  return 0;
}

int batch(const RunArgs& args) {
  InferenceRequest defaults = defaults_of(args);
  defaults.request_class = RequestClass::background;
  return run_batch({.model = args.model,
                    .file = args.batch,
                    .output = args.output,
                    .defaults = std::move(defaults),
                    .quiet = args.quiet});
}

void add_batch(CLI::App& command, RunArgs& args) {
  CLI::Option* batch =
      add_name(command, "--batch", args.batch, "FILE",
               "answer many requests, one JSON object a line, in place of PROMPT; - is standard input");
  for (const char* single : {"PROMPT", "--image", "--video", "--json", "--timings", "--plan", "--session"}) {
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
  CLI::Option* session = add_session(command, args->session);
  add_generation(command, args->generation);
  add_integer(command, "--deadline-ms", args->deadline_ms,
              {1, std::numeric_limits<int32_t>::max(),
               "milliseconds after which the answer ends with what it has, loading not counted"});
  command.get_option("--deadline-ms")->excludes(session);
  command.add_flag("--json", args->json, "print one JSON object instead of streaming the text");
  command.add_flag("--timings", args->timings, "print a line of timings on standard error at the end");
  command.add_flag("--plan", args->plan, "print tokens, memory and time the request would take, and end")
      ->excludes(session);
  add_text(command, "PROMPT", args->prompt, "the question; - reads it from standard input");
  add_batch(command, *args);
  add_example(command, "qvl run --model models/shapes --image photo.png \"What is in the picture?\"");
  command.callback([args, prompt = command.get_option("PROMPT"), &action] {
    if (args->batch.empty() && prompt->empty()) throw CLI::RequiredError("PROMPT");
    action = [args] {
      std::vector<std::string> others = {args->batch, args->output, args->session};
      for (const auto* media : {&args->media.images, &args->media.videos}) {
        others.insert(others.end(), media->begin(), media->end());
      }
      check_trace(args->model, others);
      if (!args->batch.empty()) return batch(*args);
      return args->plan ? plan(*args) : run(*args);
    };
  });
}

}  // namespace qvl::cli
