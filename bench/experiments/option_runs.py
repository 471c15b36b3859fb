"""Runs of qvl that options.py compares, watched from outside, and what is made of what was seen."""
import contextlib
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from neighbour import PROMPT, now, processor_seconds
from processes import busy_processes, failure, output_of, started

MIB = 1 << 20
LOOK_S = 0.05  # from one look at a process to the next


@dataclass(frozen=True)
class Look:
    """At a moment: processor seconds so far, and the processors on which threads of the process were running."""
    at_s: float
    own_s: float
    neighbours_s: float = 0
    processors: tuple = ()


def running_on(pid):
    """Processors on which threads run or are about to."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
        if fields[0] == "R":
            found.append(int(fields[36]))
    return tuple(found)


def watch(process, neighbours):
    """Looks until the process ends."""
    looks = []
    while process.poll() is None:
        try:
            looks.append(Look(now(), processor_seconds(process.pid), sum(processor_seconds(pid) for pid in neighbours),
                              running_on(process.pid)))
        except OSError:  # it ends, or a thread of it
            continue
        time.sleep(LOOK_S)
    return looks


def value_at(looks, at_s, value):
    """Between two looks in proportion, outside as at the next one."""
    for before, after in itertools.pairwise(looks):
        if before.at_s <= at_s < after.at_s:
            return value(before) + (value(after) - value(before)) * (at_s - before.at_s) / (after.at_s - before.at_s)
    return value(looks[0] if at_s < looks[0].at_s else looks[-1])


def decoding(events):
    """When the first pass of decoding began and the last one ended, by a trace."""
    passes = [event for event in events if event["ph"] == "X" and event["name"] == "decode"]
    if not passes:
        sys.exit("the trace has no decoding: give more --tokens")
    return min(event["ts"] for event in passes) / 1e6, max(event["ts"] + event["dur"] for event in passes) / 1e6


def evaluate_decoding(tokens, span, looks, allowed):
    """Of the `tokens` that were decoded within `span`, beside neighbours on the processors `allowed` to everybody."""
    begin, end = span
    own, neighbours = (value_at(looks, end, value) - value_at(looks, begin, value)
                       for value in (lambda look: look.own_s, lambda look: look.neighbours_s))
    seen = set().union(*(look.processors for look in looks if begin <= look.at_s <= end))
    return {"tokens_per_s": tokens / (end - begin), "processor_s_per_token": own / tokens,
            "neighbour_share": neighbours / len(allowed) / (end - begin), "processors": sorted(seen)}


def decode(args, options, prefix=(), neighbours=0):
    """One answer of TOKENS tokens; beside as many busy processes."""
    with tempfile.TemporaryDirectory() as folder, busy_processes(neighbours) as busy:
        trace, output = pathlib.Path(folder) / "trace.json", pathlib.Path(folder) / "answer.json"
        command = [*prefix, args.qvl, "run", "--model", args.model, "--max-tokens", str(args.tokens), "--temperature", "0", "--json",
                   "--trace", str(trace), *options, PROMPT]
        with output.open("w") as stdout, started(command, stdout=stdout, stderr=subprocess.DEVNULL) as process:
            looks = watch(process, busy)
        if process.returncode != 0:
            sys.exit(failure(command, process.returncode))
        tokens = json.loads(output.read_text())["usage"]["completion_tokens"]
        span = decoding(json.loads(trace.read_text())["traceEvents"])
    if tokens != args.tokens:
        sys.exit(f"{tokens} tokens instead of {args.tokens}: times would not compare")
    return evaluate_decoding(tokens - 1, span, looks, os.sched_getaffinity(0))  # the prompt's pass has made the first one


class Batch:
    """`qvl run --batch -`, which is given requests when somebody likes to."""

    def __init__(self, qvl, model, *options):
        self.process = subprocess.Popen([qvl, "run", "--model", model, "--batch", "-", "--quiet", "--temperature", "0", *options],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def ask(self, requests):
        """All at once; seconds, and the answers."""
        begin = time.monotonic()
        self.process.stdin.write("".join(json.dumps(request) + "\n" for request in requests))
        self.process.stdin.flush()
        answers = []
        for _ in requests:
            line = self.process.stdout.readline()
            if not line:
                sys.exit(f"qvl run --batch ended with {self.process.wait()}")
            answers.append(json.loads(line))
        return time.monotonic() - begin, answers

    def answer_all(self, requests):
        """Seconds, where none is to fail."""
        seconds, answers = self.ask(requests)
        for answer in answers:
            if "error" in answer:
                sys.exit(f"qvl run --batch: {answer['error']['message']}")
        return seconds

    def peak_mib(self):
        """Of the resident memory so far."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        sys.exit("qvl run --batch has ended")

    def finish(self):
        """Lets it end, with whatever exit code; seconds."""
        begin = time.monotonic()
        self.process.stdin.close()
        self.process.wait()
        return time.monotonic() - begin


def most_at_once(events):
    """Requests that were between the beginning of their first step and the end of their last, by a trace."""
    edges = sorted((event["ts"], 1 if event["ph"] == "b" else -1) for event in events
                   if event["ph"] in "be" and event.get("cat") == "request")
    return max(itertools.accumulate((step for _, step in edges), initial=0))


def evaluate_questions(qvl, model, questions, *options, limit):
    """Seconds of `qvl eval` over the first `limit` questions, and what it says of memory."""
    begin = time.monotonic()
    told = output_of([qvl, "eval", "--model", model, "--questions", questions, "--max-tokens", "16", "--limit", limit, "--json", *options])
    return time.monotonic() - begin, json.loads(told)["memory"]


def summary(runs):
    """Of each figure that is a number: (median, least, most)."""
    return {name: (statistics.median(values), min(values), max(values)) for name, values in (
        (name, [run[name] for run in runs]) for name, value in runs[0].items() if isinstance(value, (int, float)))}


def ratio(first, other, name):
    """Median of the pairs' ratios, other to first; None where one of the first is 0."""
    pairs = [(a[name], b[name]) for a, b in zip(first, other)]
    return statistics.median(b / a for a, b in pairs) if all(a for a, _ in pairs) else None
