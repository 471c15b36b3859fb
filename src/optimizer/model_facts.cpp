// The list of linear layers stands here in the order in which the model binds them; a test of the pipeline
// compares the sums with a loaded network.
#include "optimizer/model_facts.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/matmul/blocked_matmul.h"
#include "kernels/matmul/blocks.h"
#include "kernels/matmul/repack.h"
#include "memory/mapped_file.h"

namespace qvl {
namespace {

constexpr uint64_t kWeightAlignment = 64;

uint64_t u(int64_t value) {
  QVL_CHECK(value >= 0);
  return static_cast<uint64_t>(value);
}

struct NamedPart {
  std::string name;
  int64_t outputs;
};

class Reader {
 public:
  explicit Reader(const ModelFiles& files) : files_(files) {
    facts_.text = files.config.text;
    facts_.vision = files.config.vision;
    facts_.has_vision = files.config.has_vision;
    facts_.max_picture_pixels = files.image_preprocessor.max_pixels;
  }

  ModelFacts read() {
    text();
    if (facts_.has_vision) vision();
    for (const std::string& name : files_.tensors->names()) {
      facts_.file_bytes += files_.tensors->find(name)->bytes.size();
    }
    return std::move(facts_);
  }

 private:
  void linear(WeightPlace place, int64_t inputs, const std::vector<NamedPart>& parts) {
    LinearFacts layer{.place = place, .inputs = inputs};
    for (const NamedPart& part : parts) {
      const TensorView* found = files_.tensors->find(part.name + ".weight");
      if (found == nullptr) fail(ErrorCode::model_file, "1 tensor missing: {}.weight", part.name);
      layer.parts.push_back({.outputs = part.outputs, .stored = found->dtype});
    }
    facts_.linears.push_back(std::move(layer));
  }
  // Bytes of a tensor; 0 without it.
  uint64_t stored_bytes(std::string_view name) const {
    const TensorView* found = files_.tensors->find(name);
    return found == nullptr ? 0 : found->bytes.size();
  }
  void floats(int64_t count) { facts_.float_bytes += u(count) * sizeof(float); }

  void text() {
    const TextConfig& config = facts_.text;
    const auto place = WeightPlace::text;
    const uint64_t embedding = stored_bytes("model.language_model.embed_tokens.weight");
    const uint64_t row = embedding / std::max<uint64_t>(u(config.vocab_size), 1);
    const uint64_t rows = u(kMostMappedRows + kMostRefinedTokens * kRefinedLogits);
    facts_.mapped_bytes = std::min(embedding, rows * (row + MappedFile::kMappedAround));
    linear(
        place, config.hidden_size,
        {{config.tie_word_embeddings ? "model.language_model.embed_tokens" : "lm_head", config.vocab_size}});
    for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
      const std::string name = fmt::format("model.language_model.layers.{}.", i);
      linear(place, config.hidden_size,
             {{name + "self_attn.q_proj", config.query_width()},
              {name + "self_attn.k_proj", config.kv_width()},
              {name + "self_attn.v_proj", config.kv_width()}});
      linear(place, config.query_width(), {{name + "self_attn.o_proj", config.hidden_size}});
      linear(place, config.hidden_size,
             {{name + "mlp.gate_proj", config.intermediate_size},
              {name + "mlp.up_proj", config.intermediate_size}});
      linear(place, config.intermediate_size, {{name + "mlp.down_proj", config.hidden_size}});
    }
    floats(config.num_hidden_layers * 2 * (config.hidden_size + config.head_dim) + config.hidden_size);
  }

  void vision() {
    const VisionConfig& config = facts_.vision;
    for (int64_t i = 0; i < config.depth; ++i) {
      const std::string name = fmt::format("model.visual.blocks.{}.", i);
      biased(config.hidden_size, {name + "attn.qkv", 3 * config.hidden_size});
      biased(config.hidden_size, {name + "attn.proj", config.hidden_size});
      biased(config.hidden_size, {name + "mlp.linear_fc1", config.intermediate_size});
      biased(config.intermediate_size, {name + "mlp.linear_fc2", config.hidden_size});
      facts_.linears.back().finds_outlying = true;
      floats(4 * config.hidden_size);
    }
    merger("model.visual.merger", config.hidden_size);
    for (size_t i = 0; i < config.deepstack_visual_indexes.size(); ++i) {
      merger(fmt::format("model.visual.deepstack_merger_list.{}", i), config.merged_width());
    }
    // The patch embedding's bias, the table of positions, and kernels that a GGUF file keeps in pieces.
    floats(config.hidden_size * (1 + config.num_position_embeddings));
    facts_.mapped_bytes += stored_bytes("model.visual.patch_embed.proj.weight");
    if (files_.tensors->find("model.visual.patch_embed.proj.weight.0") != nullptr) {
      floats(config.hidden_size * config.patch_values());
    }
  }
  void merger(const std::string& name, int64_t norm_width) {
    const int64_t width = facts_.vision.merged_width();
    biased(width, {name + ".linear_fc1", width});
    biased(width, {name + ".linear_fc2", facts_.vision.out_hidden_size});
    facts_.linears.back().finds_outlying = true;
    floats(2 * norm_width);
  }
  void biased(int64_t inputs, const NamedPart& part) {
    linear(WeightPlace::vision, inputs, {part});
    floats(part.outputs);
  }

  const ModelFiles& files_;
  ModelFacts facts_;
};

WeightChoice choice_for(const LinearFacts& layer, const ModelForms& forms) {
  const WeightChoice chosen = layer.place == WeightPlace::vision ? forms.vision : forms.text;
  // The finest of the parts: they share one input.
  WeightChoice finest = WeightChoice::q4;
  for (const auto& part : layer.parts) finest = std::min(finest, resolved(chosen, layer.place, part.stored));
  return finest;
}

struct LayerBytes {
  std::vector<uint64_t> packed = {};  // of each weight that is packed
  uint64_t stored = 0;                // of those that are not
  uint64_t read = 0;                  // by one product, without the scales of inputs
};

LayerBytes bytes_of(const LinearFacts& layer, const ModelForms& forms) {
  const WeightChoice choice = choice_for(layer, forms);
  LayerBytes bytes;
  if (choice == WeightChoice::q8 || choice == WeightChoice::q4) {
    const WeightForm form =
        packed_form(choice, layer.place, common_type(layer.parts, &LinearFacts::Part::stored), forms.isa);
    const bool finds = layer.finds_outlying && keeps_rests(layer.parts, &LinearFacts::Part::stored, form);
    const int64_t groups = groups_of(layer.inputs) + (finds ? 1 : 0);
    bytes.read = u(panels_of(layer.outputs()) * groups * block_bytes(form));
    bytes.packed = {bytes.read + u(layer.inputs) * sizeof(float) +
                    (finds ? kMostRepeated * sizeof(int32_t) : 0)};
    return bytes;
  }
  for (const auto& part : layer.parts) {
    const uint64_t count = u(part.outputs * layer.inputs);
    if (choice == WeightChoice::bf16 && part.stored != DType::bf16) {
      bytes.packed.push_back(count * sizeof(uint16_t));
      bytes.read += bytes.packed.back();
    } else {
      bytes.stored += bytes_for(part.stored, count).value_or(0);
    }
  }
  bytes.read += bytes.stored;
  return bytes;
}

}  // namespace

int64_t LinearFacts::outputs() const {
  int64_t sum = 0;
  for (const Part& part : parts) sum += part.outputs;
  return sum;
}

int64_t ModelFacts::weights(WeightPlace place) const {
  int64_t sum = 0;
  for (const LinearFacts& layer : linears) {
    if (layer.place == place) sum += layer.outputs() * layer.inputs;
  }
  return sum;
}

ModelFacts model_facts(const ModelFiles& files) { return Reader(files).read(); }

uint64_t packed_bytes(const ModelFacts& model, const ModelForms& forms) {
  uint64_t end = 0;
  for (const LinearFacts& layer : model.linears) {
    for (uint64_t bytes : bytes_of(layer, forms).packed) {
      end = (end + kWeightAlignment - 1) / kWeightAlignment * kWeightAlignment + bytes;
    }
  }
  return end;
}

uint64_t stored_in_use_bytes(const ModelFacts& model, const ModelForms& forms) {
  uint64_t sum = model.mapped_bytes;
  for (const LinearFacts& layer : model.linears) sum += bytes_of(layer, forms).stored;
  return sum;
}

uint64_t decode_bytes(const ModelFacts& model, const ModelForms& forms) {
  uint64_t sum = 0;
  for (const LinearFacts& layer : model.linears) {
    if (layer.place == WeightPlace::text) sum += bytes_of(layer, forms).read;
  }
  return sum;
}

bool is_quantised(const ModelFacts& model, const ModelForms& forms, WeightPlace place) {
  return std::any_of(model.linears.begin(), model.linears.end(), [&](const LinearFacts& layer) {
    return layer.place == place && choice_for(layer, forms) >= WeightChoice::q8;
  });
}

}  // namespace qvl
