// qvl: Qwen3-VL on the command line. Parses the arguments, runs one command, turns every error into one line
// and an exit code.
#include <CLI/CLI.hpp>
#include <string>

#include "commands.h"
#include "interrupts.h"
#include "options.h"
#include "output.h"
#include "qvl/error.h"

namespace qvl::cli {
namespace {

constexpr int kUsageExit = static_cast<int>(ErrorCode::usage);

void add_commands(CLI::App& app, Action& action) {
  add_run(app, action);
  add_chat(app, action);
  add_logits(app, action);
  add_tokenize(app, action);
  add_detokenize(app, action);
  add_pixels(app, action);
  add_inspect(app, action);
  add_eval(app, action);
  add_bench(app, action);
  add_plan(app, action);
  add_hardware(app, action);
  add_monitor(app, action);
  add_cache(app, action);
}

// The command the arguments chose, or qvl itself.
const CLI::App& chosen(const CLI::App& app) {
  const auto commands = app.get_subcommands();
  return commands.empty() ? app : *commands.front();
}

std::string usage_message(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = chosen(app);
  if (&command != &app) return std::string(error.what()) + "; see qvl " + command.get_name() + " --help";
  std::string names;
  for (const CLI::App* known : app.get_subcommands([](const CLI::App*) { return true; })) {
    names += (names.empty() ? "" : ", ") + known->get_name();
  }
  return "expected a command: " + names + "; see qvl --help";
}

int parse_and_run(int argc, char** argv) {
  CLI::App app("qvl answers questions about pictures and videos with a Qwen3-VL checkpoint.", "qvl");
  app.set_version_flag("--version", "qvl " QVL_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0, 1 bench --compare found it slower, 2 usage, 3 model file, 4 picture or video, 5 a "
      "limit, 6 the environment.");
  Action action;
  add_commands(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForVersion&) {
    print("qvl " QVL_VERSION "\n");
    return 0;
  } catch (const CLI::CallForHelp&) {
    print(&chosen(app) == &app ? app.help() : chosen(app).help("qvl"));
    return 0;
  } catch (const CLI::ParseError& error) {
    print_error(usage_message(app, error));
    return kUsageExit;
  }
  const int code = action();
  return interrupted() ? kInterruptedExit : code;
}

}  // namespace
}  // namespace qvl::cli

int main(int argc, char** argv) {
  using namespace qvl::cli;
  prepare_standard_streams();
  const InterruptWatch watch;
  try {
    return parse_and_run(argc, argv);
  } catch (const OutputClosed&) {
    return interrupted() ? kInterruptedExit : 0;
  } catch (const qvl::Error& error) {
    if (error.code() == qvl::ErrorCode::cancelled) return kInterruptedExit;
    print_error(with_option_name(error, {"disable-pass"}).what());
    return static_cast<int>(error.code());
  } catch (const std::bad_alloc&) {
    print_error("not enough memory");
    return static_cast<int>(qvl::ErrorCode::limit);
  }
}
