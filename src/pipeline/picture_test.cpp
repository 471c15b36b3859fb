// Pictures that lie in memory: what is read of them, what is refused, and when they are let go.
#include "pipeline/picture.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <new>
#include <vector>

#include "base/error_testing.h"
#include "base/file.h"
#include "qvl/pipeline.h"

namespace qvl {
namespace {

const std::filesystem::path kSource = QVL_SOURCE_DIR;
const std::filesystem::path kHeart = kSource / "examples/blue-heart.png";  // 128 x 224 pixels
constexpr std::string_view kHeartAnswer = "A blue heart on a black background.";

Model small_model() {
  return load_model({.path = kSource / "models/shapes", .threads = 2, .cache_folder = ""});
}

InferenceRequest asking_about(std::vector<Picture> pictures) {
  return {.prompt = "Describe this picture.", .images = std::move(pictures)};
}

PixelArray array_of(const Image& image) {
  return {
      .first = image.rgb.data(), .width = image.width, .height = image.height, .row_stride = image.width * 3};
}

// A picture of one colour in all, which takes no memory.
std::shared_ptr<const PixelSource> grey(int64_t width, int64_t height) {
  static constexpr uint8_t kGrey = 100;
  return pixel_source({.first = &kGrey,
                       .width = width,
                       .height = height,
                       .row_stride = 0,
                       .pixel_stride = 0,
                       .sample_stride = 0});
}

// A small one, whose rows `read` makes: the number of the reading it is, from 0 on, and where they go.
class Made final : public PixelSource {
 public:
  using Read = std::function<void(int, std::span<uint8_t>)>;
  explicit Made(Read read) : read_(std::move(read)) {}
  int64_t width() const override { return 32; }
  int64_t height() const override { return 32; }
  void read_rows(int64_t, std::span<uint8_t> rgb) const override { read_(readings_++, rgb); }

 private:
  Read read_;
  mutable std::atomic<int> readings_{0};
};

std::vector<uint8_t> bytes_of(const Image& image) { return {image.rgb.begin(), image.rgb.end()}; }

TEST(Pixels, are_read_as_their_strides_say) {
  // Two rows of two pixels with four samples each.
  const std::vector<uint8_t> samples{1, 2, 3, 99, 4, 5, 6, 99, 7, 8, 9, 99, 10, 11, 12, 99};
  const auto read = [](PixelArray array) { return bytes_of(read_pixels(*pixel_source(array), {})); };
  const PixelArray whole{
      .first = samples.data(), .width = 2, .height = 2, .row_stride = 8, .pixel_stride = 4};
  EXPECT_EQ(read(whole), (std::vector<uint8_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));

  PixelArray upside_down = whole;
  upside_down.first += 8;
  upside_down.row_stride = -8;
  EXPECT_EQ(read(upside_down), (std::vector<uint8_t>{7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6}));

  PixelArray blue_first = whole;
  blue_first.first += 2;
  blue_first.sample_stride = -1;
  EXPECT_EQ(read(blue_first), (std::vector<uint8_t>{3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10}));

  PixelArray columns_as_rows = whole;
  std::swap(columns_as_rows.row_stride, columns_as_rows.pixel_stride);
  EXPECT_EQ(read(columns_as_rows), (std::vector<uint8_t>{1, 2, 3, 7, 8, 9, 4, 5, 6, 10, 11, 12}));

  const PixelArray packed{.first = samples.data(), .width = 2, .height = 2, .row_stride = 6};
  EXPECT_EQ(read(packed), (std::vector<uint8_t>{1, 2, 3, 99, 4, 5, 6, 99, 7, 8, 9, 99}));

  EXPECT_EQ(bytes_of(read_pixels(*grey(2, 1), {})), (std::vector<uint8_t>{100, 100, 100, 100, 100, 100}));
}

TEST(Pixels, have_the_key_of_all_their_bytes_however_many_strips_they_are_read_in) {
  Image image{.width = 700, .height = 501, .rgb = HomeVector<uint8_t>(700 * 501 * 3)};  // 1 MiB
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = static_cast<uint8_t>(i * 7 + i / 1000);
  const auto source = pixel_source(array_of(image));
  EXPECT_EQ(key_of(*source), key_of(std::as_bytes(std::span(image.rgb))));
  EXPECT_EQ(bytes_of(read_pixels(*source, {})), bytes_of(image));
  image.rgb.back() ^= 1;
  EXPECT_EQ(key_of(*source), key_of(std::as_bytes(std::span(image.rgb))));
}

TEST(Pictures, of_pixels_are_judged_by_their_size_before_they_are_read) {
  const auto refused = [](ErrorCode code, int64_t width, int64_t height) {
    return error_of(code, [&] { Picture("images[2]", grey(width, height)); });
  };
  EXPECT_EQ(refused(ErrorCode::limit, 16'385, 16'000),
            "images[2]: 16385x16000 pixels, at most 16384 allowed on a side");
  EXPECT_EQ(refused(ErrorCode::limit, 8'000, 8'001),
            "images[2]: 8000x8001 pixels, at most 64000000 allowed in all");
  EXPECT_EQ(refused(ErrorCode::media, 1, 201),
            "images[2]: 1x201 pixels, one side at most 200 times the other allowed");
  EXPECT_EQ(refused(ErrorCode::media, 0, 5), "images[2]: 0x5 pixels, expected at least 1x1");
  EXPECT_EQ(error_of(ErrorCode::usage, [] { Picture("a", std::shared_ptr<const PixelSource>()); }),
            "a: found no pixels, expected a source of them");
  EXPECT_NO_THROW(Picture("images[2]", grey(8'000, 8'000)));
}

TEST(Pictures, of_memory_are_answered_about_as_their_file_is) {
  auto pipeline = apply_system_level_optimizations(small_model(), {.num_compute_threads = 2});
  const Image image = read_image(kHeart, {});
  const std::string file = read_file(kHeart, 1 << 20, ErrorCode::media);
  const Picture pixels("images[1]", pixel_source(array_of(image)));
  const Picture bytes("images[2]", FileBytes{.bytes = std::as_bytes(std::span(file))});
  const auto answer = pipeline.run_inference(asking_about({pixels}));
  EXPECT_EQ(answer.text, kHeartAnswer);
  EXPECT_EQ(answer.media.at(0).path, "images[1]");
  EXPECT_EQ(answer.tokens, pipeline.run_inference(asking_about({kHeart})).tokens);

  const auto all = pipeline.run_inference(asking_about({kHeart, pixels, bytes}));
  for (const MediumReport& medium : all.media) EXPECT_EQ(medium.features, FeatureOrigin::memory);
  const RequestPlan plan = pipeline.plan(asking_about({pixels}));
  EXPECT_EQ(plan.media.at(0).path, "images[1]");
  EXPECT_EQ(plan.media.at(0).size.width, 128);
  EXPECT_EQ(plan.media.at(0).size.height, 224);
  EXPECT_TRUE(plan.media.at(0).kept);
}

TEST(Pictures, of_the_same_bytes_in_another_shape_are_others) {
  auto pipeline = apply_system_level_optimizations(small_model(), {.num_compute_threads = 2});
  const auto origin = [&](int64_t width, int64_t height) {
    return pipeline.run_inference(asking_about({Picture("a", grey(width, height))})).media.at(0).features;
  };
  EXPECT_EQ(origin(192, 128), FeatureOrigin::computed);
  EXPECT_EQ(origin(128, 192), FeatureOrigin::computed);
}

TEST(Pictures, that_change_between_two_readings_fail_their_request) {
  auto pipeline = apply_system_level_optimizations(small_model(), {.num_compute_threads = 2});
  const auto changing = std::make_shared<Made>([](int reading, std::span<uint8_t> rgb) {
    std::fill(rgb.begin(), rgb.end(), static_cast<uint8_t>(reading));
  });
  EXPECT_EQ(error_of(ErrorCode::media,
                     [&] { pipeline.run_inference(asking_about({Picture("images[0]", changing)})); }),
            "images[0]: became another picture while it was read");
}

TEST(Pictures, that_cannot_be_read_fail_their_request_by_name) {
  auto pipeline = apply_system_level_optimizations(small_model(), {.num_compute_threads = 2});
  const auto of = [](Made::Read read) {
    return Picture("images[3]", std::make_shared<Made>(std::move(read)));
  };
  const Picture torn = of([](int, std::span<uint8_t>) { throw Error(ErrorCode::media, "images[3]: torn"); });
  EXPECT_EQ(error_of(ErrorCode::media, [&] { pipeline.run_inference(asking_about({torn})); }),
            "images[3]: torn");
  const Picture large = of([](int, std::span<uint8_t>) { throw std::bad_alloc(); });
  EXPECT_EQ(error_of(ErrorCode::limit, [&] { pipeline.run_inference(asking_about({large})); }),
            "not enough memory to read the picture images[3]");
  const std::string text = "no picture";
  const Picture none("images[1]", FileBytes{.bytes = std::as_bytes(std::span(text))});
  EXPECT_EQ(error_of(ErrorCode::media,
                     [&] {
                       pipeline.run_inference(asking_about({kHeart, none}));
                     }),
            "images[1]: found no known picture format, expected JPEG, PNG, WebP or GIF");
}

TEST(Pictures, are_let_go_when_the_answer_begins_and_when_there_is_none) {
  auto pipeline = apply_system_level_optimizations(small_model(), {.num_compute_threads = 2});
  const Image image = read_image(kHeart, {});
  const auto owner = std::make_shared<int>(0);
  const auto picture = [&] {
    PixelArray array = array_of(image);
    array.keep_alive = owner;
    return Picture("images[0]", pixel_source(array));
  };
  InferenceStream stream = pipeline.submit(asking_about({picture()}));
  for (int64_t tokens = 0; tokens < 2;) tokens = stream.next()->tokens;  // a step behind the first token
  EXPECT_EQ(owner.use_count(), 1);
  EXPECT_EQ(stream.result().text, kHeartAnswer);
  EXPECT_EQ(owner.use_count(), 1);
  (void)pipeline.plan(asking_about({picture()}));
  EXPECT_EQ(owner.use_count(), 1);
  InferenceStream failing = pipeline.submit(asking_about({picture(), kSource / "README.md"}));
  EXPECT_THROW(failing.result(), Error);
  EXPECT_EQ(owner.use_count(), 1);
  InferenceStream cancelled = pipeline.submit(asking_about({picture()}));
  cancelled.cancel();
  (void)cancelled.result();
  EXPECT_EQ(owner.use_count(), 1);
}

TEST(Pictures, that_were_let_go_keep_their_names_alone) {
  Picture picture("images[0]", grey(8, 8));
  EXPECT_NE(picture.pixels(), nullptr);
  picture.let_go();
  EXPECT_EQ(picture.pixels(), nullptr);
  EXPECT_FALSE(picture.is_file());
  EXPECT_EQ(picture.path(), "images[0]");
  Picture file(kHeart);
  file.let_go();
  EXPECT_TRUE(file.is_file());
}

}  // namespace
}  // namespace qvl
