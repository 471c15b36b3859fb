#include "files/preprocessor_config.h"

#include <cmath>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace qvl {
namespace {

constexpr uint64_t max_file_bytes = 1 << 20;
constexpr int64_t max_budget = int64_t{1} << 32;
constexpr int64_t most_frames = 1 << 20;

void read_budget(const JsonObject& root, PreprocessorConfig& config) {
  if (root.has("size")) {
    JsonObject size = root.object("size");
    config.min_pixels = size.integer("shortest_edge", 1, max_budget);
    config.max_pixels = size.integer("longest_edge", 1, max_budget);
  }
  config.min_pixels = root.integer_or("min_pixels", config.min_pixels, 1, max_budget);
  config.max_pixels = root.integer_or("max_pixels", config.max_pixels, 1, max_budget);
  if (config.min_pixels > config.max_pixels) {
    root.refuse(
        root.has("min_pixels") ? "min_pixels" : "size",
        fmt::format("smallest {} pixels, more than the largest {}", config.min_pixels, config.max_pixels));
  }
  int64_t merged_patch = config.patch_size * config.merge_size;
  if (config.max_pixels < merged_patch * merged_patch) {
    root.refuse(root.has("max_pixels") ? "max_pixels" : "size",
                fmt::format("largest {} pixels, less than one merged patch of {} by {}", config.max_pixels,
                            merged_patch, merged_patch));
  }
}

void expect_same(const JsonObject& root, std::string_view key, int64_t expected) {
  int64_t found = root.integer_or(key, expected, 0, INT64_MAX);
  if (found != expected)
    root.refuse(key, fmt::format("found {}, expected {} as in config.json", found, expected));
}

void expect_true(const JsonObject& root, std::string_view key) {
  if (!root.boolean_or(key, true)) root.refuse(key, "found false, expected true");
}

std::vector<double> three(const JsonObject& root, std::string_view key, double min) {
  if (!root.has(key)) return {0.5, 0.5, 0.5};
  const Json& list = root.at(key);
  std::vector<double> values;
  bool good = list.is_array() && list.size() == 3;
  for (size_t i = 0; good && i < 3; ++i) {
    good = list[i].is_number() && list[i].get<double>() >= min && list[i].get<double>() <= 1.0;
    if (good) values.push_back(list[i].get<double>());
  }
  if (!good) root.refuse(key, fmt::format("expected 3 numbers from {:g} to 1", min));
  return values;
}

void read_frames(const JsonObject& root, PreprocessorConfig& config) {
  config.fps = root.number_or("fps", config.fps, 0.001, 1000.0);
  config.min_frames = root.integer_or("min_frames", config.min_frames, 1, most_frames);
  config.max_frames = root.integer_or("max_frames", config.max_frames, 1, most_frames);
  if (config.min_frames > config.max_frames) {
    root.refuse("min_frames",
                fmt::format("found {}, more than max_frames {}", config.min_frames, config.max_frames));
  }
}

}  // namespace

PreprocessorConfig published_preprocessor(MediaKind kind, const VisionConfig& vision) {
  bool image = kind == MediaKind::image;
  PreprocessorConfig config;
  config.min_pixels = image ? 65536 : 4096;
  config.max_pixels = image ? 16777216 : 25165824;
  config.patch_size = vision.patch_size;
  config.temporal_patch_size = vision.temporal_patch_size;
  config.merge_size = vision.spatial_merge_size;
  return config;
}

PreprocessorConfig read_preprocessor_config(const std::filesystem::path& folder, MediaKind kind,
                                            const VisionConfig& vision) {
  PreprocessorConfig config = published_preprocessor(kind, vision);
  std::filesystem::path path =
      folder / (kind == MediaKind::image ? "preprocessor_config.json" : "video_preprocessor_config.json");
  std::error_code ignored;
  if (!std::filesystem::exists(std::filesystem::symlink_status(path, ignored))) return config;
  JsonSource source{.name = path.string()};
  Json document = parse_json(read_file(path, max_file_bytes, ErrorCode::model_file), source);
  const EmptiedAtEnd document_end(document);
  JsonObject root(document, source);
  expect_same(root, "patch_size", vision.patch_size);
  expect_same(root, "temporal_patch_size", vision.temporal_patch_size);
  expect_same(root, "merge_size", vision.spatial_merge_size);
  for (std::string_view key : {"do_resize", "do_rescale", "do_normalize"}) expect_true(root, key);
  if (std::abs(root.number_or("rescale_factor", 1.0 / 255, 0.0, 1.0) - 1.0 / 255) > 1e-6) {
    root.refuse("rescale_factor", "expected 1/255");
  }
  read_budget(root, config);
  config.image_mean = three(root, "image_mean", 0.0);
  config.image_std = three(root, "image_std", 0.001);
  if (kind == MediaKind::video) read_frames(root, config);
  return config;
}

}  // namespace qvl
