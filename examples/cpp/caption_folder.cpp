// Writes a line about every picture of a folder: "name<TAB>caption", in the order of the names.
//
//   caption_folder MODEL FOLDER [PROMPT]
//
// All pictures go through one pipeline: the next ones are read and cut while others are computed. A file that
// is no picture costs its own line and nothing else.
#include <algorithm>
#include <cstdio>
#include <deque>
#include <exception>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "qvl/pipeline.h"
#include "qvl/plan.h"

namespace {

// Enough that the next pictures are ready in time; answers come in order, so more would only wait.
constexpr size_t kWindow = 16;

std::vector<std::filesystem::path> files_of(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code problem;
  const std::filesystem::directory_iterator entries(folder, problem);
  if (problem)
    throw qvl::Error(qvl::ErrorCode::usage, folder.string() + ": cannot open: " + problem.message());
  for (const auto& entry : entries) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

struct Caption {
  std::filesystem::path file;
  qvl::InferenceStream stream;
};

// Newlines of a caption would break the table.
std::string on_one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

void print(Caption caption) {
  std::string text;
  try {
    text = on_one_line(caption.stream.result().text);
  } catch (const qvl::Error& error) {
    text = std::string("(") + error.what() + ")";
  }
  std::printf("%s\t%s\n", caption.file.filename().c_str(), text.c_str());
}

void caption_all(const std::filesystem::path& model, const std::filesystem::path& folder,
                 const std::string& prompt) {
  const auto files = files_of(folder);
  const auto config = qvl::SystemOptimizationConfig::for_this_machine();
  const qvl::LoadOptions options{.path = model, .system = config};
  // What would be done, before it is: nothing is loaded for this.
  const qvl::PlanReport plan = qvl::plan_for(options, {});
  std::fprintf(stderr, "%s", qvl::to_text(plan, qvl::PlanDetail::values).c_str());

  auto pipeline = qvl::apply_system_level_optimizations(qvl::load_model(options), config);
  std::deque<Caption> under_way;
  for (const auto& file : files) {
    if (under_way.size() == kWindow) {
      print(std::move(under_way.front()));
      under_way.pop_front();
    }
    under_way.push_back({file, pipeline.submit({.prompt = prompt,
                                                .images = {file},
                                                .generation = {.max_tokens = 64, .temperature = 0},
                                                .request_class = qvl::RequestClass::background})});
  }
  for (; !under_way.empty(); under_way.pop_front()) print(std::move(under_way.front()));
  std::fprintf(stderr, "%.2f pictures/s\n", pipeline.get_performance_metrics().throughput_ips);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fprintf(stderr, "usage: caption_folder MODEL FOLDER [PROMPT]\n");
    return 2;
  }
  try {
    caption_all(argv[1], argv[2], argc > 3 ? argv[3] : "Describe this picture.");
    return 0;
  } catch (const qvl::Error& error) {
    std::fprintf(stderr, "caption_folder: %s\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "caption_folder: %s\n", error.what());
    return 1;
  }
}
