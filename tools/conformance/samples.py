"""Draw the pictures and videos that both sides are asked about: samples.py OUT [--variant N] [--small]

Writes PNG files, losslessly encoded videos, their frames as .npy and cases.json, the list of questions. What is drawn
depends on the variant alone. Needs numpy and ffmpeg. The frames are read back through ffmpeg and must be those drawn,
so that a difference found later is never the codec's.
"""
import argparse
import json
import pathlib
import subprocess

import numpy as np

TEXT = ("Compare the pictures: which has more colours, and why? Ça va — 你好, 12345 items\n\n\tand a tab; "
        "don't stop, it's \"fine\" (really)…")


# Sizes as (height, width), each a range; videos as frames, height, width, frames per second. Sampled are 8 or 7 frames
# of the first video and 4 of the second: an odd count repeats the last one.
FULL = {"plain": (200, 300), "a": ((40, 120), (250, 400)), "b": ((300, 420), (90, 200)), "c": ((256, 330), (256, 330)),
        "first": (24, (64, 100), (90, 140), 6), "second": (9, 64, 96, 8)}
SMALL = {"plain": (50, 70), "a": (33, 97), "b": (100, 40), "c": (64, 64),
         "first": (21, 40, 56, 6), "second": (9, 32, 48, 8)}


def draw(rng, height, width, shift=0.0):
    """Waves, an edge and noise: something at every scale. uint8 [height, width, 3]"""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = [127 * (1 + np.sin((x * a + y * b) / c + shift)) for a, b, c in rng.uniform(-1, 1, (3, 3)) * [1, 1, 30]]
    picture = np.stack(waves, -1) + rng.normal(0, 12, (height, width, 3))
    top, left = (rng.uniform(0.1, 0.5, 2) * [height, width]).astype(int)
    moved = left + int(3 * shift)
    picture[top:top + height // 3, moved:moved + width // 4] = rng.integers(0, 256, 3)
    return picture.clip(0, 255).astype(np.uint8)


def ffmpeg(arguments, data=b""):
    command = ["ffmpeg", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def raw_input(height, width, rate):
    return ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate, "-i", "-"]


def write_picture(path, picture):
    height, width, _ = picture.shape
    ffmpeg([*raw_input(height, width, 1), "-frames:v", 1, "-f", "image2", "-c:v", "png", path], picture.tobytes())


def write_video(path, frames, rate):
    _, height, width, _ = frames.shape
    codec = ["-c:v", "libx264rgb", "-qp", 0] if path.suffix == ".mp4" else ["-c:v", "ffv1", "-pix_fmt", "bgr0"]
    ffmpeg([*raw_input(height, width, rate), *codec, path], frames.tobytes())


def read_video(path, height, width):
    """All frames. uint8 [frames, height, width, 3]"""
    decoded = ffmpeg(["-i", path, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
    return np.frombuffer(decoded, np.uint8).reshape(-1, height, width, 3)


def write_frames(folder, cases):
    """The frames of all videos as the reference reads them, beside the videos."""
    for video in (video for case in cases.values() for video in case.get("videos", [])):
        np.save(folder / video["frames"], read_video(folder / video["file"], *video["size"]))


def make_video(out, name, variant, layout):
    """Frames that share a scene and move on."""
    count, height, width, rate = layout
    frames = np.stack([draw(np.random.default_rng(variant), height, width, 0.4 * i) for i in range(count)])
    write_video(out / name, frames, rate)
    if not np.array_equal(read_video(out / name, height, width), frames):
        raise SystemExit(f"{out / name}: decoded frames differ from those drawn")
    return {"file": name, "frames": name + ".npy", "fps": rate, "size": [height, width]}


def make_samples(out, variant=0, layout=FULL):
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1000 + variant)
    side = lambda limits: int(rng.integers(*limits)) if isinstance(limits, tuple) else limits
    for name in ("plain", "a", "b", "c"):
        write_picture(out / f"{name}.png", draw(rng, *map(side, layout[name])))
    count, *rest = map(side, layout["first"])
    first = make_video(out, "first.mp4", 2000 + variant, (count - 3 * (variant % 2), *rest))
    second = make_video(out, "second.mkv", 3000 + variant, [*map(side, layout["second"])])
    cases = {
        "text": {"prompt": TEXT},
        "picture": {"prompt": "Describe this picture.", "images": ["plain.png"]},
        "pictures": {"prompt": TEXT, "images": ["a.png", "b.png", "c.png"]},
        "video": {"prompt": "What moves?", "videos": [first]},
        "mixed": {"prompt": "Is the second picture in a video?", "images": ["c.png", "a.png"],
                  "videos": [second, first]},
    }
    write_frames(out, cases)
    (out / "cases.json").write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")
    return cases


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--variant", type=int, default=0)
    parser.add_argument("--small", action="store_true")
    args = parser.parse_args()
    print(f"{len(make_samples(args.out, args.variant, SMALL if args.small else FULL))} cases in {args.out}")


if __name__ == "__main__":
    main()
