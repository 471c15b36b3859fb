"""What transformers computes on the way, stage by stage, for values kept with the project.

    stages.py SAMPLES OUT CHECKPOINT [--rows N]

Writes OUT/<case>.npy, all stages of a case one after the other (float32), and OUT/manifest.json, which says where each
one lies: {"offset", "rows" of the whole stage, "kept" row numbers, "width"}. At most N rows of a stage are kept, evenly
spaced with both ends. The stages, in the order they are computed:

    pixels       patches as the vision tower gets them; their CRC-32 over all rows is in the manifest
    patches      after patch and position embedding
    block_0, block_last, merged, deepstack_0...    the vision tower; several media one after the other
    embedded     embeddings with visual tokens in place, what the first decoder layer gets
    layer_0      after the first decoder layer, its DeepStack level added
    hidden       after the last norm
    logits
"""
import argparse
import collections
import json
import pathlib
import zlib

import numpy as np
import torch

from reference import Reference


class Taps:
    """Collects tensors as they pass through the modules of a model."""

    def __init__(self, model):
        self.seen, self.handles = collections.defaultdict(list), []
        visual, text = model.model.visual, model.model.language_model
        self.before(visual.blocks[0], "patches")
        self.after(visual.blocks[0], "block_0")
        self.after(visual.blocks[-1], "block_last")
        self.after(visual.merger, "merged")
        for level, merger in enumerate(visual.deepstack_merger_list):
            self.after(merger, f"deepstack_{level}")
        self.before(text.layers[0], "embedded")
        self.before(text.layers[1], "layer_0")
        self.after(text.norm, "hidden")
        self.handles.append(text.rotary_emb.register_forward_pre_hook(
            lambda _, args, kwargs: self.seen["positions"].append(kwargs.get("position_ids", args[-1])),
            with_kwargs=True))

    def before(self, module, name):
        self.handles.append(module.register_forward_pre_hook(lambda _, args: self.keep(name, args[0])))

    def after(self, module, name):
        self.handles.append(module.register_forward_hook(lambda _, args, out: self.keep(name, out)))

    def keep(self, name, value):
        value = value[0] if isinstance(value, tuple) else value
        self.seen[name].append(value.reshape(-1, value.shape[-1]))

    def take(self):
        """Everything seen since the last call, pictures before videos, as arrays."""
        seen = {name: torch.cat(parts, -1 if name == "positions" else 0) for name, parts in self.seen.items()}
        self.seen.clear()
        return seen


def stage_values(reference, taps, inputs):
    """Name to array [rows, width], and the token positions [3, tokens]."""
    taps.seen.clear()
    logits = reference.forward(inputs)
    seen = taps.take()
    positions = seen.pop("positions").reshape(3, -1)
    pixels = [inputs[name] for name in ("pixel_values", "pixel_values_videos") if name in inputs]
    stages = {"pixels": torch.cat(pixels)} if pixels else {}
    stages |= seen | {"logits": logits}
    return {name: value.detach().numpy().astype(np.float32) for name, value in stages.items()}, positions


def keep_rows(stages, limit):
    """All stages in one array, and where each one lies in it."""
    places, parts, offset = {}, [], 0
    for name, values in stages.items():
        count = min(4 if name == "pixels" else limit, len(values))
        kept = np.unique(np.linspace(0, len(values) - 1, count).round().astype(int))
        places[name] = dict(offset=offset, rows=len(values), kept=kept.tolist(), width=values.shape[1])
        parts.append(values[kept].ravel())
        offset += parts[-1].size
    return np.concatenate(parts), places


def record(reference, taps, inputs, limit):
    """One case: its entry in the manifest, and its values."""
    stages, positions = stage_values(reference, taps, inputs)
    tokens, margins = reference.greedy(inputs)
    ended = tokens[-1] in reference.stop
    grids = [inputs[name].tolist() for name in ("image_grid_thw", "video_grid_thw") if name in inputs]
    values, places = keep_rows(stages, limit)
    entry = dict(ids=inputs["input_ids"][0].tolist(), positions=positions.tolist(), grids=sum(grids, []),
                 greedy=tokens[:-1] if ended else tokens, finish_reason="stop" if ended else "length",
                 margins=[float(f"{margin:.3g}") for margin in margins], stages=places)
    if "pixels" in stages:
        entry["pixels_crc32"] = zlib.crc32(np.ascontiguousarray(stages["pixels"]).tobytes())
    return entry, values


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("samples", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("--rows", type=int, default=1000)
    args = parser.parse_args()
    reference = Reference(args.checkpoint)
    taps, entries = Taps(reference.model), {}
    args.out.mkdir(parents=True, exist_ok=True)
    for name, case in json.loads((args.samples / "cases.json").read_text()).items():
        inputs = reference.inputs(case, args.samples)
        entry, values = record(reference, taps, inputs, args.rows)
        np.save(args.out / f"{name}.npy", values)
        entries[name] = dict(case, **entry)
        print(f"{args.checkpoint.name} {name}: {len(entry['ids'])} positions, {values.nbytes // 1024} KB, "
              f"smallest greedy margin {min(entry['margins']):.2g}")
    weights = zlib.crc32((args.checkpoint / "model.safetensors").read_bytes())
    (args.out / "manifest.json").write_text(json.dumps(dict(weights_crc32=weights, cases=entries),
                                                       ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
