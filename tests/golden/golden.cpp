#include "golden.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "npy.h"

namespace qvl::golden {
namespace {

using Json = nlohmann::json;

std::filesystem::path golden_folder() { return std::filesystem::path(QVL_SOURCE_DIR) / "tests" / "golden"; }

std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw std::runtime_error(fmt::format("{}: cannot be read; tools/make_golden.py makes it", path.string()));
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<Position> positions_from(const Json& rows) {
  std::vector<Position> positions(rows.at(0).size());
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = {rows[0][i], rows[1][i], rows[2][i]};
  return positions;
}

Stage stage_from(const Json& json, std::span<const float> values) {
  Stage stage{.rows = json.at("rows"), .width = json.at("width"), .kept = json.at("kept"), .values = {}};
  const size_t offset = json.at("offset"), count = stage.kept.size() * stage.width;
  if (offset > values.size() || count > values.size() - offset)
    throw std::runtime_error("values beyond the file");
  const auto part = values.subspan(offset, count);
  stage.values.assign(part.begin(), part.end());
  return stage;
}

Turn turn_from(const Json& json) {
  Turn turn{.text = json.at("prompt"), .images = {}, .videos = {}};
  const auto samples = golden_folder() / "samples";
  for (const std::string name : json.value("images", Json::array())) turn.images.push_back(samples / name);
  for (const Json& video : json.value("videos", Json::array())) {
    turn.videos.push_back(samples / video.at("file").get<std::string>());
  }
  return turn;
}

Case case_from(const Json& json, std::span<const float> values) {
  Case result{.turn = turn_from(json),
              .ids = json.at("ids"),
              .positions = positions_from(json.at("positions")),
              .grids = {},
              .greedy = json.at("greedy"),
              .ended = json.at("finish_reason") == "stop",
              .margins = json.at("margins"),
              .pixels_crc32 = json.value("pixels_crc32", 0u),
              .stages = {}};
  for (const Json& grid : json.at("grids")) result.grids.push_back({grid[0], grid[1], grid[2]});
  for (const auto& [name, stage] : json.at("stages").items()) result.stages[name] = stage_from(stage, values);
  return result;
}

}  // namespace

LoadOptions exact_load_options(const std::string& checkpoint) {
  LoadOptions options;
  options.path = checkpoint_folder(checkpoint);
  options.weights = options.vision_weights = WeightPrecision::f32;
  options.kv = KvPrecision::f32;
  options.cache_folder = "";  // nothing that an earlier build has computed
  return options;
}

std::filesystem::path checkpoint_folder(const std::string& checkpoint) {
  return checkpoint == "tiny" ? golden_folder() / checkpoint
                              : std::filesystem::path(QVL_SOURCE_DIR) / "models" / checkpoint;
}

Case read_case(const std::string& checkpoint, const std::string& name) {
  const auto folder = golden_folder() / "values" / checkpoint;
  const Json manifest = Json::parse(read_bytes(folder / "manifest.json"));
  const auto weights = checkpoint_folder(checkpoint) / "model.safetensors";
  const std::string bytes = read_bytes(weights);
  if (manifest.at("weights_crc32") != crc32(std::as_bytes(std::span(bytes)))) {
    throw std::runtime_error(
        fmt::format("{}: not the weights the golden values were made from; run "
                    "tools/make_golden.py",
                    weights.string()));
  }
  return case_from(manifest.at("cases").at(name), read_npy(folder / (name + ".npy")));
}

double relative_difference(const Stage& stage, std::span<const float> found) {
  if (found.size() != stage.rows * stage.width) {
    throw std::runtime_error(
        fmt::format("found {} values, expected {} rows of {}", found.size(), stage.rows, stage.width));
  }
  double largest = 0, difference = 0;
  for (size_t i = 0; i < stage.values.size(); ++i) {
    const double expected = stage.values[i];
    const double value = found[stage.kept[i / stage.width] * stage.width + i % stage.width];
    if (!std::isfinite(value)) throw std::runtime_error("found a value that is not finite");
    largest = std::max(largest, std::abs(expected));
    difference = std::max(difference, std::abs(value - expected));
  }
  return difference / largest;
}

uint32_t crc32(std::span<const std::byte> bytes) {
  static constexpr auto table = [] {
    std::array<uint32_t, 256> entries{};
    for (uint32_t i = 0; i < 256; ++i) {
      entries[i] = i;
      for (int bit = 0; bit < 8; ++bit) entries[i] = (entries[i] >> 1) ^ (entries[i] & 1 ? 0xedb88320u : 0);
    }
    return entries;
  }();
  uint32_t crc = 0xffffffffu;
  for (const std::byte byte : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<uint32_t>(byte)) & 0xff];
  return ~crc;
}

}  // namespace qvl::golden
