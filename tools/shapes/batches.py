"""Training batches: pictures of one size with their labels, and conversations about them as token tensors."""
import pathlib
import pickle
from dataclasses import dataclass

import numpy as np
import torch

import english
from draw import BACKGROUND_NAMES, COLOUR_NAMES, KINDS
from questions import MAKERS, make_questions, strip_marks

NOTHING_COLOUR, NOTHING_KIND = len(COLOUR_NAMES), len(KINDS)
EXTRAS = [name for name in MAKERS if name != "describe"]


class Pool:
    """The rendered pictures (see render.py), mapped into memory, by size."""

    def __init__(self, folder):
        self.parts = {}
        for part in sorted(pathlib.Path(folder).glob("*.pickle")):
            for size, scenes in pickle.loads(part.read_bytes()).items():
                file = part.with_name(f"{part.stem}-{size[0]}x{size[1]}.npy")
                self.parts.setdefault(size, []).append((np.load(file, mmap_mode="r"), scenes))
        self.sizes = sorted(self.parts)
        counts = np.array([sum(len(s) for _, s in self.parts[size]) for size in self.sizes], float)
        self.chances = counts / counts.sum()

    def take(self, rng, n, size=None):
        """n random pictures of one size: uint8 tensor [n, H, W, 3] and their scenes."""
        size = size or self.sizes[int(rng.choice(len(self.sizes), p=self.chances))]
        pictures, scenes = [], []
        for _ in range(n):
            array, known = self.parts[size][int(rng.integers(len(self.parts[size])))]
            i = int(rng.integers(len(known)))
            pictures.append(array[i])
            scenes.append(known[i])
        return torch.from_numpy(np.stack(pictures)), scenes


# --------------------------------------------------------------------------------------------- labels for the pictures


def overlaps(item, rows, columns):
    """Part of every grid cell that the object's box covers."""
    def along(centre, radius, n):
        edge = np.arange(n + 1) / n
        return np.clip(np.minimum(edge[1:], centre + radius) - np.maximum(edge[:-1], centre - radius), 0, None) * n
    return along(item["y"], item["ry"] * .85, rows)[:, None] * along(item["x"], item["rx"] * .85, columns)[None]


def label_grid(scenes, rows, columns, least):
    """For every cell: colour, kind, digit (-1: none), place and size of the object that fills most of it, and whether
    its centre lies there.  int64 [B, cells, 4], float32 [B, cells, 4]; the kind is NOTHING_KIND for background."""
    whole = np.zeros((len(scenes), rows, columns, 4), np.int64)
    real = np.zeros((len(scenes), rows, columns, 4), np.float32)
    whole[..., 0], whole[..., 1], whole[..., 2] = NOTHING_COLOUR, NOTHING_KIND, -1
    for b, scene in enumerate(scenes):
        covered = np.stack([overlaps(o, rows, columns) for o in scene["objects"]])
        best = np.where(covered.max(0) >= least, covered.argmax(0), -1)
        for i, o in enumerate(scene["objects"]):
            here = best == i
            whole[b, here, :3] = COLOUR_NAMES.index(o["colour"]), KINDS.index(o["kind"]), o["digit"]
            real[b, here] = o["x"], o["y"], o["rx"] * columns * 0.3, o["ry"] * rows * 0.3
            whole[b, min(int(o["y"] * rows), rows - 1), min(int(o["x"] * columns), columns - 1), 3] = 1
    return torch.from_numpy(whole), torch.from_numpy(real)


def block_order(x):
    """[B, rows, columns, ...] of patches -> [B, patches, ...] in merge-block order."""
    b, rows, columns, *rest = x.shape
    return x.view(b, rows // 2, 2, columns // 2, 2, -1).transpose(2, 3).reshape(b, rows * columns, *rest)


# ----------------------------------------------------------------------------------------------- conversations as ids


class Reader:
    """Token ids of the pieces of a conversation, remembered."""

    def __init__(self, tokenizer):
        self.tokenizer, self.known = tokenizer, {}
        token = tokenizer.token_to_id
        self.pad, self.end, self.image = token("<|endoftext|>"), token("<|im_end|>"), token("<|image_pad|>")
        self.video, self.open, self.close = (token(f"<|{n}|>") for n in ("video_pad", "vision_start", "vision_end"))
        self.user, self.assistant = self.ids("<|im_start|>user\n"), self.ids("<|im_start|>assistant\n")
        self.newline = self.ids("\n")

    def ids(self, text):
        return self.read(text)[0]

    def read(self, text):
        """Ids, and the end of each token in the text."""
        if text not in self.known:
            encoding = self.tokenizer.encode(text, add_special_tokens=False)
            self.known[text] = encoding.ids, [stop for _, stop in encoding.offsets]
        return self.known[text]


class Sequence:
    """One conversation being put together: ids, positions on three axes, segments, targets and named objects."""

    def __init__(self):
        self.tokens, self.positions, self.segments = [], [], []
        self.places, self.targets, self.names, self.at, self.segment = [], [], [], 0, 0

    def add(self, ids, answer=None):
        """Append text.  With `answer` (a kind and a number) the ids are to be predicted."""
        for i in ids:
            if answer is not None:
                self.targets.append((len(self.tokens) - 1, i, *answer))
            self.tokens.append(i)
            self.positions.append((self.at,) * 3)
            self.segments.append(self.segment)
            self.at += 1

    def add_marked(self, reader, text, owner, answer=None):
        """Append text with marks; remember the token that ends each name as (index, owner, object)."""
        plain, marks = strip_marks(text)
        ids, ends = reader.read(plain)
        for end, which in marks:
            self.names.append((len(self.tokens) + next(i for i, e in enumerate(ends) if e >= end), owner, which))
        self.add(ids, answer)

    def add_picture(self, token, grid):
        """Append the placeholders of a picture of grid = (rows, columns) merged tokens."""
        for r in range(grid[0]):
            for c in range(grid[1]):
                self.places.append(len(self.tokens))
                self.tokens.append(token)
                self.positions.append((self.at, self.at + r, self.at + c))
                self.segments.append(self.segment)
        self.at += max(grid)


def _roughen(rng, question):
    """Now and then drop the capital or the last mark of a question, as people do."""
    if rng.random() < 0.06:
        question = question[0].lower() + question[1:]
    if rng.random() < 0.06 and question[-1] in ".?":
        question = question[:-1]
    return question


def _ask(reader, rng, sequence, pairs, parallel, numbered):
    """Append questions and answers.  In parallel each sees the pictures alone; else they follow one another."""
    start = sequence.at
    for turn, (kind, question, answer) in enumerate(pairs):
        if parallel:
            sequence.segment, sequence.at = turn + 1, start
        elif turn:
            sequence.add(reader.newline + reader.user)
        sequence.add_marked(reader, _roughen(rng, question), 0)
        sequence.add([reader.end] + reader.newline + reader.assistant)
        sequence.add_marked(reader, answer, 0, (kind, numbered + turn))
        sequence.add([reader.end], (kind, numbered + turn))


@dataclass
class Text:
    tokens: torch.Tensor       # [B, L]
    positions: torch.Tensor    # [B, 3, L]
    mask: torch.Tensor         # [B, 1, L, L]
    places: torch.Tensor       # flat indices of picture tokens
    target_at: torch.Tensor    # flat indices of the tokens that predict
    targets: torch.Tensor      # what they predict
    kinds: list                # kind of question, per target
    turns: np.ndarray          # number of the question, per target
    name_at: torch.Tensor      # flat indices of the tokens that end a name
    names: list                # the objects named


def pack(reader, sequences, objects):
    """Pad conversations to one length; `objects[b]` are the objects the names of conversation b refer to."""
    length = max(len(s.tokens) for s in sequences)
    b = len(sequences)
    tokens, positions = np.full((b, length), reader.pad), np.zeros((b, 3, length), np.int64)
    segments = np.full((b, length), -1)
    places, at, targets, kinds, turns, name_at, names = [], [], [], [], [], [], []
    for i, s in enumerate(sequences):
        n = len(s.tokens)
        tokens[i, :n], positions[i, :, :n], segments[i, :n] = s.tokens, np.array(s.positions).T, s.segments
        places += [i * length + p for p in s.places]
        for where, target, kind, turn in s.targets:
            at.append(i * length + where)
            targets.append(target)
            kinds.append(kind)
            turns.append(turn)
        for where, owner, which in s.names:
            name_at.append(i * length + where)
            names.append(objects[i][owner][which])
    same = (segments[:, :, None] == segments[:, None, :]) | (segments[:, None, :] == 0)
    mask = torch.from_numpy(same & np.tri(length, dtype=bool)[None])[:, None]
    as_tensor = lambda x: torch.tensor(x, dtype=torch.long)
    return Text(torch.from_numpy(tokens), torch.from_numpy(positions), mask, as_tensor(places), as_tensor(at),
                as_tensor(targets), kinds, np.array(turns), as_tensor(name_at), names)


def build_text(reader, rng, scenes, grid, wanted, parallel=None, extra=0, weights=None):
    """Conversations about one picture each.  `wanted` kinds, and `extra` more drawn by `weights`, are asked."""
    sequences, numbered = [], 0
    for (scene,) in scenes:
        s, together = Sequence(), rng.random() < 0.75 if parallel is None else parallel
        if rng.random() < 0.12:
            s.add(reader.ids(f"<|im_start|>system\n{english.SYSTEM[int(rng.integers(4))]}<|im_end|>\n"))
        s.add(reader.user + [reader.open])
        s.add_picture(reader.image, grid)
        s.add([reader.close])
        kinds = list(wanted) + [str(k) for k in rng.choice(EXTRAS, extra, replace=False, p=weights)]
        pairs = make_questions(rng, scene, kinds)
        rng.shuffle(pairs)
        _ask(reader, rng, s, pairs, together, numbered)
        numbered += len(pairs)
        sequences.append(s)
    return pack(reader, sequences, [[scene["objects"] for scene in group] for group in scenes])


def build_talk(reader, rng, n):
    """Conversations without a picture."""
    sequences = []
    for i in range(n):
        s = Sequence()
        s.add(reader.user)
        question, answer = english.TALK[int(rng.integers(len(english.TALK)))]
        _ask(reader, rng, s, [("talk", question, answer)], False, i)
        sequences.append(s)
    return pack(reader, sequences, [[]] * n)
