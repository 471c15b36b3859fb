// Asks about one picture: the pipeline in five lines.
//
//   ask MODEL PICTURE
#include <cstdio>
#include <exception>

#include "qvl/pipeline.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: ask MODEL PICTURE\n");
    return 2;
  }
  const std::filesystem::path path = argv[1], photo = argv[2];
  try {
    auto config =
        qvl::SystemOptimizationConfig{.num_compute_threads = 4,
                                      .num_io_threads = 2,
                                      .memory_limit_ratio = 0.7,
                                      .scheduling_algorithm = qvl::SchedulingAlgorithm::load_balanced};
    auto pipeline = qvl::apply_system_level_optimizations(qvl::load_model(path), config);
    auto output = pipeline.run_inference({.prompt = "What is this?", .images = {photo}});
    auto metrics = pipeline.get_performance_metrics();
    pipeline.cleanup();

    std::printf("%s\n", output.text.c_str());
    std::fprintf(stderr, "%.3f s, %.1f tokens/s\n", metrics.avg_inference_time, metrics.tokens_per_second);
    return 0;
  } catch (const qvl::Error& error) {
    std::fprintf(stderr, "ask: %s\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ask: %s\n", error.what());
    return 1;
  }
}
