// A model that is not a checkpoint in qvl's pipeline: it says how large each picture's file is, one a step.
//
//   own_model PICTURE...
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "qvl/pipeline.h"

namespace {

class SizeJob : public qvl::InferenceJob {
 public:
  explicit SizeJob(std::vector<qvl::Picture> pictures) : pictures_(std::move(pictures)) {}

  qvl::InferenceNeeds needs() const override {
    return {.memory_bytes = 4096, .steps = static_cast<int64_t>(pictures_.size())};
  }
  qvl::InferenceStep step(qvl::StepContext&) override {
    const auto& file = pictures_[next_++].path();
    std::error_code problem;
    const auto bytes = std::filesystem::file_size(file, problem);
    if (problem) throw qvl::Error(qvl::ErrorCode::media, file.string() + ": no size: " + problem.message());
    qvl::InferenceStep made{.text = std::to_string(bytes) + " bytes\n"};
    if (next_ == pictures_.size()) made.finish = qvl::FinishReason::stop;
    return made;
  }

 private:
  const std::vector<qvl::Picture> pictures_;
  size_t next_ = 0;
};

class SizeModel : public qvl::InferenceModel {
 public:
  std::string name() const override { return "sizes of files"; }
  std::unique_ptr<qvl::InferenceJob> prepare(const qvl::InferenceRequest& request, std::stop_token) override {
    return std::make_unique<SizeJob>(request.images);
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: own_model PICTURE...\n");
    return 2;
  }
  try {
    auto pipeline =
        qvl::apply_system_level_optimizations(std::make_shared<SizeModel>(), {.num_compute_threads = 1});
    const auto answer = pipeline.run_inference({.prompt = "How large?", .images = {argv + 1, argv + argc}});
    std::printf("%s", answer.text.c_str());
    return 0;
  } catch (const qvl::Error& error) {
    std::fprintf(stderr, "own_model: %s\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "own_model: %s\n", error.what());
    return 1;
  }
}
