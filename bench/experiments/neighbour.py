"""Decoding beside a foreign program that keeps every processor busy for a while.

    neighbour.py --qvl QVL --model MODEL [--policy balanced] [--quiet 8] [--busy 30] [--tokens 1800] [--rounds 3]
                 [--save FILE.json]

Decodes a long answer; after QUIET seconds as many busy processes start as there are processors, for BUSY seconds. Prints what
the neighbour got of the machine, our tokens a second alone (before and after, in the mean) and beside it, and how long the recovery
took: with the adaptation of threads and without, in turn. The fair share of two programs that want the whole machine is half of what
each does alone. Without root; the rest of the machine should be idle.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import command_line
from processes import busy_processes, failure, run_script, started

PROMPT = "Tell a long story about the sea, the wind and the people who live from both."
TICK = os.sysconf("SC_CLK_TCK")
FAIR = 0.5
POLICIES = ("performance", "balanced", "power_save")


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def now():
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def be_busy(seconds):
    """Returns (begin, end, share of the machine that the busy processes got)."""
    processors = len(os.sched_getaffinity(0))
    with busy_processes(processors) as busy:
        begin = now()
        time.sleep(seconds)
        used, end = sum(processor_seconds(pid) for pid in busy), now()
    return begin, end, used / (processors * (end - begin))


def rate(ends, begin, end):
    return sum(begin <= at < end for at in ends) / (end - begin)


def experiment(args, *options):
    """One answer; its rates, the neighbour's share, and what the control loop did, by seconds after the neighbour came."""
    with tempfile.TemporaryDirectory() as folder:
        trace = pathlib.Path(folder) / "trace.json"
        command = [args.qvl, "run", "--model", args.model, "--max-tokens", str(args.tokens), "--temperature", "0", "--json",
                   "--scheduler-policy", args.policy, "--trace", str(trace), *options, PROMPT]
        with started(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            time.sleep(args.quiet)
            begin, end, share = be_busy(args.busy)
            if process.wait() != 0:
                sys.exit(failure(command, process.returncode))
        events = json.loads(trace.read_text())["traceEvents"]
    ends = [(event["ts"] + event["dur"]) / 1e6 for event in events if event["ph"] == "X" and event["name"] == "decode"]
    if not ends or ends[-1] < end + 12:
        sys.exit("the answer ended before the experiment: give more --tokens")
    after = rate(ends, end + 6, end + 12)
    alone = (rate(ends, begin - args.quiet / 2, begin) + after) / 2
    recovered = next((t / 10 for t in range(100) if rate(ends, end + t / 10, end + t / 10 + 1) >= 0.9 * after), None)
    return {"neighbour_share": share, "alone": alone, "beside": rate(ends, begin + 5, end), "after": after,
            "recovered_s": recovered,
            "timeline": [(second, rate(ends, begin + second, begin + second + 1)) for second in range(-4, int(args.busy) + 12)],
            "changes": [(event["ts"] / 1e6 - begin, event["args"]["text"]) for event in events if event["ph"] == "i"]}


def describe(run):
    recovered = "more than 10" if run["recovered_s"] is None else f"{run['recovered_s']:.1f}"
    print(f"  neighbour {100 * run['neighbour_share']:.0f} % of the machine; tokens/s alone {run['alone']:.1f}, beside it "
          f"{run['beside']:.1f}: {100 * run['beside'] / run['alone'] / FAIR:.0f} % of the fair share; within 10 % of what followed after "
          f"{recovered} s", flush=True)


def summary(name, runs):
    neighbour = statistics.median(run["neighbour_share"] for run in runs)
    fair = statistics.median(run["beside"] / run["alone"] / FAIR for run in runs)
    recovered = statistics.median(10 if run["recovered_s"] is None else run["recovered_s"] for run in runs)
    print(f"{name}: medians of {len(runs)}: neighbour {100 * neighbour:.0f} % of the machine, we {100 * fair:.0f} % of our fair share, "
          f"recovered after {recovered:.1f} s")


def main():
    parser = command_line.Parser(__doc__)
    parser.add_qvl()
    parser.add_argument("--policy", choices=POLICIES, default="balanced")
    parser.add_argument("--quiet", type=command_line.number(0), default=8)
    parser.add_argument("--busy", type=command_line.number(0), default=30)
    parser.add_argument("--tokens", type=command_line.integer(1), default=1800)
    parser.add_argument("--rounds", type=command_line.integer(1), default=3)
    parser.add_argument("--save", type=command_line.output)
    args = parser.parse_args()
    modes = {"with adaptation": [], "without adaptation": ["--dynamic-resource-adjustment", "false"]}
    runs = {name: [] for name in modes}
    for _ in range(args.rounds):
        for name, options in modes.items():
            print(name)
            runs[name].append(experiment(args, *options))
            describe(runs[name][-1])
    for at, text in runs["with adaptation"][-1]["changes"]:
        print(f"    {at:+.1f} s  {text}")
    for name in modes:
        summary(name, runs[name])
    if args.save:
        args.save.write_text(json.dumps(runs, indent=1))


if __name__ == "__main__":
    run_script(main)
