// How far the numbers of a choice are from float32: vision features and logits of one question about one
// picture.
//
//   qvl_precision MODEL PICTURE WEIGHTS VISION_WEIGHTS [QUESTION [KV]]
//
// WEIGHTS: f32, bf16, q8, q4; KV: f32, 16 (default), int8.
//
// Prints the least and mean cosine over all visual tokens (merged and DeepStack features) and over the logits
// of all positions, and how often the best token is the same.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <string>
#include <vector>

#include "pipeline/medium.h"
#include "pipeline/runtime.h"
#include "qvl/qvl.h"

namespace {

using namespace qvl;

WeightPrecision precision_of(const std::string& name) {
  if (name == "f32") return WeightPrecision::f32;
  if (name == "bf16") return WeightPrecision::bf16;
  if (name == "q8") return WeightPrecision::q8;
  if (name == "q4") return WeightPrecision::q4;
  throw Error(ErrorCode::usage, name + ": expected f32, bf16, q8 or q4");
}

KvPrecision kv_precision_of(const std::string& name) {
  if (name == "f32") return KvPrecision::f32;
  if (name == "16") return KvPrecision::bits16;
  if (name == "int8") return KvPrecision::bits8;
  throw Error(ErrorCode::usage, name + ": expected f32, 16 or int8");
}

struct Outputs {
  Model model;  // outlives the features, whose memory is its own
  VisionFeatures features = {};
  std::vector<std::vector<float>> logits = {};  // [positions][vocabulary]
};

Outputs compute(const LoadOptions& options, const std::filesystem::path& picture,
                const std::string& question) {
  Outputs out{.model = load_model(options)};
  const Model& model = out.model;
  Medium medium = read_image_medium(picture, {}, model.runtime());
  cut_patches(medium, model.runtime());
  out.features = model.runtime().network.encode(medium.patches, model.runtime().ops, {});
  LogitsRequest request;
  request.turn = {.text = question, .images = {picture}, .videos = {}};
  model.logits(request,
               [&](int64_t, std::span<const float> row) { out.logits.emplace_back(row.begin(), row.end()); },
               {});
  return out;
}

double cosine(std::span<const float> a, std::span<const float> b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

struct Cosines {
  double least = 1, sum = 0;
  int64_t count = 0;
  void add(std::span<const float> a, std::span<const float> b) {
    const double found = cosine(a, b);
    least = std::isnan(found) ? found : std::min(least, found);
    sum += found;
    ++count;
  }
  void print(const std::string& name) const {
    std::cout << name << ": least cosine " << least << ", mean " << sum / static_cast<double>(count) << ", "
              << count << " rows\n";
  }
};

Cosines compare(const Tensor& a, const Tensor& b) {
  Cosines cosines;
  for (uint64_t r = 0; r < a.rows(); ++r) {
    cosines.add({a.row(r), a.columns()}, {b.row(r), b.columns()});
  }
  return cosines;
}

int run(const std::vector<std::string>& args) {
  if (args.size() < 4) {
    std::cerr << "usage: qvl_precision MODEL PICTURE WEIGHTS VISION_WEIGHTS [QUESTION [KV]]\n";
    return 2;
  }
  LoadOptions options;
  options.path = args[0];
  options.weights = options.vision_weights = WeightPrecision::f32;
  options.kv = KvPrecision::f32;
  options.cache_folder = "";
  const std::string question = args.size() > 4 ? args[4] : "What is in this picture?";
  const Outputs exact = compute(options, args[1], question);
  options.weights = precision_of(args[2]);
  options.vision_weights = precision_of(args[3]);
  options.kv = kv_precision_of(args.size() > 5 ? args[5] : "16");
  const Outputs found = compute(options, args[1], question);
  compare(exact.features.merged, found.features.merged).print("merged features");
  for (size_t level = 0; level < exact.features.deepstack.size(); ++level) {
    compare(exact.features.deepstack[level], found.features.deepstack[level])
        .print("DeepStack level " + std::to_string(level));
  }
  Cosines logits;
  int64_t same = 0;
  for (size_t i = 0; i < exact.logits.size(); ++i) {
    logits.add(exact.logits[i], found.logits[i]);
    const auto best = [](const std::vector<float>& row) {
      return std::max_element(row.begin(), row.end()) - row.begin();
    };
    same += best(exact.logits[i]) == best(found.logits[i]) ? 1 : 0;
  }
  logits.print("logits");
  std::cout << "best token the same at " << same << " of " << exact.logits.size() << " positions\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
