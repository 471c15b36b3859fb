"""Train the model, stage by stage, in two processes of one thread each.

    train.py DATA TOKENIZER_FOLDER CHECKPOINT --stage vision --minutes 10 --rate 3e-3 --batch 32
    train.py DATA TOKENIZER_FOLDER CHECKPOINT --stage joint --minutes 40 --resume

The learning rate follows the clock: a short warm-up, then a cosine down to 3 % at the end of `--minutes`.  The
checkpoint is written every two minutes; `--resume` starts from it.
"""
import argparse
import json
import math
import os
import pathlib
import time

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from tokenizers import Tokenizer

from batches import EXTRAS, Pool, Reader, build_talk, build_text
from extras import Clips, build_pairs, build_videos
from heads import Heads
from model import TEXT, VISION, Fast, make_config, make_model, patchify
from optimiser import Optimiser

PROCESSES = 2
WEIGHTS = dict(colour=1.0, shape=.8, digit=1.2, count=2.2, background=.4, position=1.5, relation=1.0, yes_no=1.4,
               beside=1.2, exists=1.0, size=1.0, order=.8)


class Trainer:
    def __init__(self, args, rank):
        self.args, self.rank = args, rank
        torch.manual_seed(args.seed)
        self.tokenizer = Tokenizer.from_file(args.tokenizer + "/tokenizer.json")
        self.reader = Reader(self.tokenizer)
        self.model = make_model(make_config(self.tokenizer.token_to_id, self.tokenizer.get_vocab_size()), args.seed)
        self.fast, self.heads = Fast(self.model), Heads(VISION["hidden_size"], TEXT["hidden_size"])
        named = [(n, w) for n, w in self.model.named_parameters()] + \
                [("heads." + n, w) for n, w in self.heads.named_parameters()]
        self.optimiser, self.step, self.log = Optimiser(named), 0, {}
        self.average = [w.detach().clone() for _, w in named]
        if args.resume:
            self.load()
        self.pool = Pool(args.data)
        if args.extras:
            self.clips = Clips(sorted(pathlib.Path(args.data).glob("*.videos")))
        self.rng = np.random.default_rng(60_000_000 + args.seed * 1000 + rank + 10 * self.step)
        weights = np.array([WEIGHTS[k] for k in EXTRAS])
        self.weights = weights / weights.sum()

    # -------------------------------------------------------------------------------------------------- one step

    def vision_loss(self):
        pictures, scenes = self.pool.take(self.rng, self.args.batch)
        grid = (pictures.shape[1] // 16, pictures.shape[2] // 16)
        features = self.fast.vision(self.augment(pictures), grid)
        loss, right, off = self.heads.vision_loss(features, scenes, grid)
        self.note(vision=loss.item(), patches=right.item(), off=off.item())
        return loss, features, scenes, grid

    def augment(self, pictures):
        """Patches with a slightly different light and contrast each time."""
        x = patchify(pictures)
        b = x.shape[0]
        return x * (1 + 0.06 * torch.randn(b, 1, 1)).clamp(.85, 1.15) + 0.03 * torch.randn(b, 1, 1)

    def joint_loss(self):
        vision, (_, merged, extra), scenes, grid = self.vision_loss()
        text = build_text(self.reader, self.rng, [[s] for s in scenes], (grid[0] // 2, grid[1] // 2), ["describe"],
                          extra=self.args.questions, weights=self.weights)
        rows = (merged.flatten(0, 1), [e.flatten(0, 1) for e in extra])
        tapped, hidden = self.fast.decode(text.tokens, text.positions, text.mask, rows, text.places)
        loss, name = self.answer_loss(hidden, text), self.heads.name_loss(self.flat(tapped)[text.name_at], text.names)
        self.note(names=name.item())
        total = loss + self.args.aux * (vision + name)
        if self.args.extras:
            total = total + self.extra_loss()
        if self.step % 25 == 0:
            talk = build_talk(self.reader, self.rng, 8)
            hidden = self.fast.decode(talk.tokens, talk.positions, talk.mask, None, None)[1]
            total = total + 0.2 * self.answer_loss(hidden, talk)
        return total

    def extra_loss(self):
        """Pairs of pictures and videos, in turn."""
        n = self.args.extras
        if self.step % 2:
            pictures, scenes = self.pool.take(self.rng, 2 * n)
            patches, grid = self.augment(pictures), (pictures.shape[1] // 16, pictures.shape[2] // 16)
            pairs = [scenes[i:i + 2] for i in range(0, 2 * n, 2)]
            text = build_pairs(self.reader, self.rng, pairs, (grid[0] // 2, grid[1] // 2))
        else:
            patches, clips, grid = self.clips.take(self.rng, n)
            text = build_videos(self.reader, self.rng, clips, (grid[0] // 2, grid[1] // 2))
        _, merged, extra = self.fast.vision(patches, grid)
        if len(text.places) != merged.shape[0] * merged.shape[1]:
            raise RuntimeError("pictures and placeholders differ in number")
        rows = (merged.flatten(0, 1), [e.flatten(0, 1) for e in extra])
        hidden = self.fast.decode(text.tokens, text.positions, text.mask, rows, text.places)[1]
        return 0.5 * self.answer_loss(hidden, text)

    @staticmethod
    def flat(x):
        return x.reshape(-1, x.shape[-1])

    def answer_loss(self, hidden, text):
        """Cross-entropy over the answers' tokens; notes which questions would be answered exactly right."""
        logits = self.fast.logits(self.flat(hidden)[text.target_at])
        right = (logits.argmax(-1) == text.targets).numpy()
        failed = set(text.turns[~right].tolist())
        for turn, kind in dict(zip(text.turns.tolist(), text.kinds)).items():
            self.note(**{"= " + kind: float(turn not in failed)})
        loss = F.cross_entropy(logits, text.targets)
        self.note(answers=loss.item())
        return loss

    def note(self, **values):
        for name, value in values.items():
            total, n = self.log.get(name, (0.0, 0))
            self.log[name] = total + value, n + 1

    def run(self):
        start, done, last_report, last_save = time.time(), 0.0, time.time(), time.time()
        while done < 1:
            self.optimiser.zero()
            loss = self.vision_loss()[0] if self.args.stage == "vision" else self.joint_loss()
            loss.backward()
            done = (time.time() - start) / (60 * self.args.minutes)
            done = self.optimiser.share_gradients([done])[0]
            rate = self.args.rate * min(1, (self.step - self.first + 1) / self.args.warm)
            rate *= 0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * min(done, 1)))
            norm = self.optimiser.step(rate)
            self.step += 1
            self.note(norm=norm)
            keep = min(0.998, (1 + self.step - self.first) / (10 + self.step - self.first))
            for mine, (_, w) in zip(self.average, self.optimiser.named):
                mine.lerp_(w.detach(), 1 - keep)
            if self.rank == 0 and time.time() - last_report > 30:
                self.report(start, done, rate)
                last_report = time.time()
            if self.rank == 0 and (time.time() - last_save > 120 or done >= 1):
                self.save()
                last_save = time.time()

    def report(self, start, done, rate):
        values = {k: round(t / n, 4) for k, (t, n) in sorted(self.log.items())}
        self.log = {}
        print(json.dumps(dict(step=self.step, seconds=round(time.time() - start), done=round(done, 3),
                              rate=round(rate, 6), **values)), flush=True)

    # ------------------------------------------------------------------------------------------------ checkpoints

    first = 0

    def save(self):
        named = self.optimiser.named
        torch.save(dict(weights={n: w.detach() for n, w in named}, step=self.step,
                        average={n: w for (n, _), w in zip(named, self.average)},
                        optimiser=self.optimiser.state_dict()), self.args.checkpoint + ".part")
        os.replace(self.args.checkpoint + ".part", self.args.checkpoint)

    def load(self):
        saved = torch.load(self.args.checkpoint)
        source = saved["average"] if self.args.from_average else saved["weights"]
        for (name, w), mine in zip(self.optimiser.named, self.average):
            if name in source:
                w.data.copy_(source[name])
                mine.copy_(source[name])
        if self.args.even_frames:       # pictures say nothing about the two frames' difference: start it at zero
            kernel = self.model.model.visual.patch_embed.proj.weight
            kernel.data.copy_(kernel.data.mean(2, keepdim=True).expand_as(kernel))
        self.optimiser.load_state_dict(saved["optimiser"])
        self.step = self.first = saved["step"]


def worker(rank, args):
    torch.set_num_threads(1)
    meeting = "file://" + os.path.abspath(args.checkpoint + ".meeting")
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=PROCESSES)
    Trainer(args, rank).run()
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("data", "tokenizer", "checkpoint"):
        parser.add_argument(name)
    parser.add_argument("--stage", choices=["vision", "joint"], default="joint")
    for name, kind, default in (("minutes", float, 10), ("rate", float, 2e-3), ("batch", int, 32), ("warm", int, 60),
                                ("questions", int, 5), ("aux", float, 0.15), ("seed", int, 0), ("extras", int, 0)):
        parser.add_argument("--" + name, type=kind, default=default)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--from-average", action="store_true")
    parser.add_argument("--even-frames", action="store_true")
    args = parser.parse_args()
    pathlib.Path(args.checkpoint + ".meeting").unlink(missing_ok=True)
    torch.multiprocessing.spawn(worker, (args,), PROCESSES)


if __name__ == "__main__":
    main()
