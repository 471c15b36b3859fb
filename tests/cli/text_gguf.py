"""Writes the text half of a safetensors folder as a GGUF file, as llama.cpp's converter does: without its vision file."""

import json
import pathlib
import struct

U32, I32, F32, STRING, ARRAY = 4, 5, 6, 8, 9
TYPES = {"F32": 0, "F16": 1, "BF16": 30}
BLOCK = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
         "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
OTHERS = {"model.language_model.embed_tokens": "token_embd", "model.language_model.norm": "output_norm",
          "lm_head": "output"}
ALIGNMENT = 32


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def array(kind, values):
    pack = string if kind == STRING else lambda value: struct.pack("<i", value)
    return struct.pack("<IQ", kind, len(values)) + b"".join(map(pack, values))


def key(name, kind, value):
    packed = {U32: lambda: struct.pack("<I", value), F32: lambda: struct.pack("<f", value),
              STRING: lambda: string(value), ARRAY: lambda: array(*value)}[kind]()
    return string(name) + struct.pack("<I", kind) + packed


def gguf_name(name):
    stem, kind = name.rsplit(".", 1)
    layers = "model.language_model.layers."
    if not stem.startswith(layers):
        return f"{OTHERS[stem]}.{kind}"
    number, rest = stem[len(layers):].split(".", 1)
    return f"blk.{number}.{BLOCK[rest]}.{kind}"


def metadata(folder):
    whole = json.loads((folder / "config.json").read_text())
    config = whole["text_config"]
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokens = {i: (f"[PAD{i}]", 5) for i in range(config["vocab_size"])}  # unused
    tokens |= {i: (piece, 1) for piece, i in tokenizer["model"]["vocab"].items()}
    tokens |= {token["id"]: (token["content"], 3 if token["special"] else 4) for token in tokenizer["added_tokens"]}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    rope = config["rope_parameters"]
    numbers = {"block_count": "num_hidden_layers", "context_length": "max_position_embeddings",
               "embedding_length": "hidden_size", "feed_forward_length": "intermediate_size",
               "attention.head_count": "num_attention_heads", "attention.head_count_kv": "num_key_value_heads",
               "attention.key_length": "head_dim", "attention.value_length": "head_dim"}
    keys = [key("general.architecture", STRING, "qwen3vl")]
    keys += [key(f"qwen3vl.{name}", U32, config[ours]) for name, ours in numbers.items()]
    keys += [key("qwen3vl.attention.layer_norm_rms_epsilon", F32, config["rms_norm_eps"]),
             key("qwen3vl.rope.freq_base", F32, rope["rope_theta"]),
             key("qwen3vl.rope.dimension_sections", ARRAY, (I32, [*rope["mrope_section"], 0])),
             key("qwen3vl.n_deepstack_layers", U32, len(whole["vision_config"]["deepstack_visual_indexes"])),
             key("tokenizer.ggml.model", STRING, "gpt2"), key("tokenizer.ggml.pre", STRING, "qwen2"),
             key("tokenizer.ggml.tokens", ARRAY, (STRING, [tokens[i][0] for i in sorted(tokens)])),
             key("tokenizer.ggml.token_type", ARRAY, (I32, [tokens[i][1] for i in sorted(tokens)])),
             key("tokenizer.ggml.merges", ARRAY, (STRING, merges)),
             key("tokenizer.ggml.eos_token_id", U32, config["eos_token_id"])]
    return keys


def write_text_gguf(folder, path):
    """`folder` has one file of weights. Returns `path`."""
    data = (folder / "model.safetensors").read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    tensors = [(name, tensor) for name, tensor in json.loads(data[8:begin]).items()
               if name != "__metadata__" and not name.startswith("model.visual.")]
    keys = metadata(folder)
    infos, values = b"", b""
    for name, tensor in tensors:
        first, end = tensor["data_offsets"]
        infos += string(gguf_name(name)) + struct.pack("<I", len(tensor["shape"]))
        infos += b"".join(struct.pack("<Q", size) for size in reversed(tensor["shape"]))
        infos += struct.pack("<IQ", TYPES[tensor["dtype"]], len(values))
        values += data[begin + first:begin + end]
        values += b"\0" * (-len(values) % ALIGNMENT)
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys) + infos
    pathlib.Path(path).write_bytes(header + b"\0" * (-len(header) % ALIGNMENT) + values)
    return path
