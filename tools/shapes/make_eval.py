"""Write a set of pictures and questions with their right answers.

    make_eval.py OUT --seed 7 --count 1000 [--pairs 50] [--videos 50]

OUT gets the pictures (PNG and JPEG) and questions.jsonl, one object a line: kind, images, videos, question, answer.
Every picture serves one question.  Needs numpy and Pillow only; for --videos ffmpeg too, which writes MP4 files and
decodes them again into .npy files beside them, so that an evaluation without a video decoder sees the same frames.
Seeds below 10,000,000 are never used in training; with --videos the seed lies below 10,000, for its thousandfold is that
of the first video.
"""
import argparse
import json
import pathlib
import subprocess

import numpy as np
from PIL import Image

import video
from draw import draw_scene, make_scene
from extras_questions import pair_questions
from questions import make_questions, strip_marks

KINDS = ["describe", "describe", "colour", "shape", "digit", "count", "background", "position", "relation", "yes_no",
         "beside", "exists", "size", "order"]


def one_question(rng, kind):
    """A scene and a question of this kind about it."""
    while True:
        scene = make_scene(rng)
        made = make_questions(rng, scene, [kind])
        if made:
            return scene, made[0][1], made[0][2]


def save(rng, scene, out, name):
    """Paint the scene into a PNG or JPEG file; returns its name."""
    jpeg = rng.random() < 0.3
    name += ".jpg" if jpeg else ".png"
    Image.fromarray(draw_scene(rng, scene)).save(out / name, **(dict(quality=88) if jpeg else {}))
    return name


def line(kind, images, videos, question, answer):
    return json.dumps(dict(kind=kind, images=images, videos=videos, question=strip_marks(question)[0],
                           answer=strip_marks(answer)[0]))


def pair_lines(rng, out, count):
    """Questions about two pictures each."""
    for number in range(count):
        scenes = [make_scene(rng), make_scene(rng)]
        made = pair_questions(rng, scenes)
        kind, question, answer, _ = made[number % len(made)]
        images = [save(rng, scene, out, f"pair{number + 1:03d}{letter}") for scene, letter in zip(scenes, "ab")]
        yield line(kind, images, [], question, answer)


def video_lines(rng, out, count, seed):
    """Questions about one video each."""
    for number in range(count):
        name, made = video.write(out, seed * 1000 + number)
        kind, question, answer = made[number % len(made)]
        target = f"video{number + 1:03d}.mp4"
        (out / name).rename(out / target)
        probe = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries",
                                "stream=width,height", "-of", "csv=p=0", str(out / target)], capture_output=True,
                               text=True, check=True)
        width, height = map(int, probe.stdout.strip().split(","))
        raw = subprocess.run(["ffmpeg", "-v", "error", "-i", str(out / target), "-f", "rawvideo", "-pix_fmt", "rgb24",
                              "-"], capture_output=True, check=True).stdout
        np.save(out / target.replace(".mp4", ".npy"), np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3))
        yield line(kind, [], [target], question, answer)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=pathlib.Path)
    for name, default in (("seed", 7), ("count", 1000), ("pairs", 0), ("videos", 0)):
        parser.add_argument("--" + name, type=int, default=default)
    args = parser.parse_args()
    # Each video has a seed of its own, made from this one.
    limit = 10_000 if args.videos else 10_000_000
    if not 0 <= args.seed < limit:
        parser.error(f"the seed must lie below {limit:,}" + (" where there are videos" if args.videos else ""))
    args.out.mkdir(parents=True, exist_ok=True)
    rng, lines = np.random.default_rng(args.seed), []
    for number in range(args.count):
        kind = KINDS[number % len(KINDS)]
        scene, question, answer = one_question(rng, kind)
        lines.append(line(kind, [save(rng, scene, args.out, f"{number + 1:04d}")], [], question, answer))
    lines += pair_lines(rng, args.out, args.pairs)
    lines += video_lines(rng, args.out, args.videos, args.seed)
    (args.out / "questions.jsonl").write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} questions in {args.out}")


if __name__ == "__main__":
    main()
