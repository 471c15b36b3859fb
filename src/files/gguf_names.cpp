#include "files/gguf_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <span>

namespace qvl {
namespace {

struct Renaming {
  std::string_view gguf;
  std::string_view hugging_face;
};

constexpr Renaming text_names[] = {
    {"token_embd.weight", "model.language_model.embed_tokens.weight"},
    {"output_norm.weight", "model.language_model.norm.weight"},
    {"output.weight", "lm_head.weight"},
};

constexpr Renaming text_block_names[] = {
    {"attn_norm.weight", "input_layernorm.weight"},    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_k.weight", "self_attn.k_proj.weight"},      {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"}, {"attn_q_norm.weight", "self_attn.q_norm.weight"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight"}, {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},       {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
};

constexpr Renaming vision_names[] = {
    {"v.patch_embd.weight", "model.visual.patch_embed.proj.weight.0"},
    {"v.patch_embd.weight.1", "model.visual.patch_embed.proj.weight.1"},
    {"v.patch_embd.bias", "model.visual.patch_embed.proj.bias"},
    {"v.position_embd.weight", "model.visual.pos_embed.weight"},
    {"v.post_ln.weight", "model.visual.merger.norm.weight"},
    {"v.post_ln.bias", "model.visual.merger.norm.bias"},
    {"mm.0.weight", "model.visual.merger.linear_fc1.weight"},
    {"mm.0.bias", "model.visual.merger.linear_fc1.bias"},
    {"mm.2.weight", "model.visual.merger.linear_fc2.weight"},
    {"mm.2.bias", "model.visual.merger.linear_fc2.bias"},
};

// Parts of vision blocks and deepstack mergers, each with a weight and a bias.
constexpr Renaming vision_block_parts[] = {
    {"ln1", "norm1"},
    {"ln2", "norm2"},
    {"attn_qkv", "attn.qkv"},
    {"attn_out", "attn.proj"},
    {"ffn_up", "mlp.linear_fc1"},
    {"ffn_down", "mlp.linear_fc2"},
};
constexpr Renaming deepstack_parts[] = {{"norm", "norm"}, {"fc1", "linear_fc1"}, {"fc2", "linear_fc2"}};

std::optional<std::string_view> look_up(std::span<const Renaming> table, std::string_view name) {
  auto row = std::find_if(table.begin(), table.end(), [&](const Renaming& r) { return r.gguf == name; });
  if (row == table.end()) return std::nullopt;
  return row->hugging_face;
}

// "PREFIX.NUMBER.REST" taken apart.
struct Numbered {
  int64_t number = 0;
  std::string_view rest;
};

std::optional<Numbered> numbered(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  Numbered result;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), result.number);
  bool canonical = error == std::errc() && result.number >= 0 &&
                   name.starts_with(std::to_string(result.number) + ".");  // one spelling for one number
  if (!canonical) return std::nullopt;
  result.rest = name.substr(static_cast<size_t>(end - name.data()) + 1);
  return result;
}

// "PART.weight" or "PART.bias" with the part renamed.
std::optional<std::string> renamed_part(std::span<const Renaming> table, std::string_view name) {
  size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  std::string_view kind = name.substr(dot + 1);
  auto part = look_up(table, name.substr(0, dot));
  if (!part || (kind != "weight" && kind != "bias")) return std::nullopt;
  return fmt::format("{}.{}", *part, kind);
}

}  // namespace

std::string text_tensor_name(std::string_view gguf_name) {
  if (auto name = look_up(text_names, gguf_name)) return std::string(*name);
  if (auto block = numbered(gguf_name, "blk.")) {
    if (auto name = look_up(text_block_names, block->rest)) {
      return fmt::format("model.language_model.layers.{}.{}", block->number, *name);
    }
  }
  return std::string(gguf_name);
}

std::string vision_tensor_name(std::string_view gguf_name,
                               const std::vector<int64_t>& deepstack_visual_indexes) {
  if (auto name = look_up(vision_names, gguf_name)) return std::string(*name);
  if (auto block = numbered(gguf_name, "v.blk.")) {
    if (auto part = renamed_part(vision_block_parts, block->rest)) {
      return fmt::format("model.visual.blocks.{}.{}", block->number, *part);
    }
  }
  if (auto merger = numbered(gguf_name, "v.deepstack.")) {
    auto place = std::find(deepstack_visual_indexes.begin(), deepstack_visual_indexes.end(), merger->number);
    auto part = renamed_part(deepstack_parts, merger->rest);
    if (part && place != deepstack_visual_indexes.end()) {
      return fmt::format("model.visual.deepstack_merger_list.{}.{}", place - deepstack_visual_indexes.begin(),
                         *part);
    }
  }
  return std::string(gguf_name);
}

}  // namespace qvl
