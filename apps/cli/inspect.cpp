// qvl inspect: what a checkpoint is, and why it would be refused.
#include <memory>
#include <string>

#include "answer_report.h"
#include "commands.h"
#include "options.h"
#include "output.h"
#include "qvl/qvl.h"

namespace qvl::cli {
namespace {

struct InspectArgs {
  ModelArgs model;
  bool json = false;
};

Json to_json(const Inspection& inspection) {
  Json configuration = Json::object(), tensors = Json::array(), parts = Json::object();
  for (const auto& [name, value] : inspection.configuration) configuration[name] = value;
  for (const TensorSummary& tensor : inspection.tensors) {
    tensors.push_back(
        {{"name", tensor.name}, {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"bytes", tensor.bytes}});
  }
  for (const auto& [part, bytes] : inspection.bytes_by_part) parts[part] = bytes;
  return {{"configuration", configuration},
          {"tensors", tensors},
          {"bytes_by_part", parts},
          {"warnings", inspection.warnings},
          {"refusals", inspection.refusals}};
}

std::string to_text(const Inspection& inspection) {
  std::string out = "configuration\n";
  for (const auto& [name, value] : inspection.configuration) out += "  " + name + " = " + value + "\n";
  out += "tensors (" + std::to_string(inspection.tensors.size()) + ")\n";
  for (const TensorSummary& tensor : inspection.tensors) {
    out += "  " + tensor.name + " " + tensor.dtype + " " + Json(tensor.shape).dump() + " " +
           std::to_string(tensor.bytes) + " bytes\n";
  }
  out += "bytes by part\n";
  for (const auto& [part, bytes] : inspection.bytes_by_part)
    out += "  " + part + " " + std::to_string(bytes) + "\n";
  for (const std::string& warning : inspection.warnings) out += "warning: " + warning + "\n";
  for (const std::string& refusal : inspection.refusals) out += "refused: " + refusal + "\n";
  return out;
}

int inspect(const InspectArgs& args) {
  const Inspection inspection = qvl::inspect(args.model.path, args.model.mmproj_path());
  print(args.json ? to_line(to_json(inspection)) : to_text(inspection));
  if (inspection.refusals.empty()) return 0;
  throw Error(ErrorCode::model_file, inspection.refusals.front());
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  auto args = std::make_shared<InspectArgs>();
  CLI::App& command = *app.add_subcommand(
      "inspect",
      "Shows a checkpoint's configuration, tensors and sizes, and why it would be refused (exit code 3).");
  add_model_files(command, args->model);
  command.add_flag("--json", args->json, "print one JSON object");
  add_example(command, "qvl inspect --model models/shapes --json");
  command.callback([args, &action] { action = [args] { return inspect(*args); }; });
}

}  // namespace qvl::cli
