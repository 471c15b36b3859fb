#!/usr/bin/env python3
"""Compares the pixel values of qvl with those of transformers' Qwen2VLImageProcessor on 40 seeded pictures.

    pixels.py --qvl build/release/apps/cli/qvl --model MODEL --work FOLDER [--reference "COMMAND..."]

MODEL is a folder with preprocessor_config.json. FOLDER, below the current one, receives the pictures and values.
`--reference` is put before the Python command that needs numpy, torch, torchvision, Pillow and transformers, for an
environment of its own; the current folder must be its working folder there.

Prints one line for each picture and fails where a grid differs or a value differs by more than --tolerance.
"""
import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys

# (height, width, mode): tiny ones are enlarged, the longest ratio is 200, two are as large as a camera's.
CASES = [
    (1, 1, "RGB"), (1, 200, "RGB"), (200, 1, "RGB"), (2, 3, "RGB"), (7, 5, "L"), (16, 16, "RGB"), (31, 33, "RGBA"),
    (32, 32, "RGB"), (33, 47, "RGB"), (48, 80, "RGB"), (100, 100, "P"), (224, 224, "RGB"), (255, 257, "RGB"),
    (256, 256, "RGB"), (256, 255, "RGB"), (255, 256, "LA"), (320, 320, "RGB"), (480, 640, "RGB"), (640, 480, "RGB"),
    (479, 641, "RGB"), (20, 3000, "RGB"), (3000, 20, "RGB"), (17, 3400, "RGB"), (3000, 15, "RGB"), (64, 5000, "RGB"),
    (333, 777, "L"), (777, 333, "RGB"), (500, 500, "RGBA"), (512, 768, "RGB"), (600, 801, "RGB"), (719, 1279, "RGB"),
    (1080, 1920, "RGB"), (1021, 1019, "RGB"), (90, 1440, "P"), (1440, 91, "RGB"), (12, 12, "RGB"), (129, 127, "RGB"),
    (4500, 6001, "RGB"), (3000, 4000, "RGB"), (271, 1000, "RGB"),
]


def picture(index, height, width, mode):
    """Noise, smooth gradients and hard edges by turns: each shows another kind of mistake."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(1000 + index)
    y, x = np.mgrid[0:height, 0:width]
    if index % 3 == 0:
        rgb = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    elif index % 3 == 1:
        waves = [np.sin(x / (3 + 7 * c) + c) * np.cos(y / (5 + 3 * c)) for c in range(3)]
        rgb = np.stack([127.5 + 127.4 * wave for wave in waves], -1).astype(np.uint8)
    else:
        rgb = np.where(((x // 3 + y // 5) % 2)[..., None] == 0, (255, 0, 40), (0, 255, 210)).astype(np.uint8)
        rgb[random.random((height, width)) < 0.02] = (255, 255, 255)
    image = Image.fromarray(rgb)
    if mode == "P":
        return image.quantize(64)
    if mode in ("RGBA", "LA"):
        image = image.convert("RGB" if mode == "RGBA" else "L")
        image.putalpha(Image.fromarray(random.integers(0, 256, (height, width), dtype=np.uint8)))
        return image
    return image.convert(mode)


def make(folder):
    """Runs in the reference environment: pictures and their reference values."""
    import numpy as np
    from PIL import Image
    from transformers import Qwen2VLImageProcessorFast

    processor = Qwen2VLImageProcessorFast.from_pretrained(folder)
    for index, (height, width, mode) in enumerate(CASES):
        path = os.path.join(folder, f"{index:02}.png")
        picture(index, height, width, mode).save(path, compress_level=1)
        values = processor(images=[Image.open(path).convert("RGB")], return_tensors="np")
        np.save(os.path.join(folder, f"{index:02}.reference.npy"), values["pixel_values"])
        with open(os.path.join(folder, f"{index:02}.reference.json"), "w") as out:
            json.dump({"grid": values["image_grid_thw"][0].tolist()}, out)


def compare(folder, tolerance):
    """Runs in the reference environment, for numpy: prints the table, returns whether all agree."""
    import numpy as np

    good = True
    for index, (height, width, mode) in enumerate(CASES):
        base = os.path.join(folder, f"{index:02}")
        grids = [json.load(open(f"{base}.{who}.json"))["grid"] for who in ("reference", "qvl")]
        expected, found = (np.load(f"{base}.{who}.npy", mmap_mode="r") for who in ("reference", "qvl"))
        if grids[0] != grids[1] or expected.shape != found.shape:
            print(f"{height}x{width} {mode}: grid {grids[1]}, expected {grids[0]}")
            good = False
            continue
        difference = np.abs(expected - found)
        worst = float(difference.max())
        good &= bool(worst <= tolerance)
        print(f"{height}x{width} {mode}: grid {grids[0]}, worst difference {worst:.3g}, "
              f"{int((difference > 0).sum())} of {difference.size} values differ")
    return good


def run(arguments):
    os.makedirs(arguments.work, exist_ok=True)
    config = os.path.join(arguments.model, "preprocessor_config.json")
    shutil.copyfile(config, os.path.join(arguments.work, "preprocessor_config.json"))
    script = os.path.join(arguments.work, "pixels.py")
    shutil.copyfile(__file__, script)
    reference = shlex.split(arguments.reference) + ["python3", script, "--work", arguments.work]
    subprocess.run([*reference, "--stage", "make"], check=True)
    for index in range(len(CASES)):
        base = os.path.join(arguments.work, f"{index:02}")
        command = [arguments.qvl, "pixels", "--model", arguments.model, "--image", f"{base}.png",
                   "--output", f"{base}.qvl.npy"]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        with open(f"{base}.qvl.json", "w") as out:
            json.dump({"grid": json.loads(printed)["grid"]}, out)
    tolerance = ["--tolerance", str(arguments.tolerance)]
    return subprocess.run([*reference, "--stage", "compare", *tolerance]).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qvl", default="qvl", help="the qvl program")
    parser.add_argument("--model", default=".", help="folder with preprocessor_config.json")
    parser.add_argument("--work", required=True, help="folder for pictures and values, below the current one")
    parser.add_argument("--reference", default="", help="command that runs another in the reference environment")
    parser.add_argument("--tolerance", type=float, default=1e-6)
    parser.add_argument("--stage", choices=["all", "make", "compare"], default="all")
    arguments = parser.parse_args()
    if arguments.stage == "make":
        make(arguments.work)
        return 0
    if arguments.stage == "compare":
        return 0 if compare(arguments.work, arguments.tolerance) else 1
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
