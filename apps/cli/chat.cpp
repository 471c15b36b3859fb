// qvl chat: a conversation, one line of standard input a turn.
#include <unistd.h>

#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "activity.h"
#include "answer_report.h"
#include "commands.h"
#include "options.h"
#include "output.h"
#include "qvl/qvl.h"
#include "session.h"

namespace qvl::cli {
namespace {

constexpr std::string_view kHelp =
    "/image FILE adds a picture to the next question, /video FILE a video, /quit ends, /help shows this; "
    "any other line is a question";

constexpr size_t kMaxLineBytes = 1 << 20;

// The next line of standard input, of one that is too long nothing but the first bytes; false at the end.
bool read_line(std::string& line) {
  line.clear();
  int c = std::cin.get();
  const bool found = c != EOF;
  for (; c != EOF && c != '\n'; c = std::cin.get()) {
    if (line.size() <= kMaxLineBytes) line += static_cast<char>(c);
  }
  return found;
}

struct ChatArgs {
  ModelArgs model;
  MediaArgs media;
  GenerationOptions generation;
  std::string system;
  std::string session;  // empty: none
  bool timings = false;
};

// Turns of one conversation. What fails in a turn ends that turn alone. A session is saved after each turn:
// who is killed loses the running one.
class Chat {
 public:
  explicit Chat(const ChatArgs& args)
      : args_(args),
        model_(load(args)),
        conversation_(open_conversation(model_, args.session,
                                        {.system = args.system, .video_prompt = args.media.video_prompt})),
        next_(args.media.turn("")) {}

  /// The exit code.
  int run() {
    read_turns();
    write_trace(args_.model, model_);
    return unsaved_ ? static_cast<int>(*unsaved_) : 0;
  }

 private:
  void read_turns() {
    const bool terminal = ::isatty(STDIN_FILENO) == 1;
    if (terminal) print_error(kHelp);
    for (std::string line; !interrupted();) {
      if (terminal) print("> ");
      if (!read_line(line)) return;
      if (line.ends_with('\r')) line.pop_back();
      if (line == "/quit") return;
      take(line);
    }
  }

  static Model load(const ChatArgs& args) {
    Activity activity;
    LoadOptions options = args.model.load_options();
    options.needs_vision = args.media.any();
    options.progress = activity.progress();
    Model model = load_model(options);
    print_warnings(model);
    return model;
  }

  void take(const std::string& line) {
    constexpr std::string_view kImage = "/image ", kVideo = "/video ";
    if (line.empty()) return;
    if (line.size() > kMaxLineBytes) {
      print_error("a line of more than the " + std::to_string(kMaxLineBytes) +
                  " bytes allowed; it is dropped");
    } else if (line.starts_with(kImage)) {
      next_.images.emplace_back(line.substr(kImage.size()));
    } else if (line.starts_with(kVideo)) {
      next_.videos.emplace_back(line.substr(kVideo.size()));
    } else if (line == "/help") {
      print_error(kHelp);
    } else if (line.starts_with('/')) {
      print_error("unknown command " + line.substr(0, line.find(' ')) + ": " + std::string(kHelp));
    } else {
      ask(line);
    }
  }

  void ask(const std::string& text) {
    Turn turn = std::exchange(next_, {});
    turn.text = text;
    turn.max_image_tokens = args_.media.max_image_tokens;
    Activity activity;
    try {
      const Answer answer = conversation_.ask(turn, args_.generation,
                                              activity.listeners([](std::string_view part) { print(part); }));
      print("\n");
      if (args_.timings) print_error(timings_line(answer));
    } catch (const Error& error) {
      print_error(std::string(error.what()) + "; the question and its pictures are dropped");
      return;
    }
    save();
  }

  // The next turn may find room again: until then the file has the turns before.
  void save() {
    try {
      keep_conversation(conversation_, args_.session);
      unsaved_.reset();
    } catch (const Error& error) {
      print_error(std::string(error.what()) + "; the session is not saved");
      unsaved_ = error.code();
    }
  }

  const ChatArgs& args_;
  const Model model_;
  Conversation conversation_;
  Turn next_;
  std::optional<ErrorCode> unsaved_;  // why the last turn is not in the session
};

}  // namespace

void add_chat(CLI::App& app, Action& action) {
  auto args = std::make_shared<ChatArgs>();
  CLI::App& command = *app.add_subcommand("chat", "A conversation: " + std::string(kHelp) + ".");
  add_model(command, args->model);
  add_trace(command, args->model);
  add_media(command, args->media);
  add_text(command, "--system", args->system, "the system turn; without it there is none");
  add_session(command, args->session);
  add_generation(command, args->generation);
  command.add_flag("--timings", args->timings, "print a line of timings on standard error after each answer");
  add_example(command,
              "printf '/image photo.png\\nWhat is this?\\n/quit\\n' | qvl chat --model models/shapes");
  command.callback([args, &action] {
    action = [args] {
      check_trace(args->model, {args->session});
      return Chat(*args).run();
    };
  });
}

}  // namespace qvl::cli
