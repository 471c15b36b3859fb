#!/usr/bin/env python3
"""Writes the golden values of resizing, patches and video sampling: make_resize_golden.py > tests/golden/media.json

Needs transformers 5.12, torch and torchvision. Pixels come from a generator the tests know too; of results only the
FNV-1a hash of all bytes is kept, so equality is equality of every bit.
"""
import json
import math
import random
import sys

import numpy as np
import torch
from torchvision.transforms.v2 import functional as tv
from transformers import Qwen2VLImageProcessor, Qwen3VLVideoProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize
from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize as video_resize
from transformers.video_utils import VideoMetadata

COMMON = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def pixels(height, width, seed):
    """[height, width, 3] from a linear congruential generator, every third value an extreme."""
    state = seed
    values = bytearray()
    for i in range(height * width * 3):
        state = (state * 1664525 + 1013904223) % 2**32
        values.append(state >> 24 if i % 3 else 255 * (state >> 31))
    return torch.frombuffer(values, dtype=torch.uint8).reshape(height, width, 3).permute(2, 0, 1)


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def hash_of(tensor):
    return fnv1a(np.ascontiguousarray(tensor.numpy()).tobytes())


def resizes():
    sizes = [((1, 1), (32, 32)), ((1, 9), (32, 64)), ((9, 1), (96, 32)), ((7, 9), (32, 32)), ((33, 47), (224, 320)),
             ((48, 80), (32, 64)), ((48, 80), (48, 64)), ((48, 80), (96, 80)), ((100, 100), (32, 32)),
             ((97, 101), (64, 96)), ((64, 64), (63, 65)), ((5, 300), (32, 32)), ((300, 5), (32, 32)),
             ((120, 90), (32, 160)), ((31, 33), (32, 32)), ((257, 3), (32, 96)), ((64, 96), (64, 96)),
             ((150, 149), (128, 160)), ((20, 200), (32, 96)), ((2, 2), (128, 32))]
    for seed, (before, after) in enumerate(sizes):
        image = pixels(*before, seed)
        out = tv.resize(image, list(after), interpolation=tv.InterpolationMode.BICUBIC, antialias=True)
        yield {"seed": seed, "from": before, "to": after, "hash": hash_of(out.permute(1, 2, 0))}


def smart_resizes():
    rng = random.Random(1)
    for _ in range(80):
        height = rng.choice([1, 16, 20, 31, 33, 48, 100]) if rng.random() < 0.3 else rng.randint(1, 6000)
        width = rng.randint(max(1, math.ceil(height / 200)), min(6000, height * 200))
        budget = rng.choice([(65536, 16777216), (4096, 262144), (3136, 50000)])
        yield [height, width, *budget, *smart_resize(height, width, 32, *budget)]


def video_resizes():
    rng = random.Random(2)
    for _ in range(60):
        height = rng.randint(32, 2200)
        width = rng.randint(max(32, math.ceil(height / 200)), min(4000, height * 200))
        frames = rng.choice([1, 2, 3, 4, 5, 20, 33, 120, 767, 768])
        yield [frames, height, width, *video_resize(frames, height, width, 2, 32, 4096, 25165824)]


def samplings(processor):
    rng = random.Random(3)
    for _ in range(60):
        total = rng.choice([1, 2, 3, 4, 5, 7, 100, 300]) if rng.random() < 0.5 else rng.randint(1, 3000)
        rate = rng.choice([1.0, 10.0, 23.976, 24.0, 25.0, 29.97, 30.0, 60.0, 1000.0, 0.5])
        wanted = rng.choice([2.0, 1.0, 0.5, 4.0])
        metadata = VideoMetadata(total_num_frames=total, fps=rate)
        frames = processor.sample_frames(metadata, fps=wanted).tolist()
        text = ",".join(map(str, frames))
        yield {"total": total, "rate": rate, "fps": wanted, "count": len(frames), "hash": fnv1a(text.encode())}


def image_patches():
    processor = Qwen2VLImageProcessor(size={"shortest_edge": 4096, "longest_edge": 20000}, **COMMON)
    for seed, size in enumerate([(33, 47), (64, 64), (10, 90), (200, 150)]):
        out = processor(images=[pixels(*size, seed)], return_tensors="pt", input_data_format="channels_first")
        yield {"seed": seed, "size": size, "grid": out["image_grid_thw"][0].tolist(), "hash": hash_of(out["pixel_values"])}


def video_patches(processor):
    for count, size in [(1, (64, 64)), (2, (40, 50)), (5, (40, 50)), (6, (96, 33))]:
        frames = torch.stack([pixels(*size, seed) for seed in range(count)])
        out = processor(videos=[frames], do_sample_frames=False, return_tensors="pt")
        yield {"frames": count, "size": size, "grid": out["video_grid_thw"][0].tolist(),
               "hash": hash_of(out["pixel_values_videos"])}


def main():
    processor = Qwen3VLVideoProcessor(size={"shortest_edge": 4096, "longest_edge": 25165824}, **COMMON)
    golden = {"resize": list(resizes()), "smart_resize": list(smart_resizes()), "video_resize": list(video_resizes()),
              "sampling": list(samplings(processor)), "image_patches": list(image_patches()),
              "video_patches": list(video_patches(processor))}
    lines = [f' "{name}": [\n  ' + ",\n  ".join(json.dumps(row) for row in rows) + "\n ]" for name, rows in golden.items()]
    sys.stdout.write("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
