// What the optimizer predicts from files alone, against what a loaded network holds.
#include "qvl/plan.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "files/model_files.h"
#include "memory/memory_home.h"
#include "model/qwen3_vl.h"
#include "optimizer/memory_model.h"
#include "optimizer/model_facts.h"

namespace qvl {
namespace {

const std::filesystem::path kSource = QVL_SOURCE_DIR;
const std::filesystem::path kModels[] = {kSource / "models/shapes", kSource / "tests/golden/tiny"};

// A pool that keeps nothing: its ledger holds what is in use.
struct Memory {
  Ledger ledger{uint64_t{1} << 40};
  HeapAndPages system{HugePages::off};
  TensorPool pool{ledger, system, 0};

  MemoryHome home() { return {.pool = &pool, .part = MemoryPart::other}; }
  uint64_t held(MemoryPart part) const { return ledger.report().of(part).held_bytes; }
};

PatchedMedia grey_picture(const VisionConfig& config, int64_t side) {
  PatchedMedia media{
      .pixels = Tensor(static_cast<uint64_t>(side * side), static_cast<uint64_t>(config.patch_values())),
      .grid = {.t = 1, .h = side, .w = side}};
  std::fill(media.pixels.values().begin(), media.pixels.values().end(), 0.25f);
  return media;
}

TEST(ModelFacts, packed_weights_are_as_large_as_those_of_a_network) {
  for (const auto& path : kModels) {
    const ModelFiles files = open_model_files(path, std::nullopt);
    const ModelFacts facts = model_facts(files);
    for (WeightChoice text : {WeightChoice::automatic, WeightChoice::f32, WeightChoice::bf16,
                              WeightChoice::q8, WeightChoice::q4}) {
      for (WeightChoice vision : {WeightChoice::f32, WeightChoice::bf16, WeightChoice::q8}) {
        for (Isa isa : all_isas()) {
          const ModelForms forms{.text = text, .vision = vision, .kv = KvForm::i16, .isa = isa};
          const Qwen3Vl network(files.config, *files.tensors, forms);
          EXPECT_EQ(packed_bytes(facts, forms), network.packed().size());
          EXPECT_EQ(decode_bytes(facts, forms), network.decode_bytes());
        }
      }
    }
  }
}

TEST(ModelFacts, keys_and_values_are_as_large_as_those_of_a_cache) {
  for (const auto& path : kModels) {
    const TextConfig text = open_model_files(path, std::nullopt).config.text;
    for (KvForm form : {KvForm::f32, KvForm::i16, KvForm::i8}) {
      Memory memory;
      KvCache cache(text, form, memory.home());
      cache.reserve(1);
      EXPECT_EQ(memory.held(MemoryPart::kv), kv_bytes(text, form, 1));
      const uint64_t growth = cache.growth_bytes({}, 1000);
      cache.reserve(1000);
      EXPECT_EQ(memory.held(MemoryPart::kv), kv_bytes(text, form, 1000));
      EXPECT_EQ(memory.ledger.report().peak_bytes, kv_bytes(text, form, 1) + growth);
      EXPECT_GE(cache.capacity(), 1000);
      cache.shrink(1);
      EXPECT_EQ(memory.held(MemoryPart::kv), kv_bytes(text, form, 1));
    }
  }
}

TEST(ModelFacts, scratch_is_as_large_as_that_of_operations) {
  for (const auto& path : kModels) {
    for (const bool quantised : {false, true}) {
      const ModelFiles files = open_model_files(path, std::nullopt);
      const WeightChoice choice = quantised ? WeightChoice::q8 : WeightChoice::f32;
      const ModelForms forms{.text = choice, .vision = choice, .kv = KvForm::i16, .isa = Isa::scalar};
      Qwen3Vl network(files.config, *files.tensors, forms);
      ThreadPool pool(1);
      network.pack(pool, {});
      const int64_t side = 24;
      const PatchedMedia picture = grey_picture(files.config.vision, side);
      Memory memory;
      Ops ops(pool, Isa::scalar, memory.home());
      network.encode(picture, ops, {});  // its features are dropped
      // The decoder has computed nothing: a chunk of no tokens.
      const Plan plan{.forms = forms, .threads = 1, .prefill_chunk = 0, .picture_patches = side * side};
      EXPECT_EQ(memory.held(MemoryPart::scratch), scratch_bytes(model_facts(files), plan)) << path;
      ops.release_scratch();
      EXPECT_EQ(memory.ledger.report().held_bytes, 0u);
    }
  }
}

TEST(PlanFor, plans_from_files_and_leaves_none_behind) {
  const auto folder = std::filesystem::temp_directory_path() / ("qvl-plan-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const LoadOptions load{.path = kModels[0], .cache_folder = folder};
  const PlanReport report = plan_for(load, {});
  EXPECT_EQ(report.level, 3);
  EXPECT_GT(report.memory_bytes, 0u);
  EXPECT_LE(report.memory_bytes, report.memory_cap_bytes);
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  std::filesystem::remove_all(folder);
}

TEST(PlanFor, measures_once_for_a_cache_folder) {
  const auto folder = std::filesystem::temp_directory_path() / ("qvl-measure-" + std::to_string(::getpid()));
  const LoadOptions load{.path = kModels[1], .cache_folder = folder};
  const auto value_of = [](const PlanReport& report, std::string_view name) {
    for (const auto& [key, value] : report.machine) {
      if (key == name) return value;
    }
    return std::string();
  };
  EXPECT_TRUE(value_of(plan_for(load, {}), "reads").ends_with("assumed"));
  const PlanReport measured = plan_for(load, {.measure = PlanOptions::Measure::missing});
  EXPECT_TRUE(value_of(measured, "reads").ends_with("measured"));
  EXPECT_TRUE(std::filesystem::exists(folder / "machine.json"));
  EXPECT_EQ(value_of(plan_for(load, {}), "reads"), value_of(measured, "reads"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace qvl
