"""Decoding under a CPU quota: whatever number of threads is asked for, against the best one found by hand.

    cpu_quota.py --qvl QVL --model MODEL [--cpus 1] [--tokens 64] [--rounds 3] [--llama-bench COMMAND] [--change]
                 [--save FILE.json]

Makes a cgroup (version 1 or 2; needs root), gives it CPUS processors' worth of time, and decodes TOKENS tokens in it: with
1, 2, 4 and 8 threads asked for. The share of the best says what asking for too many costs. COMMAND is llama.cpp's llama-bench with its
model ("llama-bench -m FILE"), which then does the same in the same group.
--change raises the quota from one to two processors in the middle of a long answer and prints how the threads followed.
"""
import argparse
import json
import pathlib
import shlex
import statistics
import subprocess
import tempfile
import time

from cgroups import ControlGroup

THREADS = (1, 2, 4, 8)
PROMPT = "Tell a long story about the sea, the wind and the people who live from both."


def quota_of(cpus):
    group = ControlGroup("cpu")
    group.limit_cpus(cpus)
    return group


def start(group, command, **options):
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=group.enter, **options)


def command(args, threads, tokens, *more):
    return [args.qvl, "run", "--model", args.model, "--threads", str(threads), "--max-tokens", str(tokens),
            "--temperature", "0", "--json", *more, PROMPT]


def tokens_per_second(quota, args, threads, *more):
    process = start(quota, command(args, threads, args.tokens, *more))
    answer = json.loads(process.communicate()[0])
    return answer["usage"]["completion_tokens"] / answer["timings"]["decode_s"]


def peer_tokens_per_second(quota, args, threads):
    process = start(quota, [*shlex.split(args.llama_bench), "-t", str(threads), "-p", "0", "-n", str(args.tokens), "-r", "1", "-o", "json"],
                    stderr=subprocess.DEVNULL)
    return json.loads(process.communicate()[0])[0]["avg_ts"]


def report(name, rates):
    medians = {threads: statistics.median(values) for threads, values in rates.items()}
    best = max(medians.values())
    for threads, value in medians.items():
        spread = ", ".join(f"{rate:.1f}" for rate in rates[threads])
        print(f"{name}, {threads} threads asked: {value:.1f} tokens/s ({spread}), {100 * value / best:.0f} % of the best")


def compare(args):
    quota = quota_of(args.cpus)
    programs = {"qvl": tokens_per_second}
    if args.llama_bench:
        programs["llama.cpp"] = peer_tokens_per_second
    rates = {name: {threads: [] for threads in THREADS} for name in programs}
    try:
        for _ in range(args.rounds):
            for name, measure in programs.items():
                for threads in THREADS:
                    rates[name][threads].append(measure(quota, args, threads))
    finally:
        quota.close()
    for name in programs:
        report(name, rates[name])
    if args.save:
        args.save.write_text(json.dumps({"cpus": args.cpus, "tokens_per_second": rates}, indent=1))


def follow_a_change(args):
    quota = quota_of(1)
    with tempfile.TemporaryDirectory() as folder:
        trace = pathlib.Path(folder) / "trace.json"
        process = start(quota, command(args, 8, 600, "--trace", str(trace)))
        time.sleep(8)
        quota.limit_cpus(2)
        changed_us = time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6
        process.communicate()
        quota.close()
        for event in json.loads(trace.read_text())["traceEvents"]:
            if event["ph"] == "i" and event["name"] == "adaptation":
                print(f"{(event['ts'] - changed_us) / 1e6:+.2f} s  {event['args']['text']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--qvl", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--cpus", type=float, default=1)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--llama-bench")
    parser.add_argument("--change", action="store_true")
    parser.add_argument("--save", type=pathlib.Path)
    args = parser.parse_args()
    follow_a_change(args) if args.change else compare(args)


if __name__ == "__main__":
    main()
