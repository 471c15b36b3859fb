"""Paint the training pictures ahead of time, sorted by the size the model sees them at.

    render.py OUT --shards 20 --each 4000 [--first 0]

Shard number s is made from the seed TRAIN_SEED + s alone.  A shard is one pickle of scenes and, for each size, one
.npy of uint8 pictures that the training maps into memory.
"""
import argparse
import pathlib
import pickle

import numpy as np
from PIL import Image

from draw import draw_scene, make_scene

TRAIN_SEED = 50_000_000      # evaluation and examples use seeds below 10,000,000


def model_view(rng, scene):
    """The scene's picture at the model's size, resized as the image processor would."""
    picture = draw_scene(rng, scene)
    height, width = scene["model"]
    if picture.shape[:2] != (height, width):
        picture = np.asarray(Image.fromarray(picture).resize((width, height), Image.BICUBIC))
    return picture


def render_shard(out, shard, each):
    """Write one shard of `each` pictures."""
    rng, buckets = np.random.default_rng(TRAIN_SEED + shard), {}
    for _ in range(each):
        scene = make_scene(rng)
        pictures, scenes = buckets.setdefault(scene["model"], ([], []))
        pictures.append(model_view(rng, scene))
        scenes.append(scene)
    for size, (pictures, _) in buckets.items():
        np.save(out / f"{shard:03d}-{size[0]}x{size[1]}.npy", np.stack(pictures))
    part = out / f"{shard:03d}.part"
    part.write_bytes(pickle.dumps({size: scenes for size, (_, scenes) in buckets.items()}))
    part.rename(out / f"{shard:03d}.pickle")          # last, so that a reader sees whole shards only


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--each", type=int, default=4000)
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for shard in range(args.first, args.first + args.shards):
        render_shard(args.out, shard, args.each)
        print(f"shard {shard} done", flush=True)


if __name__ == "__main__":
    main()
