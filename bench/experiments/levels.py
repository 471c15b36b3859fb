"""What each level of optimisation, and each pass of the highest, does for one request: time, memory, error.

    levels.py --qvl QVL --model MODEL --picture FILE [--small FILE] [--levels 0,1,2,3] [--tokens 64] [--rounds 3]
              [--passes] [--keep FOLDER] [--save FILE.json]

The request is one picture (or several: --picture may be repeated), a question and TOKENS tokens of answer; loading is left out. For each level the medians of the request's
seconds and of peak memory, and the cosine of the logits of a prompt with the picture --small (default: the first) to those of level 0. --passes leaves
out one pass of level 3 after the other, each time beside a run with all of them: the ratio is what the pass is worth here, and passes that keep
results are asked a second question (pass_runs.py). Passes that the plan has not taken here are listed with its reasons; it is asked when the machine is quiet. Levels 0
and 1 are run once: they take minutes at full size. Weights are packed into FOLDER, by default a temporary one; features of pictures in it are removed.
"""
import json
import pathlib
import tempfile

import command_line
import pass_runs
from processes import output_of, run_script
from quiet import wait_for_quiet


def logits(args, level, folder):
    import numpy
    path = folder / f"{level}.npy"
    output_of([args.qvl, "logits", "--model", args.model, "--image", args.small or args.picture[0], "--prompt", pass_runs.FIRST,
               "--optimization-level", level, "--output", path])
    return numpy.load(path).astype("float64")


def cosines(a, b):
    import numpy
    return (a * b).sum(1) / numpy.linalg.norm(a, axis=1) / numpy.linalg.norm(b, axis=1)


def measure_level(bench, level, rounds):
    options = ("--optimization-level", str(level))
    if level < 2:
        return pass_runs.first_question(bench, *options)
    pass_runs.ask(bench, pass_runs.FIRST, *options)  # packs
    return pass_runs.medians([pass_runs.first_question(bench, *options) for _ in range(rounds)])


def compare_levels(args, bench, folder):
    rows, reference = [], None
    for level in args.levels:
        run = measure_level(bench, level, args.rounds)
        found = logits(args, level, folder)
        reference = found if reference is None else reference
        cosine = cosines(reference, found)
        rows.append({"level": level, **{key: run[key] for key in ("seconds", "first_token_s", "load_s", "peak_mib")},
                     "cosine_mean": cosine.mean(), "cosine_least": cosine.min(),
                     "same_token": float((reference.argmax(1) == found.argmax(1)).mean())})
        row = rows[-1]
        print(f"level {level}: {row['seconds']:.2f} s ({rows[0]['seconds'] / row['seconds']:.1f} times level {args.levels[0]}), first token "
              f"after {row['first_token_s']:.2f} s, load {row['load_s']:.2f} s, {row['peak_mib']:.0f} MiB; logits: mean cosine "
              f"{row['cosine_mean']:.5f}, least {row['cosine_least']:.5f}, best token the same at {100 * row['same_token']:.0f} %", flush=True)
    return rows


def levels_of(text):
    """Of "0,3"; none of ""."""
    return [command_line.integer(0, 3)(part) for part in text.split(",") if part]


def parse():
    parser = command_line.Parser(__doc__, needs=["numpy"])
    parser.add_qvl()
    parser.add_argument("--picture", required=True, action="append", type=command_line.file)
    parser.add_argument("--small", type=command_line.file)
    parser.add_argument("--levels", type=levels_of, default=[0, 1, 2, 3])
    parser.add_argument("--tokens", type=command_line.integer(1), default=64)
    parser.add_argument("--rounds", type=command_line.integer(1), default=3)
    parser.add_argument("--passes", action="store_true")
    parser.add_argument("--keep", type=command_line.cache, metavar="FOLDER")
    parser.add_argument("--save", type=command_line.output)
    return parser.parse_args()


def main():
    args = parse()
    results = {}
    with tempfile.TemporaryDirectory(prefix="qvl-levels-") as name:
        folder = pathlib.Path(name)
        bench = pass_runs.Bench(args.qvl, args.model, tuple(args.picture), args.tokens, pathlib.Path(args.keep or folder / "cache"))
        if args.passes:
            wait_for_quiet()  # before anything of ours loads the machine
            results |= pass_runs.compare_passes(bench, args.rounds)
        if args.levels:
            results["levels"] = compare_levels(args, bench, folder)
    if args.save:
        args.save.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    run_script(main)
