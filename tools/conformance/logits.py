"""Hold `qvl logits` and `qvl run` against transformers in float32, for any number of checkpoints.

    logits.py WORK CHECKPOINT... --qvl BINARY [--environment COMMAND]

Each checkpoint (a folder inside WORK) is asked about text, a 300x200 picture, three pictures of different sizes, a
video, and pictures together with videos. Compared at every position of the prompt: the logits of one pass and of chunks of 7;
and the 32 greedy tokens that follow. COMMAND goes before commands that need torch and transformers, run in the folder
WORK: a container's "run", say; by default nothing. Their results stay in WORK, so that a second run needs only qvl.
"""
import argparse
import json
import pathlib
import shlex
import shutil
import subprocess
import sys

import numpy as np

import samples

LIMIT = 1e-3
# The reference's numbers: without these options weights are quantised.
EXACT = ["--weights", "f32", "--vision-weights", "f32", "--kv", "f32"]
HERE = pathlib.Path(__file__).resolve().parent


def prepare(work, checkpoint, variant, environment):
    """Samples and reference results of one checkpoint, unless they are there."""
    place = work / "results" / checkpoint.name
    if not (place / "samples" / "cases.json").exists():
        samples.make_samples(place / "samples", variant)
    if not (place / "reference" / "answers.json").exists():
        shutil.copy(HERE / "reference.py", work / "reference.py")
        inside = [str(path.relative_to(work)) for path in (place / "samples", place / "reference", checkpoint)]
        subprocess.run([*environment, "python3", "reference.py", *inside], cwd=work, check=True)
    return place


class Qvl:
    """The program under test, on one checkpoint."""

    def __init__(self, binary, checkpoint, place):
        self.binary, self.model, self.place = binary, ["--model", str(checkpoint), *EXACT], place

    def media(self, case):
        files = self.place / "samples"
        return [word for name in case.get("images", []) for word in ("--image", str(files / name))] + \
               [word for video in case.get("videos", []) for word in ("--video", str(files / video["file"]))] + \
               ["--video-prompt", "nested"]

    def call(self, *arguments):
        run = subprocess.run([self.binary, *arguments], capture_output=True, text=True)
        if run.returncode:
            command = shlex.join([self.binary, *arguments])
            raise SystemExit(f"{command}: exit code {run.returncode}: {run.stderr.strip()}")
        return run.stdout

    def logits(self, case, chunk):
        file = self.place / "qvl.npy"
        self.call("logits", *self.model, *self.media(case), "--prompt", case["prompt"], "--chunk", str(chunk),
                  "--output", str(file))
        values = np.load(file)
        file.unlink()
        return values

    def greedy(self, case, count):
        return json.loads(self.call("run", *self.model, *self.media(case), "--temperature", "0", "--max-tokens",
                                    str(count), "--json", case["prompt"]))


def difference(found, expected, what):
    """The largest difference; a value that is no number on either side is as far apart as can be."""
    if found.shape != expected.shape or found.dtype != np.float32:
        raise SystemExit(f"{what}: found {found.dtype} {found.shape}, expected float32 {expected.shape}")
    apart = np.array([np.abs(a - b).max() for a, b in zip(found, expected)])  # max() of NumPy keeps NaN
    return float("inf") if np.isnan(apart).any() else float(apart.max())


def same_tokens(answer, expected):
    """Whether the tokens are the reference's; the token that ends an answer is not part of qvl's."""
    tokens = expected["greedy"]
    ended = tokens[-1] in expected["stop"]
    return answer["tokens"] == (tokens[:-1] if ended else tokens) and \
        answer["finish_reason"] == ("stop" if ended else "length")


def compare(qvl, place):
    """One row for each case: name, positions, differences of one pass and of chunks, tokens the same, least margin."""
    cases = json.loads((place / "samples" / "cases.json").read_text())
    answers = json.loads((place / "reference" / "answers.json").read_text())
    for name, case in cases.items():
        expected, answer = np.load(place / "reference" / f"{name}.npy", mmap_mode="r"), answers[name]
        whole = qvl.logits(case, 4096)
        yield (name, len(expected), difference(whole, expected, f"{name}, one pass"),
               difference(qvl.logits(case, 7), whole, f"{name}, chunks of 7"),
               same_tokens(qvl.greedy(case, 32), answer), min(answer["margins"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("checkpoints", type=pathlib.Path, nargs="+")
    parser.add_argument("--qvl", required=True)
    parser.add_argument("--environment", type=shlex.split, default=[])
    args = parser.parse_args()
    print(f"{'checkpoint':12} {'case':9} {'positions':>9} {'vs reference':>13} {'7 vs one':>10} {'greedy':>7} "
          f"{'margin':>8}")
    failures = 0
    for variant, checkpoint in enumerate(args.checkpoints, 1):
        place = prepare(args.work.resolve(), checkpoint.resolve(), variant, args.environment)
        for name, positions, whole, chunked, same, margin in compare(Qvl(args.qvl, checkpoint, place), place):
            good = whole <= LIMIT and chunked <= LIMIT and same
            failures += not good
            print(f"{checkpoint.name:12} {name:9} {positions:9} {whole:13.2e} {chunked:10.2e} "
                  f"{'same' if same else 'DIFFER':>7} {margin:8.1e}{'' if good else '   FAILED'}", flush=True)
    sys.exit(f"{failures} cases failed" if failures else 0)


if __name__ == "__main__":
    main()
