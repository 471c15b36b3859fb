// smart_resize and the antialiased bicubic resize of torchvision's uint8 path, bit for bit: weights as 16-bit
// integers with one precision for each pass, horizontal pass first, 8-bit values in between.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "media/image.h"
#include "media/pixel_budget.h"

namespace qvl {
namespace {

// Far above any real pixel budget; keeps a wrong budget from allocating without bound.
constexpr double max_resized_pixels = 268'435'456;

// One pass: for each target position the first source position and `taps` weights, the unused ones zero.
struct ResizePass {
  int64_t target = 0;
  int64_t taps = 0;
  int shift = 0;
  std::vector<int64_t> first;    // [target]
  std::vector<int64_t> count;    // [target]
  std::vector<int32_t> weights;  // [target, taps], each fits 16 bits
};

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

// Largest precision up to 22 bits at which every weight of the pass still fits 16 bits.
int precision_bits(double largest_weight) {
  int bits = 0;
  while (bits < 22 && std::trunc(0.5 + largest_weight * static_cast<double>(1 << (bits + 1))) < 32768) ++bits;
  return bits;
}

ResizePass make_pass(int64_t source, int64_t target) {
  double scale = static_cast<double>(source) / static_cast<double>(target);
  double inverse = scale >= 1.0 ? 1.0 / scale : 1.0;
  double support = scale >= 1.0 ? 2.0 * scale : 2.0;
  ResizePass pass{.target = target,
                  .taps = static_cast<int64_t>(std::ceil(support)) * 2 + 1,
                  .first = {},
                  .count = {},
                  .weights = {}};
  std::vector<double> exact(static_cast<size_t>(target * pass.taps));
  double largest = 0;
  for (int64_t i = 0; i < target; ++i) {
    double centre = scale * (static_cast<double>(i) + 0.5);
    auto low = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
    auto high = std::min(static_cast<int64_t>(centre + support + 0.5), source);
    int64_t count = std::clamp<int64_t>(high - low, 0, pass.taps);
    double* row = exact.data() + i * pass.taps;
    double sum = 0;
    for (int64_t j = 0; j < count; ++j) {
      row[j] = cubic((static_cast<double>(j + low) - centre + 0.5) * inverse);
      sum += row[j];
    }
    for (int64_t j = 0; j < count; ++j) {
      if (sum != 0.0) row[j] /= sum;
      largest = std::max(largest, row[j]);
    }
    pass.first.push_back(low);
    pass.count.push_back(count);
  }
  pass.shift = precision_bits(largest);
  double unit = static_cast<double>(1 << pass.shift);
  for (double weight : exact) {
    pass.weights.push_back(static_cast<int32_t>(weight * unit + (weight < 0 ? -0.5 : 0.5)));
  }
  return pass;
}

uint8_t to_byte(int32_t sum, int shift) { return static_cast<uint8_t>(std::clamp(sum >> shift, 0, 255)); }

Image resize_width(const Image& image, int64_t width) {
  ResizePass pass = make_pass(image.width, width);
  Image out{.width = width, .height = image.height, .rgb = HomeVector<uint8_t>(image.rgb.get_allocator())};
  out.rgb.resize(static_cast<size_t>(width * image.height * 3));
  uint8_t* target = out.rgb.data();
  for (int64_t y = 0; y < image.height; ++y) {
    const uint8_t* row = image.rgb.data() + y * image.width * 3;
    for (int64_t x = 0; x < width; ++x, target += 3) {
      const uint8_t* pixel = row + pass.first[x] * 3;
      const int32_t* weights = pass.weights.data() + x * pass.taps;
      int32_t red = 1 << (pass.shift - 1);
      int32_t green = red;
      int32_t blue = red;
      for (int64_t j = 0; j < pass.count[x]; ++j, pixel += 3) {
        red += weights[j] * pixel[0];
        green += weights[j] * pixel[1];
        blue += weights[j] * pixel[2];
      }
      target[0] = to_byte(red, pass.shift);
      target[1] = to_byte(green, pass.shift);
      target[2] = to_byte(blue, pass.shift);
    }
  }
  return out;
}

Image resize_height(const Image& image, int64_t height) {
  ResizePass pass = make_pass(image.height, height);
  auto row_values = static_cast<size_t>(image.width * 3);
  Image out{.width = image.width, .height = height, .rgb = HomeVector<uint8_t>(image.rgb.get_allocator())};
  out.rgb.resize(row_values * static_cast<size_t>(height));
  std::vector<int32_t> sums(row_values);
  for (int64_t y = 0; y < height; ++y) {
    std::fill(sums.begin(), sums.end(), 1 << (pass.shift - 1));
    for (int64_t j = 0; j < pass.count[y]; ++j) {
      int32_t weight = pass.weights[y * pass.taps + j];
      const uint8_t* row = image.rgb.data() + static_cast<size_t>(pass.first[y] + j) * row_values;
      for (size_t x = 0; x < row_values; ++x) sums[x] += weight * row[x];
    }
    uint8_t* target = out.rgb.data() + static_cast<size_t>(y) * row_values;
    for (size_t x = 0; x < row_values; ++x) target[x] = to_byte(sums[x], pass.shift);
  }
  return out;
}

double round_to_factor(double value, double factor) { return std::rint(value / factor) * factor; }
double floor_to_factor(double value, double factor) {
  return std::max(factor, std::floor(value / factor) * factor);
}
double ceil_to_factor(double value, double factor) { return std::ceil(value / factor) * factor; }

// What is below min_pixels as it is grows, whatever max_pixels says.
bool is_enlarged(const PixelBudget& budget) {
  auto factor = static_cast<double>(budget.factor);
  double pixels = round_to_factor(static_cast<double>(budget.size.height), factor) *
                  round_to_factor(static_cast<double>(budget.size.width), factor) *
                  static_cast<double>(budget.padded_frames);
  return pixels < static_cast<double>(budget.min_pixels);
}

Size fit_pixels(const PixelBudget& budget, std::string_view name) {
  auto height = static_cast<double>(budget.size.height);
  auto width = static_cast<double>(budget.size.width);
  if (budget.size.height < 1 || budget.size.width < 1) {
    fail(ErrorCode::media, "{}: {}x{} pixels, expected at least 1x1", name, budget.size.width,
         budget.size.height);
  }
  if (std::max(height, width) / std::min(height, width) > 200) {
    fail(ErrorCode::media, "{}: {}x{} pixels, one side at most 200 times the other allowed", name,
         budget.size.width, budget.size.height);
  }
  auto factor = static_cast<double>(budget.factor);
  auto frames = static_cast<double>(budget.frames);
  auto steps = static_cast<double>(budget.padded_frames);
  auto max_pixels = static_cast<double>(budget.max_pixels);
  auto min_pixels = static_cast<double>(budget.min_pixels);
  double out_height = round_to_factor(height, factor);
  double out_width = round_to_factor(width, factor);
  if (steps * out_height * out_width > max_pixels) {
    double shrink = std::sqrt(frames * height * width / max_pixels);
    out_height = floor_to_factor(height / shrink, factor);
    out_width = floor_to_factor(width / shrink, factor);
  } else if (steps * out_height * out_width < min_pixels) {
    double grow = std::sqrt(min_pixels / (frames * height * width));
    out_height = ceil_to_factor(height * grow, factor);
    out_width = ceil_to_factor(width * grow, factor);
  }
  if (!(out_height >= factor && out_width >= factor && out_height * out_width <= max_resized_pixels)) {
    fail(ErrorCode::limit, "{}: would be resized to {:.0f}x{:.0f} pixels, expected {} to {:.0f} in all", name,
         out_width, out_height, budget.factor * budget.factor, max_resized_pixels);
  }
  return {.height = static_cast<int64_t>(out_height), .width = static_cast<int64_t>(out_width)};
}

}  // namespace

Size fit_pixel_budget(const PixelBudget& budget, std::string_view name) {
  Size size = fit_pixels(budget, name);
  if (!budget.max_tokens) return size;
  const int64_t most = *budget.max_tokens;
  const auto tokens = [&] { return (size.height / budget.factor) * (size.width / budget.factor); };
  const int64_t token_pixels = budget.factor * budget.factor * budget.padded_frames;
  const int64_t least =
      is_enlarged(budget) ? tokens() : (budget.min_pixels + token_pixels - 1) / token_pixels;
  if (most < least) {
    fail(ErrorCode::usage,
         "{}: max_image_tokens: found {}, expected {} or more (min_pixels of the checkpoint is {})", name,
         most, least, budget.min_pixels);
  }
  if (tokens() <= most) return size;
  PixelBudget lowered = budget;
  if (most < budget.max_pixels / token_pixels) lowered.max_pixels = most * token_pixels;
  // Where one side is down to a factor, the other one alone has to give: as the root of all pixels.
  for (size = fit_pixels(lowered, name); tokens() > most; size = fit_pixels(lowered, name)) {
    const double share = static_cast<double>(most) / static_cast<double>(tokens());
    const auto smaller = std::ceil(static_cast<double>(lowered.max_pixels) * share * share);
    lowered.max_pixels = std::min(static_cast<int64_t>(smaller), lowered.max_pixels - 1);
  }
  return size;
}

Size smart_resize(Size size, const PatchOptions& options, std::string_view name) {
  return fit_pixel_budget({.size = size,
                           .frames = 1,
                           .padded_frames = 1,
                           .factor = options.factor(),
                           .min_pixels = options.min_pixels,
                           .max_pixels = options.max_pixels,
                           .max_tokens = options.max_tokens},
                          name);
}

Image resize_bicubic(const Image& image, Size target) {
  QVL_CHECK(target.width > 0 && target.height > 0 && image.width > 0 && image.height > 0);
  if (image.width == target.width) {
    return image.height == target.height ? image : resize_height(image, target.height);
  }
  Image wide = resize_width(image, target.width);
  return wide.height == target.height ? wide : resize_height(wide, target.height);
}

}  // namespace qvl
