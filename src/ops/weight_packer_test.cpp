// Packed weights and the file that keeps them: used when it fits, ignored when it does not.
#include "ops/weight_packer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>

#include "base/error.h"
#include "kernels/matmul/blocked_matmul.h"
#include "kernels/matmul/encode.h"
#include "memory/file_descriptor.h"
#include "memory/page_size.h"
#include "ops/pack_cache.h"

namespace qvl {
namespace {

// Large enough to be worth a file: 64 MiB packed in 8 bits.
constexpr uint64_t kRows = 16'384, kInputs = 4096;

class PackCache : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("qvl_pack_" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
    values_.resize(kRows * kInputs);
    std::mt19937 random(1);
    for (uint16_t& value : values_) value = static_cast<uint16_t>(0x3C00 + random() % 0x400);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path file() const { return folder_ / "model.packed"; }
  std::filesystem::path record() const { return folder_ / "model.packed.sources"; }
  TensorView view() const {
    return {.dtype = DType::bf16, .shape = {kRows, kInputs}, .bytes = std::as_bytes(std::span(values_))};
  }

  // Packs until `options.stop`; the message, and the bytes that were packed.
  struct Stopped {
    std::string message;
    std::vector<std::byte> packed;
  };
  Stopped pack_until_stopped(PackOptions options) const {
    ThreadPool pool(2);
    WeightPacker packer(Isa::scalar, 256 << 20);
    packer.add({{.dtype = DType::bf16, .shape = {64, kInputs}, .bytes = view().bytes.first(128 * kInputs)}},
               WeightForm::q8);
    packer.add({view()}, WeightForm::q8);
    options.cache_file = file();
    options.source_state = "stopped";
    try {
      packer.pack(pool, options);
      return {"it was not stopped", {}};
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::cancelled);
      return {error.what(), {packer.packed().begin(), packer.packed().end()}};
    }
  }

  // Packs, and checks that the weights are right wherever they came from.
  PackReport pack(const std::string& state = "state", const std::filesystem::path& to = {}) {
    ThreadPool pool(2);
    WeightPacker packer(Isa::scalar, 256 << 20);
    const PackedWeight weight = packer.add({view()}, WeightForm::q8);
    const PackReport report =
        packer.pack(pool, {.cache_file = to.empty() ? file() : to, .source_state = state});
    check(weight);
    return report;
  }

  void check(const PackedWeight& weight) const {
    for (uint64_t row : {uint64_t{0}, uint64_t{17}, kRows - 1}) {
      const int64_t panel = static_cast<int64_t>(row) / kPanel;
      Q8Block block;
      std::memcpy(&block, weight.data + static_cast<uint64_t>(panel) * weight.row_bytes, sizeof block);
      for (int64_t i = 0; i < kGroup; ++i) {
        const float expected = bf16_to_f32(values_[row * kInputs + static_cast<uint64_t>(i)]);
        const int64_t output = static_cast<int64_t>(row) % kPanel;
        const float found =
            block.scale[output] * static_cast<float>(block.q[i / kStep][output][i % kStep] - 128);
        ASSERT_NEAR(found, expected, 0.51f * block.scale[output]);
      }
    }
  }

  void damage(std::streamoff at) const {
    std::fstream stream(file(), std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(at);
    const char flipped = static_cast<char>(stream.get() ^ 1);
    stream.seekp(at);
    stream.put(flipped);
  }

  std::filesystem::path folder_;
  std::vector<uint16_t> values_;  // BF16
};

TEST_F(PackCache, is_written_once_and_used_afterwards) {
  EXPECT_EQ(pack().cache, CacheOutcome::written);
  EXPECT_EQ(pack().cache, CacheOutcome::used);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 2);  // nothing temporary is left
}

TEST_F(PackCache, of_sources_with_the_same_contents_is_used_whatever_their_dates) {
  EXPECT_EQ(pack("one").cache, CacheOutcome::written);
  EXPECT_EQ(pack("two").cache, CacheOutcome::used);
  EXPECT_EQ(pack("").cache, CacheOutcome::used);
  std::filesystem::remove(record());
  EXPECT_EQ(pack("one").cache, CacheOutcome::used);
  EXPECT_TRUE(std::filesystem::exists(record()));
}

TEST_F(PackCache, of_sources_with_one_other_bit_is_replaced) {
  EXPECT_EQ(pack("one").cache, CacheOutcome::written);
  values_[kInputs * 5 + 77] ^= 1;
  EXPECT_EQ(pack("two").cache, CacheOutcome::written);
  EXPECT_EQ(pack("two").cache, CacheOutcome::used);
  values_.back() ^= 1;
  EXPECT_EQ(pack("").cache, CacheOutcome::written);     // nothing is known of the files
  EXPECT_EQ(pack("two").cache, CacheOutcome::written);  // no longer what was on record
}

TEST_F(PackCache, is_used_without_reading_sources_in_a_state_on_record) {
  EXPECT_EQ(pack("one").cache, CacheOutcome::written);
  const std::vector<uint16_t> kept = values_;
  std::fill(values_.begin(), values_.end(), uint16_t{0});
  ThreadPool pool(2);
  WeightPacker packer(Isa::scalar, 256 << 20);
  const PackedWeight weight = packer.add({view()}, WeightForm::q8);
  EXPECT_EQ(packer.pack(pool, {.cache_file = file(), .source_state = "one"}).cache, CacheOutcome::used);
  values_ = kept;
  check(weight);
}

TEST_F(PackCache, ignores_a_damaged_record) {
  EXPECT_EQ(pack().cache, CacheOutcome::written);
  const auto damaged_to = [&](const std::string& text) {
    std::ofstream(record(), std::ios::binary) << text;
    return pack().cache;
  };
  for (const char* text : {"", "\n", "qvl sources 1", "qvl sources 1 0\n0\n"}) {
    EXPECT_EQ(damaged_to(text), CacheOutcome::used) << text;
  }
  EXPECT_EQ(damaged_to(std::string(1 << 20, 'x')), CacheOutcome::used);
}

TEST_F(PackCache, tells_damage_from_other_weights) {
  EXPECT_FALSE(pack().damaged);
  EXPECT_FALSE(pack().damaged);
  damage(33'333'333);
  EXPECT_TRUE(pack().damaged);
  EXPECT_FALSE(pack().damaged);
  std::filesystem::resize_file(file(), 33'333'333);
  EXPECT_TRUE(pack().damaged);
  const auto size = std::filesystem::file_size(file());
  for (uint64_t back : {1, 9, 17, 25, 33, 47}) {  // each field of the trailer
    damage(size - back);
    EXPECT_TRUE(pack().damaged) << back;
    EXPECT_FALSE(pack().damaged) << back;
  }
  values_.back() ^= 1;
  EXPECT_FALSE(pack("two").damaged);
}

TEST_F(PackCache, is_ignored_when_damaged) {
  EXPECT_EQ(pack().cache, CacheOutcome::written);
  const auto size = static_cast<std::streamoff>(std::filesystem::file_size(file()));
  for (std::streamoff at : {std::streamoff{0}, std::streamoff{33'333'333}, size - 1, size - 20, size - 48}) {
    damage(at);
    EXPECT_EQ(pack().cache, CacheOutcome::written) << at;
  }
  std::filesystem::resize_file(file(), static_cast<uintmax_t>(size) / 2);
  EXPECT_EQ(pack().cache, CacheOutcome::written);
  std::filesystem::resize_file(file(), 0);
  EXPECT_EQ(pack().cache, CacheOutcome::written);
  EXPECT_EQ(pack().cache, CacheOutcome::used);
}

TEST_F(PackCache, that_cannot_be_written_leaves_the_weights_in_memory) {
  std::filesystem::create_directories(folder_);
  std::ofstream(folder_ / "plain") << "not a folder";
  const PackReport report = pack("state", folder_ / "plain" / "model.packed");
  EXPECT_EQ(report.cache, CacheOutcome::failed);
  EXPECT_EQ(report.problem,
            (folder_ / "plain" / "model.packed").string() + ": cannot write: Not a directory");
}

TEST_F(PackCache, that_is_half_written_goes_away_when_packing_is_stopped) {
  std::stop_source source;
  // After the first of two weights.
  const Stopped stopped =
      pack_until_stopped({.progress = [&](double) { source.request_stop(); }, .stop = source.get_token()});
  EXPECT_EQ(stopped.message, "packing the weights was stopped");
  const auto nothing = [](std::byte b) { return b == std::byte{0}; };
  constexpr size_t first = 64 * kInputs;  // the first weight takes more than a byte for each of its own
  EXPECT_FALSE(std::all_of(stopped.packed.begin(), stopped.packed.begin() + first, nothing));
  EXPECT_TRUE(std::all_of(stopped.packed.begin() + 2 * first, stopped.packed.end(), nothing));
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(PackCache, is_not_written_when_the_stop_comes_with_the_last_weight) {
  std::stop_source source;
  const auto at_the_end = [&](double share) {
    if (share == 1) source.request_stop();
  };
  EXPECT_EQ(pack_until_stopped({.progress = at_the_end, .stop = source.get_token()}).message,
            "packing the weights was stopped");
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(PackCache, that_is_being_checked_when_the_stop_comes_stays_as_it_is) {
  const std::string complete = pack_until_stopped({}).message;
  EXPECT_EQ(complete, "it was not stopped");
  const auto written = std::filesystem::last_write_time(file());
  std::stop_source source;
  source.request_stop();
  EXPECT_EQ(pack_until_stopped({.stop = source.get_token()}).message, "packing the weights was stopped");
  EXPECT_EQ(std::filesystem::last_write_time(file()), written);
}

TEST_F(PackCache, that_is_removed_stays_valid_for_whoever_uses_it) {
  ASSERT_EQ(pack().cache, CacheOutcome::written);
  ThreadPool pool(2);
  WeightPacker packer(Isa::scalar, 256 << 20);
  const PackedWeight weight = packer.add({view()}, WeightForm::q8);
  ASSERT_EQ(packer.pack(pool, {.cache_file = file(), .source_state = "source"}).cache, CacheOutcome::used);
  std::filesystem::remove(file());
  check(weight);
  EXPECT_NO_THROW(packer.check_undamaged());
}

TEST_F(PackCache, notes_when_it_was_used_last) {
  ASSERT_EQ(pack().cache, CacheOutcome::written);
  const struct timespec long_ago[2] = {{.tv_sec = 1'000'000'000, .tv_nsec = 0},
                                       {.tv_sec = 0, .tv_nsec = UTIME_OMIT}};
  ASSERT_EQ(::utimensat(AT_FDCWD, file().c_str(), long_ago, 0), 0);
  const auto written = std::filesystem::last_write_time(file());
  ASSERT_EQ(pack().cache, CacheOutcome::used);
  struct stat info {};
  ASSERT_EQ(::stat(file().c_str(), &info), 0);
  EXPECT_GT(info.st_atim.tv_sec, 1'000'000'000);
  EXPECT_EQ(std::filesystem::last_write_time(file()), written);
}

TEST_F(PackCache, is_told_from_other_files_by_its_trailer) {
  ASSERT_EQ(pack().cache, CacheOutcome::written);
  const auto recognised = [&] {
    const FileDescriptor opened(::open(file().c_str(), O_RDONLY | O_CLOEXEC));
    return is_packed_file(opened.get());
  };
  EXPECT_TRUE(recognised());
  const auto size = std::filesystem::file_size(file());
  const auto trailer = static_cast<std::streamoff>(size / page_size() * page_size());
  damage(trailer + 7);  // the version: an older or a later file
  EXPECT_TRUE(recognised());
  damage(trailer);
  EXPECT_FALSE(recognised());
  damage(trailer);
  EXPECT_TRUE(recognised());
  std::filesystem::resize_file(file(), static_cast<uintmax_t>(trailer));
  EXPECT_FALSE(recognised());
  std::filesystem::resize_file(file(), 0);
  EXPECT_FALSE(recognised());
}

TEST_F(PackCache, is_not_kept_for_small_weights) {
  ThreadPool pool(1);
  WeightPacker packer(Isa::scalar, 1 << 20);
  const std::vector<float> values(64 * 64, 1.0f);
  packer.add({{.dtype = DType::f32, .shape = {64, 64}, .bytes = std::as_bytes(std::span(values))}},
             WeightForm::q4);
  EXPECT_EQ(packer.pack(pool, {.cache_file = file()}).cache, CacheOutcome::none);
  EXPECT_FALSE(std::filesystem::exists(file()));
}

// Rows of Q4_0: each block has the scale 2^-7 and the levels of its bytes.
std::vector<std::byte> q4_0_rows(size_t rows, size_t blocks) {
  std::vector<std::byte> bytes(rows * blocks * 18);
  std::mt19937 random(1);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  const uint16_t scale = f32_to_f16(0x1p-7f);
  for (size_t at = 0; at < bytes.size(); at += 18) std::memcpy(bytes.data() + at, &scale, sizeof scale);
  return bytes;
}

TEST(WeightPacker, takes_blocks_of_q4_0_over_as_they_are) {
  constexpr size_t rows = 70, inputs = 320;  // more rows than a share, more inputs than a group
  const auto bytes = q4_0_rows(rows, inputs / 32);
  ThreadPool pool(2);
  WeightPacker packer(Isa::scalar, 1 << 20);
  const PackedWeight weight =
      packer.add({{.dtype = DType::q4_0, .shape = {rows, inputs}, .bytes = bytes}}, WeightForm::q4);
  packer.pack(pool, {});
  std::vector<float> row(inputs);
  for (size_t r = 0; r < rows; ++r) {
    decoder(DType::q4_0)(bytes.data() + r * (inputs / 32) * 18, inputs, row.data());
    for (size_t i = 0; i < inputs; ++i) {
      Q4Block block;
      std::memcpy(&block, weight.data + r / kPanel * weight.row_bytes + i / kGroup * sizeof block,
                  sizeof block);
      const float found =
          decode_q4(block, static_cast<int64_t>(r) % kPanel, static_cast<int64_t>(i) % kGroup);
      ASSERT_EQ(weight.input_scale[i], 1.0f);
      ASSERT_NEAR(found, row[i], std::abs(row[i]) / 254) << r << " " << i;
    }
  }
}

TEST(WeightPacker, packs_what_rounding_left_of_repeated_columns) {
  constexpr int64_t rows = 20, inputs = 300;  // the second of two groups is not full
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> values(rows * inputs);
  for (float& value : values) value = normal(random);
  const TensorView view{
      .dtype = DType::f32, .shape = {rows, inputs}, .bytes = std::as_bytes(std::span(values))};
  ThreadPool pool(2);
  WeightPacker packer(Isa::scalar, 1 << 20);
  const std::vector<int32_t> repeated = {0, 17, 299};
  const PackedWeight weight = packer.add({view}, WeightForm::q8, RestRule::outlying, {.outlying = repeated});
  const PackedWeight without = packer.add({view}, WeightForm::q4, RestRule::outlying, {.outlying = repeated});
  packer.pack(pool, {});
  EXPECT_EQ(weight.columns(), 512 + 3);
  EXPECT_EQ(without.columns(), inputs);
  const auto block_at = [&](int64_t row, int64_t group) {
    Q8Block block;
    std::memcpy(&block,
                weight.data + row / kPanel * static_cast<int64_t>(weight.row_bytes) +
                    group * static_cast<int64_t>(sizeof block),
                sizeof block);
    return block;
  };
  for (int64_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < repeated.size(); ++i) {
      const int64_t input = repeated[i];
      const float first = decode_q8(block_at(row, input / kGroup), row % kPanel, input % kGroup);
      const float rest = decode_q8(block_at(row, 2), row % kPanel, static_cast<int64_t>(i));
      // Half a step of 8 bits is 3.5 / 254; half a step of what it leaves a 254th of that.
      EXPECT_NEAR(first + rest, values[static_cast<size_t>(row * inputs + input)], 1e-4)
          << row << " " << input;
      EXPECT_NE(rest, 0) << row << " " << input;
    }
  }
}

// Inputs that come out of another layer, whose rows 3 and 70 are a hundred times as large as the others.
struct AfterLargeRows {
  static constexpr int64_t kOutputs = 20, kWidth = 300, kFirstInputs = 40;
  std::vector<float> first, second;

  AfterLargeRows() {
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < kWidth * kFirstInputs; ++i) {
      const int64_t row = i / kFirstInputs;
      first.push_back(normal(random) * (row == 3 || row == 70 ? 100.0f : 1.0f));
    }
    for (int64_t i = 0; i < kOutputs * kWidth; ++i) second.push_back(normal(random));
  }
  static TensorView view(const std::vector<float>& values, uint64_t rows) {
    return {.dtype = DType::f32,
            .shape = {rows, values.size() / rows},
            .bytes = std::as_bytes(std::span(values))};
  }
  KnownInputs known() const {
    return {.producer = Producer{.weight = view(first, kWidth),
                                 .input_sizes = std::vector<float>(kFirstInputs, 1.0f),
                                 .bias = std::vector<float>(kWidth, 0.0f)}};
  }
  PackedWeight add_to(WeightPacker& packer, WeightForm form) const {
    return packer.add({view(second, kOutputs)}, form, RestRule::outlying, known());
  }
};

TEST(WeightPacker, finds_the_outlying_inputs_in_the_layer_that_they_come_out_of) {
  const AfterLargeRows weights;
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    WeightPacker packer(Isa::scalar, 1 << 20);
    const PackedWeight found = weights.add_to(packer, WeightForm::q8);
    const PackedWeight without = weights.add_to(packer, WeightForm::q4);
    const PackedWeight told = packer.add({weights.view(weights.second, weights.kOutputs)}, WeightForm::q8,
                                         RestRule::outlying, {.outlying = {3, 70}});
    packer.pack(pool, {});
    const auto inputs = found.repeated_inputs();
    EXPECT_EQ(std::vector<int32_t>(inputs.begin(), inputs.end()), (std::vector<int32_t>{3, 70}));
    EXPECT_EQ(found.columns(), 512 + 2);
    EXPECT_EQ(without.columns(), weights.kWidth);
    ASSERT_EQ(found.bytes(), told.bytes());
    EXPECT_EQ(std::memcmp(found.data, told.data, found.bytes()), 0);
  }
}

TEST(WeightPacker, repeats_nothing_where_no_input_is_outlying) {
  AfterLargeRows weights;
  weights.first.assign(weights.first.size(), 1.0f);
  ThreadPool pool(1);
  WeightPacker packer(Isa::scalar, 1 << 20);
  const PackedWeight weight = weights.add_to(packer, WeightForm::q8);
  packer.pack(pool, {});
  EXPECT_EQ(weight.columns(), weights.kWidth);
}

TEST(WeightPacker, puts_the_rows_of_several_weights_one_after_another) {
  const std::vector<float> ones(20 * 32, 1.0f), twos(5 * 32, 2.0f);
  ThreadPool pool(2);
  for (WeightForm form : {WeightForm::q8, WeightForm::q4}) {
    WeightPacker packer(Isa::scalar, 1 << 20);
    const PackedWeight joined =
        packer.add({{.dtype = DType::f32, .shape = {20, 32}, .bytes = std::as_bytes(std::span(ones))},
                    {.dtype = DType::f32, .shape = {5, 32}, .bytes = std::as_bytes(std::span(twos))}},
                   form);
    packer.pack(pool, {});
    EXPECT_EQ(joined.outputs, 25);
    const std::byte* second = joined.data + joined.row_bytes;
    for (int64_t o = 0; o < 9; ++o) {
      float found = 0;
      if (form == WeightForm::q8) {
        Q8Block block;
        std::memcpy(&block, second, sizeof block);
        found = block.scale[o] * static_cast<float>(block.q[0][o][0] - 128);
      } else {
        Q4Block block;
        std::memcpy(&block, second, sizeof block);
        const int nibble = o < 8 ? block.q[0][o][0] & 15 : block.q[0][o - 8][0] >> 4;
        found =
            bf16_to_f32(block.unit[o]) * static_cast<float>(block.factor[0][factor_slot(o)] * (nibble - 8));
      }
      EXPECT_NEAR(found, o < 4 ? 1.0f : 2.0f, 0.01f) << o;
    }
  }
}

TEST(WeightPacker, rounds_to_bf16_where_asked) {
  const std::vector<float> values = {1.0f, 1.0f + 0x1p-7f, 1.0f + 0x1p-9f, -3.0f};
  ThreadPool pool(1);
  WeightPacker packer(Isa::scalar, 1 << 20);
  const PackedWeight weight =
      packer.add_bf16({.dtype = DType::f32, .shape = {2, 2}, .bytes = std::as_bytes(std::span(values))});
  packer.pack(pool, {});
  std::vector<float> found(4);
  decoder(DType::bf16)(weight.data, 4, found.data());
  EXPECT_EQ(found, (std::vector<float>{1.0f, 1.0f + 0x1p-7f, 1.0f, -3.0f}));
}

}  // namespace
}  // namespace qvl
