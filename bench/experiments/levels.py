"""What each level of optimisation, and each pass of the highest, does for one request: time, memory, error.

    levels.py --qvl QVL --model MODEL --picture FILE [--small FILE] [--levels 0,1,2,3] [--tokens 64] [--rounds 3]
              [--passes] [--save FILE.json]

The request is one picture, a question and TOKENS tokens of answer; loading is left out. For each level the medians of the request's
seconds and of peak memory, and the cosine of the logits of a prompt with the picture --small (default: the same) to those of level 0. --passes leaves
out one pass of level 3 after the other, each time beside a run with all of them: the ratio is what the pass is worth here. Levels 0
and 1 are run once: they take minutes at full size.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy

QUESTION = "What is in this picture? Describe every object and its place."
NOTHING_KEPT = ["--disable-pass", "disk_feature_cache"]  # each run is to look at the picture itself
SLOW_PASSES = ("instruction_set",)  # without it scalar code computes


def request(args, *options):
    """Seconds, and MiB at the peak."""
    command = [args.qvl, "run", "--model", args.model, "--image", args.picture, "--max-tokens", str(args.tokens),
               "--temperature", "0", "--json", *NOTHING_KEPT, *options, QUESTION]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    answer = json.loads(done.stdout)
    timings = answer["timings"]
    tokens = answer["usage"]["completion_tokens"]
    if tokens != args.tokens:
        sys.exit(f"{tokens} tokens instead of {args.tokens}: times would not compare")
    return {"seconds": timings["time_to_first_token_s"] + timings["decode_s"], "first_token_s": timings["time_to_first_token_s"],
            "load_s": timings["load_s"], "peak_mib": answer["memory"]["peak_rss"] / (1 << 20)}


def medians(runs):
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def logits(args, level, folder):
    path = folder / f"{level}.npy"
    subprocess.run([args.qvl, "logits", "--model", args.model, "--image", args.small or args.picture, "--prompt", QUESTION,
                    "--optimization-level", str(level), "--output", str(path)], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return numpy.load(path).astype("float64")


def cosines(a, b):
    return (a * b).sum(1) / numpy.linalg.norm(a, axis=1) / numpy.linalg.norm(b, axis=1)


def compare_levels(args, folder):
    rows, reference = [], None
    for level in args.levels:
        runs = [request(args, "--optimization-level", str(level)) for _ in range(args.rounds if level > 1 else 1)]
        found = logits(args, level, folder)
        reference = found if reference is None else reference
        cosine = cosines(reference, found)
        rows.append({"level": level, **medians(runs), "cosine_mean": cosine.mean(), "cosine_least": cosine.min(),
                     "same_token": float((reference.argmax(1) == found.argmax(1)).mean())})
        row = rows[-1]
        print(f"level {level}: {row['seconds']:.2f} s ({rows[0]['seconds'] / row['seconds']:.1f} times level {args.levels[0]}), first token "
              f"after {row['first_token_s']:.2f} s, load {row['load_s']:.2f} s, {row['peak_mib']:.0f} MiB; logits: mean cosine "
              f"{row['cosine_mean']:.5f}, least {row['cosine_least']:.5f}, best token the same at {100 * row['same_token']:.0f} %", flush=True)
    return rows


def passes_taken(args):
    plan = json.loads(subprocess.run([args.qvl, "plan", "--model", args.model, "--json"], check=True, capture_output=True,
                                     text=True).stdout)
    return [choice["pass"] for choice in plan["choices"].values() if choice["pass"]]


def compare_passes(args):
    rows = []
    request(args)  # packs, where nothing is packed yet
    for name in passes_taken(args):
        with_all, without = [], []
        for _ in range(1 if name in SLOW_PASSES else args.rounds):
            with_all.append(request(args))
            without.append(request(args, "--disable-pass", name))
        all_of_them, left_out = medians(with_all), medians(without)
        row = {"pass": name, "seconds": left_out["seconds"], "ratio": left_out["seconds"] / all_of_them["seconds"],
               "load_s": left_out["load_s"], "load_more_s": left_out["load_s"] - all_of_them["load_s"],
               "peak_more_mib": left_out["peak_mib"] - all_of_them["peak_mib"]}
        rows.append(row)
        print(f"without {name}: {row['seconds']:.2f} s, {row['ratio']:.3f} times; load {row['load_more_s']:+.2f} s, peak "
              f"{row['peak_more_mib']:+.0f} MiB", flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--qvl", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--picture", required=True)
    parser.add_argument("--small")
    parser.add_argument("--levels", type=lambda text: [int(part) for part in text.split(",") if part], default=[0, 1, 2, 3])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--passes", action="store_true")
    parser.add_argument("--save", type=pathlib.Path)
    args = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as name:
        if args.levels:
            results["levels"] = compare_levels(args, pathlib.Path(name))
    if args.passes:
        results["passes"] = compare_passes(args)
    if args.save:
        args.save.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
