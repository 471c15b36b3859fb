// The commands of qvl, one file each.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace qvl::cli {

/// What the parsed command line asks for; its result is the exit code.
using Action = std::function<int()>;

// Each adds its subcommand to `app`; where that one is chosen, `action` is set after parsing.
void add_run(CLI::App& app, Action& action);
void add_chat(CLI::App& app, Action& action);
void add_logits(CLI::App& app, Action& action);
void add_tokenize(CLI::App& app, Action& action);
void add_detokenize(CLI::App& app, Action& action);
void add_pixels(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_eval(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_plan(CLI::App& app, Action& action);
void add_hardware(CLI::App& app, Action& action);
void add_monitor(CLI::App& app, Action& action);
void add_cache(CLI::App& app, Action& action);

}  // namespace qvl::cli
