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
    options.source_key = "stopped";
    try {
      packer.pack(pool, options);
      return {"it was not stopped", {}};
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::cancelled);
      return {error.what(), {packer.packed().begin(), packer.packed().end()}};
    }
  }

  // Packs, and checks that the weights are right wherever they came from.
  PackReport pack(const std::string& source = "source", const std::filesystem::path& to = {}) {
    ThreadPool pool(2);
    WeightPacker packer(Isa::scalar, 256 << 20);
    const PackedWeight weight = packer.add({view()}, WeightForm::q8);
    const PackReport report =
        packer.pack(pool, {.cache_file = to.empty() ? file() : to, .source_key = source});
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
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);  // nothing temporary is left
}

TEST_F(PackCache, of_other_sources_is_replaced) {
  EXPECT_EQ(pack("one").cache, CacheOutcome::written);
  EXPECT_EQ(pack("two").cache, CacheOutcome::written);
  EXPECT_EQ(pack("two").cache, CacheOutcome::used);
  std::fill(values_.begin() + static_cast<std::ptrdiff_t>(values_.size() / 2), values_.end(),
            uint16_t{0x3F80});
  EXPECT_EQ(pack("two").cache, CacheOutcome::written);  // other weights under the same name and date
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
  const PackReport report = pack("source", folder_ / "plain" / "model.packed");
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
  ASSERT_EQ(packer.pack(pool, {.cache_file = file(), .source_key = "source"}).cache, CacheOutcome::used);
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
