// Machines and checkpoints for the tests of plans. Only for tests.
#pragma once

#include <string>
#include <vector>

#include "optimizer/model_facts.h"
#include "optimizer/plan.h"
#include "optimizer/resolve.h"

namespace qvl {

/// Has every tensor it is asked for, of one type and without bytes.
class AnyTensor : public TensorSource {
 public:
  explicit AnyTensor(DType stored) { view_.dtype = stored; }
  const TensorView* find(std::string_view name) const override {
    return name.ends_with(".weight.0") ? nullptr : &view_;
  }
  std::vector<std::string> names() const override { return {}; }
  void check_unchanged() const override {}
  void check_undamaged() const override {}
  std::string fingerprint() const override { return ""; }
  void release(std::span<const std::byte>) const override {}
  void release_all() const override {}

 private:
  TensorView view_;
};

/// Qwen3-VL-2B-Instruct.
inline ModelFacts published_2b(DType stored = DType::bf16) {
  ModelFiles files;
  files.config.text = {.hidden_size = 2048,
                       .intermediate_size = 6144,
                       .num_hidden_layers = 28,
                       .num_attention_heads = 16,
                       .num_key_value_heads = 8,
                       .head_dim = 128,
                       .vocab_size = 151'936,
                       .max_position_embeddings = 262'144,
                       .mrope_section = {24, 20, 20},
                       .tie_word_embeddings = true};
  files.config.vision = {.hidden_size = 1024,
                         .intermediate_size = 4096,
                         .depth = 24,
                         .num_heads = 16,
                         .out_hidden_size = 2048,
                         .num_position_embeddings = 2304,
                         .deepstack_visual_indexes = {5, 11, 17}};
  files.image_preprocessor.max_pixels = 16'777'216;
  files.tensors = std::make_unique<AnyTensor>(stored);
  ModelFacts facts = model_facts(files);
  facts.file_bytes = 4'255'000'000;
  return facts;
}

/// Four cores of two threads, AVX2, 10.3 GB.
inline HardwareFacts laptop() {
  HardwareFacts facts{.processor = "Intel(R) Core(TM) i5-10210U CPU @ 1.60GHz",
                      .isas = {Isa::scalar, Isa::avx2},
                      .memory_bytes = 10'300'000'000,
                      .huge_pages = HugePageSupport::on_advice,
                      .cache_free_bytes = 100'000'000'000};
  for (int cpu = 0; cpu < 8; ++cpu) facts.cpus.push_back({.cpu = cpu, .core = cpu % 4});
  return facts;
}

inline PlanInputs inputs_at(int64_t level) {
  return {.model = published_2b(), .hardware = laptop(), .config = {.optimization_level = level}};
}

/// The outcome of the pass `name`.
inline const PassOutcome& outcome_of(const Resolution& resolution, std::string_view name) {
  for (const PassOutcome& outcome : resolution.outcomes) {
    if (outcome.name == name) return outcome;
  }
  throw std::out_of_range(std::string(name));
}

}  // namespace qvl
