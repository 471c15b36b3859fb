// qvl plan: what would be chosen for a checkpoint on this machine, and why.
#include "qvl/plan.h"

#include <memory>
#include <string>

#include "commands.h"
#include "options.h"
#include "output.h"

namespace qvl::cli {
namespace {

struct PlanArgs {
  ModelArgs model;
  bool explain = false, json = false, measure = false;
};

int plan(const PlanArgs& args) {
  const PlanOptions options{.measure =
                                args.measure ? PlanOptions::Measure::missing : PlanOptions::Measure::stored};
  const PlanReport report = plan_for(args.model.load_options(), options);
  print(args.json ? to_json(report)
                  : to_text(report, args.explain ? PlanDetail::explained : PlanDetail::values));
  return 0;
}

}  // namespace

void add_plan(CLI::App& app, Action& action) {
  auto args = std::make_shared<PlanArgs>();
  CLI::App& command = *app.add_subcommand(
      "plan", "Shows what would be chosen for a checkpoint on this machine, with memory and time, unloaded.");
  add_model(command, args->model);
  command.add_flag("--explain", args->explain, "why each choice was made, and what else was considered");
  command.add_flag("--measure", args->measure,
                   "measure what was not measured before, and keep it in the cache folder");
  command.add_flag("--json", args->json, "print one JSON object");
  add_example(command, "qvl plan --model models/shapes --explain");
  command.callback([args, &action] { action = [args] { return plan(*args); }; });
}

}  // namespace qvl::cli
