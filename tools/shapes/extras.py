"""Conversations about two pictures, and about videos."""
import pathlib
import pickle
import sys

import numpy as np
import torch

from batches import Sequence, _ask, pack
from extras_questions import pair_questions
from questions import make_questions
from video import draw_frames, make_video, sample_frames, video_questions

def _ask_owned(reader, rng, sequence, made, parallel, numbered):
    """Like _ask, for questions that carry the number of the picture they name things in."""
    first = len(sequence.names)
    _ask(reader, rng, sequence, [m[:3] for m in made], parallel, numbered)
    owners = [m[3] for m in made for _ in range((m[1] + m[2]).count("\x02"))]
    sequence.names[first:] = [(at, owner, which) for (at, _, which), owner in zip(sequence.names[first:], owners)]


def build_pairs(reader, rng, pairs, grid):
    """Two pictures of one size each: together before the questions, or the second in a later turn."""
    sequences, numbered = [], 0
    for scenes in pairs:
        s = Sequence()
        s.add(reader.user + [reader.open])
        s.add_picture(reader.image, grid)
        s.add([reader.close])
        if rng.random() < 0.6:
            s.add([reader.open])
            s.add_picture(reader.image, grid)
            s.add([reader.close])
            made = pair_questions(rng, scenes)
            _ask_owned(reader, rng, s, made, True, numbered)
        else:                                                   # one after the other
            kinds = ["describe", "colour", "shape", "count", "yes_no", "relation", "position"]
            made = []
            for which, scene in enumerate(scenes):
                if which:
                    s.add(reader.newline + reader.user + [reader.open])
                    s.add_picture(reader.image, grid)
                    s.add([reader.close])
                    s.segment = 0
                wanted = [str(k) for k in rng.choice(kinds, 1 if not which else 4, replace=False)]
                asked = [("turn", *m[1:], which) for m in make_questions(rng, scene, wanted)]
                _ask_owned(reader, rng, s, asked, bool(which), numbered + len(made))
                made += asked
        numbered += len(made)
        sequences.append(s)
    return pack(reader, sequences, [[scene["objects"] for scene in scenes] for scenes in pairs])


def build_videos(reader, rng, clips, grid):
    """Videos as [(scene, time stamps)], in the prompt form of the original processor or that of transformers 5.12."""
    sequences, numbered = [], 0
    for scene, stamps in clips:
        s, wrapped = Sequence(), rng.random() < 0.5
        s.add(reader.user + ([reader.open] if wrapped else []))
        for stamp in stamps:
            s.add(reader.ids(f"<{stamp:.1f} seconds>") + [reader.open])
            s.add_picture(reader.video, grid)
            s.add([reader.close])
        s.add([reader.close] if wrapped else [])
        made = video_questions(rng, scene)
        _ask(reader, rng, s, made, True, numbered)
        numbered += len(made)
        sequences.append(s)
    return pack(reader, sequences, [[scene["objects"]] for scene, _ in clips])


def render_videos(out, count, seed):
    """Videos painted ahead, by size and number of frames: a pickle of {(h, w, frames): (array, [(scene, stamps)])}."""
    rng, store = np.random.default_rng(70_000_000 + seed), {}
    for number in range(count):
        scene, fps = make_video(rng), int(rng.choice([8, 10, 12, 15, 24, 25, 30]))
        total = int(rng.uniform(1.6, 4.6) * fps)
        index, stamps = sample_frames(total, fps)
        frames = draw_frames(scene, 70_000_000 + seed * 100_000 + number, index / (total - 1))
        if len(frames) % 2:
            frames = np.concatenate([frames, frames[-1:]])
        arrays, clips = store.setdefault(frames.shape[1:3] + frames.shape[:1], ([], []))
        arrays.append(frames)
        clips.append((scene, stamps))
    store = {key: (np.stack(arrays), clips) for key, (arrays, clips) in store.items()}
    pathlib.Path(out).write_bytes(pickle.dumps(store))


class Clips:
    """The rendered videos."""

    def __init__(self, files):
        self.parts = [(key, *value) for file in files for key, value in pickle.loads(file.read_bytes()).items()]
        counts = np.array([len(clips) for _, _, clips in self.parts], float)
        self.chances = counts / counts.sum()

    def take(self, rng, n):
        """n videos of one shape: patches [n * steps, N, 1536] from -1 to 1, the clips, the grid of patches."""
        (height, width, frames), arrays, clips = self.parts[int(rng.choice(len(self.parts), p=self.chances))]
        chosen = rng.integers(len(clips), size=n)
        x = torch.from_numpy(arrays[chosen]).view(n * frames // 2, 2, height // 32, 2, 16, width // 32, 2, 16, 3)
        x = x.permute(0, 2, 5, 3, 6, 8, 1, 4, 7).reshape(n * frames // 2, -1, 1536)
        return x.float() / 127.5 - 1, [clips[i] for i in chosen], (height // 16, width // 16)


if __name__ == "__main__":
    for shard in range(int(sys.argv[2])):
        render_videos(pathlib.Path(sys.argv[1]) / f"{shard:02d}.videos", 800, shard)
