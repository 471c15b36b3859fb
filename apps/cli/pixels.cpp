// qvl pixels: what the vision tower is given for one picture.
#include <memory>
#include <string>

#include "answer_report.h"
#include "commands.h"
#include "npy_writer.h"
#include "options.h"
#include "output.h"
#include "qvl/qvl.h"

namespace qvl::cli {
namespace {

struct PixelsArgs {
  ModelArgs model;
  std::string image, output;
};

int pixels(const PixelsArgs& args) {
  if (name_one_file(args.output, args.image)) {
    throw Error(ErrorCode::usage,
                "--output: found " + args.output + ", which is the picture; expected another file");
  }
  const Model model = load_model(args.model.load_options());
  const PatchValues patches = model.pixels(args.image);
  NpyWriter writer(args.output, patches.values_per_patch);
  writer.write(patches.values);
  writer.finish();
  print(to_line({{"grid", {patches.grid_t, patches.grid_h, patches.grid_w}},
                 {"patches", patches.patches},
                 {"values_per_patch", patches.values_per_patch},
                 {"warnings", model.warnings()}}));
  return 0;
}

}  // namespace

void add_pixels(CLI::App& app, Action& action) {
  auto args = std::make_shared<PixelsArgs>();
  CLI::App& command = *app.add_subcommand(
      "pixels", "Writes the patches of a picture, float32 [patches, values], and prints their grid as JSON.");
  add_model_files(command, args->model);
  add_config_file(command, args->model.config);
  add_text(command, "--image", args->image, "the picture")->required()->type_name("FILE");
  add_text(command, "--output", args->output, "the array is written here")->required()->type_name("F.npy");
  add_example(command, "qvl pixels --model models/shapes --image photo.png --output pixels.npy");
  command.callback([args, &action] { action = [args] { return pixels(*args); }; });
}

}  // namespace qvl::cli
