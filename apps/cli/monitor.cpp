// qvl monitor: the machine and every running qvl, live.
#include "qvl/monitor.h"

#include <unistd.h>

#include <memory>
#include <optional>
#include <string>

#include "commands.h"
#include "monitor_view.h"
#include "options.h"
#include "output.h"
#include "terminal.h"

namespace qvl::cli {
namespace {

struct MonitorArgs {
  double interval_s = 1;
  std::optional<int64_t> pid = {}, count = {};
  bool json = false;
  std::string term = {}, no_color = {};  // of the environment
};

MonitorOptions monitor_options(const MonitorArgs& args) {
  MonitorOptions options;
  if (args.pid) options.pid = static_cast<uint32_t>(*args.pid);
  return options;
}

bool has_screen(const MonitorArgs& args) {
  return !args.json && !args.term.empty() && args.term != "dumb" && ::isatty(STDOUT_FILENO) == 1;
}

// Shares and rates need two looks, so the first line comes after an interval.
int print_lines(Monitor& monitor, const MonitorArgs& args) {
  SignalWatch signals;
  monitor.look();
  for (int64_t printed = 0; !args.count || printed < *args.count; ++printed) {
    SignalWatch::Wake wake;
    do {
      wake = signals.wait(args.interval_s, SignalWatch::Keys::ignored);
    } while (wake == SignalWatch::Wake::redraw);
    if (wake == SignalWatch::Wake::quit) break;
    const MachineView view = monitor.look();
    print(args.json ? to_json(view) + "\n" : plain_line(view));
  }
  return signals.exit_code();
}

int show_screen(Monitor& monitor, const MonitorArgs& args) {
  const Colours colours = args.no_color.empty() ? Colours::ansi : Colours::none;
  SignalWatch signals;
  const FullScreen screen;
  MachineView view = monitor.look();
  for (int64_t looks = 1;; ++looks) {
    screen.draw(screen_lines(view, screen.size(), colours));
    SignalWatch::Wake wake;
    while ((wake = signals.wait(args.interval_s, SignalWatch::Keys::read)) == SignalWatch::Wake::redraw) {
      screen.draw(screen_lines(view, screen.size(), colours));
    }
    if (wake == SignalWatch::Wake::quit || (args.count && looks == *args.count)) return signals.exit_code();
    view = monitor.look();
  }
}

int run_monitor(const MonitorArgs& args) {
  try {
    Monitor monitor(monitor_options(args));
    return has_screen(args) ? show_screen(monitor, args) : print_lines(monitor, args);
  } catch (const Error& error) {
    throw with_option_name(error, {"pid"});
  }
}

}  // namespace

void add_monitor(CLI::App& app, Action& action) {
  auto args = std::make_shared<MonitorArgs>();
  CLI::App& command = *app.add_subcommand(
      "monitor", "Shows processors, memory, stalls, heat, GPUs and every running qvl of this user, live.");
  add_number(command, "--interval", args->interval_s, {0.1, 3600, "seconds from one look to the next"});
  add_integer(command, "--pid", args->pid, {1, INT32_MAX, "a process to watch besides"});
  add_integer(command, "--count", args->count, {1, INT64_MAX, "end after so many looks"});
  command.add_flag("--json", args->json, "print one JSON object for each look");
  // The environment tells what the terminal can; no one types these.
  command.add_option("--term", args->term)->envname("TERM")->group("");
  command.add_option("--no-color", args->no_color)->envname("NO_COLOR")->group("");
  add_example(command, "qvl monitor --interval 0.5");
  command.callback([args, &action] { action = [args] { return run_monitor(*args); }; });
}

}  // namespace qvl::cli
