"""Decoding beside a foreign program that keeps every processor busy for a while.

    neighbour.py --qvl QVL --model MODEL [--policy balanced] [--quiet 8] [--busy 30] [--tokens 1500]

Decodes a long answer; after QUIET seconds as many busy processes start as there are processors, for BUSY seconds. Prints what
the neighbour got of the machine, our tokens a second before, beside and after it, and how long the recovery took: with the
adaptation of threads and without. Without root; the rest of the machine should be idle.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

PROMPT = "Tell a long story about the sea, the wind and the people who live from both."
TICK = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def now():
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def be_busy(seconds):
    """Returns (begin, end, share of the machine that the busy processes got)."""
    processors = len(os.sched_getaffinity(0))
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processors)]
    begin = now()
    time.sleep(seconds)
    used, end = sum(processor_seconds(process.pid) for process in busy), now()
    for process in busy:
        process.kill()
        process.wait()
    return begin, end, used / (processors * (end - begin))


def rate(ends, begin, end):
    return sum(begin <= at < end for at in ends) / (end - begin)


def experiment(args, *options):
    with tempfile.TemporaryDirectory() as folder:
        trace = pathlib.Path(folder) / "trace.json"
        process = subprocess.Popen(
            [args.qvl, "run", "--model", args.model, "--max-tokens", str(args.tokens), "--temperature", "0", "--json",
             "--scheduler-policy", args.policy, "--trace", str(trace), *options, PROMPT],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(args.quiet)
        begin, end, share = be_busy(args.busy)
        process.wait()
        events = json.loads(trace.read_text())["traceEvents"]
    ends = [(event["ts"] + event["dur"]) / 1e6 for event in events if event["ph"] == "X" and event["name"] == "decode"]
    changes = [event for event in events if event["ph"] == "i"]
    if not ends or ends[-1] < end + 6:
        sys.exit("the answer ended before the experiment: give more --tokens")
    before = rate(ends, begin - args.quiet / 2, begin)
    beside = rate(ends, begin + 5, end)
    after = rate(ends, end + 5, ends[-1])
    recovered = next((t / 10 for t in range(0, 100) if rate(ends, end + t / 10, end + t / 10 + 1) >= 0.9 * before), None)
    print(f"  neighbour {100 * share:.0f} % of the machine; tokens/s alone {before:.1f}, beside it {beside:.1f} "
          f"({100 * beside / before:.0f} % of alone), afterwards {after:.1f}; at 90 % again after "
          f"{'more than 10' if recovered is None else recovered} s")
    for event in changes:
        print(f"    {event['ts'] / 1e6 - begin:+.1f} s  {event['args']['text']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--qvl", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--policy", default="balanced")
    parser.add_argument("--quiet", type=float, default=8)
    parser.add_argument("--busy", type=float, default=30)
    parser.add_argument("--tokens", type=int, default=1500)
    args = parser.parse_args()
    print("with adaptation")
    experiment(args)
    print("without adaptation")
    experiment(args, "--dynamic-resource-adjustment", "false")


if __name__ == "__main__":
    main()
