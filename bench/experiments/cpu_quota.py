"""Decoding under a CPU quota: whatever number of threads is asked for, against the best one found by hand.

    cpu_quota.py --qvl QVL --model MODEL [--cpus 1] [--tokens 64] [--rounds 3] [--llama-bench COMMAND] [--change]
                 [--save FILE.json]

Makes a cgroup (version 1 or 2; needs root), gives it CPUS processors' worth of time, and decodes TOKENS tokens in it: with
1, 2, 4 and 8 threads asked for. The share of the best says what asking for too many costs. COMMAND is llama.cpp's llama-bench with its
model ("llama-bench -m FILE"), which then does the same in the same group.
--change raises the quota from one to two processors in the middle of a long answer and prints how the threads followed.
"""
import json
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

import command_line
from cgroups import ControlGroup
from processes import failure, output_of, run_script, started

THREADS = (1, 2, 4, 8)
PROMPT = "Tell a long story about the sea, the wind and the people who live from both."


def command(args, threads, tokens, *more):
    return [args.qvl, "run", "--model", args.model, "--threads", str(threads), "--max-tokens", str(tokens),
            "--temperature", "0", "--json", *more, PROMPT]


def tokens_per_second(quota, args, threads, *more):
    answer = json.loads(output_of(command(args, threads, args.tokens, *more), preexec_fn=quota.enter))
    return answer["usage"]["completion_tokens"] / answer["timings"]["decode_s"]


def peer_tokens_per_second(quota, args, threads):
    told = output_of([*shlex.split(args.llama_bench), "-t", threads, "-p", "0", "-n", args.tokens, "-r", "1", "-o", "json"],
                     preexec_fn=quota.enter)
    return json.loads(told)[0]["avg_ts"]


def report(name, rates):
    medians = {threads: statistics.median(values) for threads, values in rates.items()}
    best = max(medians.values())
    for threads, value in medians.items():
        spread = ", ".join(f"{rate:.1f}" for rate in rates[threads])
        print(f"{name}, {threads} threads asked: {value:.1f} tokens/s ({spread}), {100 * value / best:.0f} % of the best")


def compare(args):
    programs = {"qvl": tokens_per_second}
    if args.llama_bench:
        programs["llama.cpp"] = peer_tokens_per_second
    rates = {name: {threads: [] for threads in THREADS} for name in programs}
    with ControlGroup("cpu") as quota:
        quota.limit_cpus(args.cpus)
        for _ in range(args.rounds):
            for name, measure in programs.items():
                for threads in THREADS:
                    rates[name][threads].append(measure(quota, args, threads))
    for name in programs:
        report(name, rates[name])
    if args.save:
        args.save.write_text(json.dumps({"cpus": args.cpus, "tokens_per_second": rates}, indent=1))


def follow_a_change(args):
    with tempfile.TemporaryDirectory() as folder:
        trace = pathlib.Path(folder) / "trace.json"
        asked = command(args, 8, 600, "--trace", str(trace))
        with ControlGroup("cpu") as quota:
            quota.limit_cpus(1)
            with started(asked, stdout=subprocess.DEVNULL, preexec_fn=quota.enter) as process:
                time.sleep(8)
                quota.limit_cpus(2)
                changed_us = time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6
                if process.wait() != 0:
                    sys.exit(failure(asked, process.returncode))
        for event in json.loads(trace.read_text())["traceEvents"]:
            if event["ph"] == "i" and event["name"] == "adaptation":
                print(f"{(event['ts'] - changed_us) / 1e6:+.2f} s  {event['args']['text']}")


def main():
    parser = command_line.Parser(__doc__)
    parser.add_qvl()
    parser.add_argument("--cpus", type=command_line.number(0), default=1)
    parser.add_argument("--tokens", type=command_line.integer(1), default=64)
    parser.add_argument("--rounds", type=command_line.integer(1), default=3)
    parser.add_argument("--llama-bench", type=command_line.command)
    parser.add_argument("--change", action="store_true")
    parser.add_argument("--save", type=command_line.output)
    args = parser.parse_args()
    follow_a_change(args) if args.change else compare(args)


if __name__ == "__main__":
    run_script(main)
