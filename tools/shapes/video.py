"""Short videos: one shape moves across a plain ground, sometimes beside another that stays where it is.

    video.py FOLDER --seed 12      write one as MP4 (needs ffmpeg), and print its questions
"""
import argparse
import pathlib
import subprocess

import numpy as np

from draw import draw_scene, make_scene
from questions import article, mark, noun, strip_marks

SIZES = [(128, 128), (128, 160), (160, 128)]       # frames as the model sees them
WAYS = {"to the left": ("x", -1), "to the right": ("x", 1), "up": ("y", -1), "down": ("y", 1)}
WHICH_WAY = ["Which way does the {} move?", "In which direction does the {} move?", "Where does the {} move?",
             "How does the {} move?"]
WHAT_MOVES = ["What moves?", "Which object moves?", "What is moving?", "Which object is moving?"]
DESCRIBE = ["Describe this video.", "Describe the video.", "What happens in the video?", "What happens in this video?",
            "What do you see in the video?"]


def make_video(rng):
    """A scene whose first object moves: 'way' and 'path' (start and end along the axis) are added to the scene."""
    height, width = SIZES[int(rng.integers(len(SIZES)))]
    way = list(WAYS)[int(rng.integers(4))]
    axis, sign = WAYS[way]
    while True:
        scene = make_scene(rng, (0.5, 0.5, 0, 0))
        scene.update(native=(height, width), model=(height, width), layout="video", way=way)
        mover, *others = scene["objects"]
        for item in scene["objects"]:                     # discs of 13 to 26 pixels
            r = rng.uniform(13, 26)
            item.update(rx=r / width, ry=r / height)
        along, across = (mover["rx"], mover["ry"]) if axis == "x" else (mover["ry"], mover["rx"])
        low = along + 0.04
        travel = rng.uniform(0.4, 1 - 2 * low) if 1 - 2 * low > 0.4 else 1 - 2 * low
        start = rng.uniform(low, 1 - low - travel)
        scene["path"] = (start, start + travel) if sign > 0 else (start + travel, start)
        other_axis = "y" if axis == "x" else "x"
        if not others:
            mover[other_axis] = float(rng.uniform(across + .03, 1 - across - .03))
            return scene
        still = others[0]
        size = still["r" + other_axis]
        slack = 1 - 2 * (across + size) - 0.1
        if slack > 0:                                     # two lanes, either one first
            first, second = sorted(rng.uniform(0, slack, 2))
            a, b = (across, size) if rng.random() < 0.5 else (size, across)
            lanes = [0.03 + first + a, 0.07 + second + 2 * a + b]
            mover[other_axis], still[other_axis] = lanes if a == across else lanes[::-1]
            still[axis] = float(rng.uniform(still["r" + axis] + .03, 1 - still["r" + axis] - .03))
            return scene


def draw_frames(scene, seed, times):
    """The frames at these moments (0 to 1): uint8 [frames, height, width, 3].  Ground and grain stand still."""
    axis, frames = WAYS[scene["way"]][0], []
    for t in times:
        start, end = scene["path"]
        mover = dict(scene["objects"][0], **{axis: start + (end - start) * t})
        shown = dict(scene, objects=[mover] + scene["objects"][1:])
        frames.append(draw_scene(np.random.default_rng(seed), shown))
    return np.stack(frames)


def sample_frames(total, fps, rate=2, least=4, most=8):
    """Frames the video processor takes, and the time stamp in seconds of every pair of them."""
    n = min(max(int(total / fps * rate), least), most, total)
    index = np.rint(np.arange(n) * ((total - 1) / (n - 1))).astype(int)
    padded = np.append(index, index[-1]) if n % 2 else index
    return index, [(a + b) / 2 / fps for a, b in zip(padded[::2], padded[1::2])]


def video_questions(rng, scene):
    """[(kind, question, answer)] with marks."""
    mover, *others = scene["objects"]
    pick = lambda values: values[int(rng.integers(len(values)))]
    name, way = noun(mover), scene["way"]
    text = f"{mark(article(name), 0)} moves {way}"
    if others:
        text += f" and {mark(article(noun(others[0])), 1)} stays still"
    text += f" on {article(scene['background'])} background."
    return [("video", pick(DESCRIBE), text[0].upper() + text[1:]),
            ("motion", pick(WHICH_WAY).format(mark(name, 0)), way[0].upper() + way[1:] + "."),
            ("mover", pick(WHAT_MOVES), f"The {mark(name, 0)}.")]


def write(folder, seed, seconds=4, fps=8):
    """Write one video as MP4, named after what moves where; returns the name and its questions."""
    rng = np.random.default_rng(seed)
    scene = make_video(rng)
    frames = draw_frames(scene, seed, np.linspace(0, 1, round(seconds * fps)))
    height, width = frames.shape[1:3]
    name = f"{noun(scene['objects'][0])}-{scene['way']}.mp4".replace(" ", "-")
    subprocess.run(["ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s",
                    f"{width}x{height}", "-r", str(fps), "-i", "-", "-pix_fmt", "yuv420p", "-crf", "14",
                    str(pathlib.Path(folder) / name)], input=frames.tobytes(), check=True)
    return name, [(k, strip_marks(q)[0], strip_marks(a)[0]) for k, q, a in video_questions(rng, scene)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=12)
    args = parser.parse_args()
    name, asked = write(args.folder, args.seed)
    for _, question, answer in asked:
        print(f"{name}: {question} {answer}")


if __name__ == "__main__":
    main()
