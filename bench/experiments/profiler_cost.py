"""What sampling the machine costs a running answer: interleaved pairs with and without.

    profiler_cost.py --qvl QVL --model MODEL --picture FILE [--pairs 30] [--questions 1000] [--interval 1]

Each pair asks the same questions about the same picture (qvl eval) once with --enable-profiling true and once with false, in
an order that changes from pair to pair, so that what else the machine does falls on both. One thread computes: several wait awake
for one another, and how long depends on who else is there. Prints the medians of the pairs' ratios with a 95 % interval (bootstrap), of
seconds of the clock and of processor time, the sampler's included; where other programs run, only the latter means anything. Then lets
one run go on for 30 s and prints the processor time of the sampler's thread, which is exact however busy the machine is.
"""
import os
import pathlib
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import command_line
from processes import output_of, run_script, started
from questions import write_questions


def command(args, questions, profiling):
    return [args.qvl, "eval", "--model", args.model, "--questions", str(questions), "--max-tokens", "32", "--threads", "1",
            "--enable-profiling", profiling, "--profile-interval", str(args.interval), "--json"]


def run(args, questions, profiling):
    """Seconds of the clock and of processors."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.monotonic()
    output_of(command(args, questions, profiling))
    seconds = time.monotonic() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def interval(ratios):
    """Of their median, 95 %, by drawing again."""
    rng = random.Random(1)
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(10_000))
    return medians[250], medians[-251]


def sampler_ns(pid):
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == "qvl-profiler":
            return int((task / "schedstat").read_text().split()[0])
    sys.exit("qvl has no thread qvl-profiler: nothing is sampled")


def sampler_share(args, questions):
    """Of one processor."""
    with started(command(args, questions, "true"), stdout=subprocess.DEVNULL) as process:
        time.sleep(3)
        before, begin = sampler_ns(process.pid), time.monotonic()
        time.sleep(30)
        return (sampler_ns(process.pid) - before) / 1e9 / (time.monotonic() - begin)


def main():
    parser = command_line.Parser(__doc__)
    parser.add_qvl()
    parser.add_argument("--picture", required=True, type=command_line.file)
    parser.add_argument("--pairs", type=command_line.integer(1), default=30)
    parser.add_argument("--questions", type=command_line.integer(1), default=1000)
    parser.add_argument("--interval", type=command_line.number(0), default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        questions = pathlib.Path(folder) / "questions.jsonl"
        write_questions(questions, args.picture, args.questions)
        clock, processors = [], []
        for pair in range(args.pairs):
            order = ("true", "false") if pair % 2 == 0 else ("false", "true")
            taken = {profiling: run(args, questions, profiling) for profiling in order}
            clock.append(taken["true"][0] / taken["false"][0])
            processors.append(taken["true"][1] / taken["false"][1])
        write_questions(questions, args.picture, 500_000)
        sampler = sampler_share(args, questions)
    for name, ratios in (("seconds", clock), ("processor seconds", processors)):
        low, high = interval(ratios)
        print(f"{name} with profiling / without: median {statistics.median(ratios):.4f} of {len(ratios)} pairs, "
              f"95 % {low:.4f} to {high:.4f}, from {min(ratios):.3f} to {max(ratios):.3f}")
    print(f"the sampler takes {100 * sampler:.2f} % of one processor")


if __name__ == "__main__":
    run_script(main)
