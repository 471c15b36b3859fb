// What stays resident of a mapped checkpoint: of that the account holds only what is read in place.
#include <gtest/gtest.h>

#include <charconv>
#include <fstream>

#include "files/model_files.h"
#include "memory/memory_home.h"
#include "memory/page_size.h"
#include "model/qwen3_vl.h"
#include "optimizer/model_facts.h"
#include "pipeline/runtime.h"

namespace qvl {
namespace {

const std::filesystem::path kShapes = std::filesystem::path(QVL_SOURCE_DIR) / "models/shapes";

// Bytes of `path` that this process has mapped and resident; nothing where the kernel does not tell.
std::optional<uint64_t> resident_of(const std::filesystem::path& path) {
  std::ifstream maps("/proc/self/smaps");
  std::optional<uint64_t> sum;
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    const std::string first = line.substr(0, line.find(' '));
    if (first.find('-') != std::string::npos) inside = line.ends_with(path.string());
    if (!inside || first != "Rss:") continue;
    const size_t digits = line.find_first_of("0123456789");
    uint64_t kib = 0;
    std::from_chars(line.data() + digits, line.data() + line.size(), kib);
    sum = sum.value_or(0) + kib * 1024;
  }
  return sum;
}

// Counts how often the pages of one tensor are released.
class CountingSource final : public TensorSource {
 public:
  CountingSource(const TensorSource& source, std::string_view counted)
      : source_(source), counted_(source.find(counted)->bytes) {}

  int released() const { return released_; }
  const TensorView* find(std::string_view name) const override { return source_.find(name); }
  std::vector<std::string> names() const override { return source_.names(); }
  void check_unchanged() const override { source_.check_unchanged(); }
  void check_undamaged() const override { source_.check_undamaged(); }
  std::string fingerprint() const override { return source_.fingerprint(); }
  void release(std::span<const std::byte> bytes) const override {
    if (bytes.data() == counted_.data()) ++released_;
    source_.release(bytes);
  }
  void release_all() const override { source_.release_all(); }

 private:
  const TensorSource& source_;
  std::span<const std::byte> counted_;
  mutable int released_ = 0;
};

TEST(MappedPages, a_loaded_model_keeps_none_of_what_was_decoded_or_packed) {
  const LoadOptions options{.path = kShapes, .threads = 1, .cache_folder = ""};
  const detail::Runtime runtime(options, {});
  const auto resident = resident_of(kShapes / "model.safetensors");
  if (!resident) GTEST_SKIP() << "the kernel does not tell what is resident";
  EXPECT_LE(*resident, page_size());  // the last page is not whole
}

TEST(MappedPages, a_long_chunk_releases_the_rows_of_its_tokens_as_it_goes) {
  const ModelFiles files = open_model_files(kShapes, std::nullopt);
  const CountingSource source(*files.tensors, "model.language_model.embed_tokens.weight");
  Qwen3Vl network(files.config, source, {.text = WeightChoice::q8, .isa = Isa::scalar});
  ThreadPool pool(1);
  network.pack(pool, {});
  constexpr int64_t tokens = 2 * kMostMappedRows + 1;
  const std::vector<int32_t> ids(tokens, 7);
  std::vector<Position> positions;
  for (int32_t i = 0; i < tokens; ++i) positions.push_back({i, i, i});
  KvCache cache(files.config.text, network.forms().kv);
  const SequenceStep step{.chunk = {.ids = ids, .positions = positions, .visual = {}}, .cache = &cache};
  DecoderPass pass;
  Ops ops(pool, Isa::scalar);
  const int before = source.released();
  network.forward({&step, 1}, pass, ops);
  EXPECT_EQ(source.released() - before, 2);
}

TEST(MappedPages, the_account_holds_what_is_read_in_place) {
  const ModelFiles files = open_model_files(kShapes, std::nullopt);
  const ModelFacts facts = model_facts(files);
  const auto bytes = [&](std::string_view name) { return files.tensors->find(name)->bytes.size(); };
  const uint64_t embedding = bytes("model.language_model.embed_tokens.weight");
  EXPECT_EQ(facts.mapped_bytes, embedding + bytes("model.visual.patch_embed.proj.weight"));
  ModelFacts mapping_five = facts;
  mapping_five.mapped_bytes = 5;
  const ModelForms forms{.text = WeightChoice::q8, .vision = WeightChoice::q8, .isa = Isa::avx2};
  EXPECT_EQ(stored_in_use_bytes(mapping_five, forms), 5u);
}

}  // namespace
}  // namespace qvl
