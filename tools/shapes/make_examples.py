"""Write the sample pictures of the project: make_examples.py ../../examples

A dozen pictures in PNG, JPEG and WebP, of many sizes, some made to look photographed, and expected.json with the true
description of each and one question with its answer.  With ffmpeg also two videos.  The seeds are never trained on.
"""
import argparse
import json
import pathlib
import shutil

import numpy as np
from PIL import Image

import video
from draw import draw_scene, make_scene
from questions import Scene, describe, make_questions, noun, strip_marks

SEED = 5_000_000
# file type, objects, scale of the picture against the size the model sees, photographed, kind of question
WANTED = [("png", 1, 1.0, False, "colour"), ("png", 2, 1.0, False, "relation"), ("jpg", 2, 1.6, True, "yes_no"),
          ("webp", 3, 1.0, False, "count"), ("jpg", 1, 2.0, True, "digit"), ("png", 4, 1.3, False, "position"),
          ("jpg", 3, 1.7, True, "shape"), ("webp", 2, 0.8, False, "beside"), ("png", 3, 2.2, False, "order"),
          ("jpg", 4, 1.5, True, "exists"), ("png", 2, 1.2, False, "size"), ("jpg", 2, 1.0, True, "digit"),
          ("webp", 1, 1.5, True, "background"), ("png", 4, 1.0, False, "colour")]


def find_scene(number, objects, kind):
    """The first seed of this number whose scene has that many objects and answers the question."""
    for seed in range(SEED + number * 1000, SEED + number * 1000 + 1000):
        rng = np.random.default_rng(seed)
        scene = make_scene(rng)
        made = make_questions(rng, scene, [kind])
        if len(scene["objects"]) == objects and made:
            return rng, scene, made[0]
    raise RuntimeError("no scene found")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    expected = {}
    for number, (kind_of_file, objects, scale, photographed, kind) in enumerate(WANTED):
        rng, scene, (_, question, answer) = find_scene(number, objects, kind)
        size = tuple(int(round(s * scale)) for s in scene["model"])
        picture = Image.fromarray(draw_scene(rng, scene, size, rough=photographed))
        name = "-".join([noun(o).replace(" ", "-") for o in scene["objects"]][:2]) + f".{kind_of_file}"
        options = dict(png={}, jpg=dict(quality=85), webp=dict(quality=90))[kind_of_file]
        picture.save(args.out / name, **options)
        description = describe(Scene(scene, np.random.default_rng(0)))[1]
        expected[name] = dict(description=strip_marks(description)[0], question=strip_marks(question)[0],
                              answer=strip_marks(answer)[0], size=f"{size[1]}x{size[0]}")
    if shutil.which("ffmpeg"):
        for number in range(2):
            name, (described, asked, _) = video.write(args.out, SEED + 900_000 + number)
            expected[name] = dict(description=described[2], question=asked[1], answer=asked[2])
    (args.out / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    main()
