"""Turn GGUF files back into a Hugging Face checkpoint in float32: gguf_dequantise.py ORIGINAL OUT TEXT.gguf VISION.gguf

The weights of OUT are exactly those the GGUF files stand for, decoded by the gguf package, under the names and with the
configuration of ORIGINAL. A program that reads the GGUF files must give the logits of OUT, up to the order of sums.
Needs the packages gguf, safetensors and numpy.
"""
import argparse
import pathlib
import shutil

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.numpy import load_file, save_file

TEXT = {"token_embd": "model.language_model.embed_tokens", "output_norm": "model.language_model.norm",
        "output": "lm_head"}
LAYER = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
         "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm", "ffn_gate": "mlp.gate_proj",
         "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
VISION = {"v.patch_embd": "patch_embed.proj", "v.position_embd": "pos_embed", "v.post_ln": "merger.norm",
          "mm.0": "merger.linear_fc1", "mm.2": "merger.linear_fc2"}
BLOCK = {"ln1": "norm1", "ln2": "norm2", "attn_qkv": "attn.qkv", "attn_out": "attn.proj", "ffn_up": "mlp.linear_fc1",
         "ffn_down": "mlp.linear_fc2"}
DEEPSTACK = {"norm": "norm", "fc1": "linear_fc1", "fc2": "linear_fc2"}


def read(path):
    """Name to float32 values, outermost dimension first; and the storage types in use."""
    tensors = GGUFReader(path).tensors
    values = {t.name: dequantize(t.data, t.tensor_type).astype(np.float32).reshape(t.shape[::-1].tolist())
              for t in tensors}
    return values, sorted({t.tensor_type.name for t in tensors})


def original_name(name, levels):
    """A GGUF name as Hugging Face spells it. `levels`: the vision blocks with a DeepStack merger, in order."""
    stem, _, ending = name.rpartition(".")
    parts = stem.split(".")
    if parts[0] == "blk":
        return f"model.language_model.layers.{parts[1]}.{LAYER['.'.join(parts[2:])]}.{ending}"
    if parts[:2] == ["v", "blk"]:
        return f"model.visual.blocks.{parts[2]}.{BLOCK[parts[3]]}.{ending}"
    if parts[:2] == ["v", "deepstack"]:
        return f"model.visual.deepstack_merger_list.{levels.index(int(parts[2]))}.{DEEPSTACK[parts[3]]}.{ending}"
    return f"{TEXT[stem]}.{ending}" if stem in TEXT else f"model.visual.{VISION[stem]}.{ending}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("original", "out", "text", "vision"):
        parser.add_argument(name, type=pathlib.Path)
    args = parser.parse_args()
    original = load_file(args.original / "model.safetensors")
    text, text_types = read(args.text)
    vision, vision_types = read(args.vision)
    frames = [vision.pop("v.patch_embd.weight"), vision.pop("v.patch_embd.weight.1")]
    levels = sorted({int(name.split(".")[2]) for name in vision if name.startswith("v.deepstack.")})
    found = {original_name(name, levels): values for name, values in (text | vision).items()}
    found["model.visual.patch_embed.proj.weight"] = np.stack(frames, 2)
    if found.keys() != original.keys():
        raise SystemExit(f"names differ: {sorted(found.keys() ^ original.keys())}")
    largest = 0.0
    for name, values in found.items():
        if values.shape != original[name].shape:
            raise SystemExit(f"{name}: found {values.shape}, expected {original[name].shape}")
        spread = float(np.abs(original[name].astype(np.float32)).max())
        largest = max(largest, float(np.abs(values - original[name].astype(np.float32)).max()) / spread)
    args.out.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(values) for name, values in found.items()}, args.out / "model.safetensors",
              metadata={"format": "pt"})
    for file in args.original.glob("*.json"):
        shutil.copy(file, args.out)
    print(f"{args.text.name}: {' '.join(text_types)}; {args.vision.name}: {' '.join(vision_types)}; "
          f"rounding up to {largest:.1e} of a tensor's largest value")


if __name__ == "__main__":
    main()
