"""What each pass of a plan is worth: requests with all passes and without the one, in turn. For levels.py.

A pass that keeps results for later is asked a second question about the same picture, each time in a way that it alone can help:

    prefix_cache         the second question in the same process: the prompt begins as before
    feature_cache        the same behind another system text: the prompt begins otherwise, the picture is the same
    disk_feature_cache   the second question in a new process

All others are asked a first question about a picture of which nothing is kept.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from processes import failure, output_of, started

FIRST = "What is in this picture? Describe every object and its place."
SECOND = "Which colours are there? Describe every object again, and its place."
ANOTHER_SYSTEM_TEXT = "You are asked about pictures."
SLOW_PASSES = ("instruction_set",)  # without it scalar code computes
MIB = 1 << 20


@dataclass(frozen=True)
class Bench:
    qvl: str
    model: str
    pictures: tuple  # paths; the requests are about all of them
    tokens: int      # of each answer
    cache: Path      # of packed weights and of what is kept


def forget_pictures(bench):
    shutil.rmtree(bench.cache / "features", ignore_errors=True)


def command(bench, *options):
    return [bench.qvl, "run", "--model", bench.model, "--cache", str(bench.cache), "--max-tokens", str(bench.tokens), "--temperature", "0",
            *options]


def run_of(bench, answer, peak_bytes):
    """What counts of an answer: seconds, MiB at the peak of the process, and what was kept for it. A process that answers several questions
    does not tell how long it loaded."""
    if "error" in answer:
        sys.exit(f"{bench.qvl}: {answer['error']['message']}")
    timings, usage = answer["timings"], answer["usage"]
    if usage["completion_tokens"] != bench.tokens:
        sys.exit(f"{usage['completion_tokens']} tokens instead of {bench.tokens}: times would not compare")
    run = {"seconds": timings["time_to_first_token_s"] + timings["decode_s"], "first_token_s": timings["time_to_first_token_s"],
           "peak_mib": peak_bytes / MIB, "cached_tokens": usage["cached_tokens"],
           "looked_at": [medium["features"] for medium in answer["media"]].count("computed")}
    return run | ({"load_s": timings["load_s"]} if timings["load_s"] else {})


def ask(bench, question, *options):
    images = [word for picture in bench.pictures for word in ("--image", picture)]
    asked = command(bench, *images, "--json", *options, question)
    answer = json.loads(output_of(asked))
    return run_of(bench, answer, answer["memory"]["peak_rss"])


def first_question(bench, *options):
    forget_pictures(bench)
    return ask(bench, FIRST, *options)


def second_after_restart(bench, *options):
    forget_pictures(bench)
    ask(bench, FIRST, *options)
    return ask(bench, SECOND, *options)


def second_in_process(bench, *options, **of_second):
    """One process that is told the second question when it has answered the first."""
    forget_pictures(bench)
    request = {"images": [os.path.abspath(picture) for picture in bench.pictures], "class": "interactive"}
    with started(command(bench, "--batch", "-", "--quiet", *options), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for line in ({**request, "prompt": FIRST}, {**request, "prompt": SECOND, **of_second}):
            process.stdin.write(json.dumps(line) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        process.stdin.close()
        process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or not answer:
        sys.exit(failure([bench.qvl, "run", "--batch", "-"], process.returncode))
    return run_of(bench, json.loads(answer), usage.ru_maxrss * 1024)  # Linux counts in KiB


def second_behind_another_text(bench, *options):
    return second_in_process(bench, *options, system=ANOTHER_SYSTEM_TEXT)


SECOND_QUESTIONS = {"prefix_cache": second_in_process, "feature_cache": second_behind_another_text,
                    "disk_feature_cache": second_after_restart}


def expect_kept(name, with_all, without):
    """That the pass did its work where it was there, and only there: else its row would compare a plan with itself."""
    what = "cached_tokens" if name == "prefix_cache" else "looked_at"
    found = with_all[what], without[what]
    if (found[0] > 0, found[1] > 0) != ((True, False) if name == "prefix_cache" else (False, True)):
        sys.exit(f"{name}: {what} is {found[0]} with it and {found[1]} without: nothing is compared")


def medians(runs):
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def passes_of(plan):
    """(names of passes that `plan`, the object of `qvl plan --json`, has taken; name -> reason of those that it has not)."""
    taken = [choice["pass"] for choice in plan["choices"].values() if choice["pass"]]
    left = {other["pass"]: other["reason"] for choice in plan["choices"].values() for other in choice["alternatives"]}
    return taken, {name: reason for name, reason in left.items() if name not in taken}


def read_plan(bench):
    asked = [bench.qvl, "plan", "--model", bench.model, "--cache", str(bench.cache), "--explain", "--json"]
    return json.loads(output_of(asked))


def compare_pass(bench, name, rounds):
    measure = SECOND_QUESTIONS.get(name, first_question)
    without_it = ("--disable-pass", name)
    if name not in SLOW_PASSES:
        measure(bench, *without_it)  # packs what is packed otherwise without the pass
    with_all, without = [], []
    for _ in range(1 if name in SLOW_PASSES else rounds):
        with_all.append(measure(bench))
        without.append(measure(bench, *without_it))
        if name in SECOND_QUESTIONS:
            expect_kept(name, with_all[-1], without[-1])
    all_of_them, left_out = medians(with_all), medians(without)
    row = {"pass": name, "question": "first" if measure is first_question else "second", "seconds": left_out["seconds"],
           "ratio": left_out["seconds"] / all_of_them["seconds"], "peak_more_mib": left_out["peak_mib"] - all_of_them["peak_mib"]}
    if "load_s" in left_out:
        row |= {"load_s": left_out["load_s"], "load_more_s": left_out["load_s"] - all_of_them["load_s"]}
    return row


def line(row):
    load = f"load {row['load_more_s']:+.2f} s, " if "load_more_s" in row else ""
    return (f"without {row['pass']}: {row['seconds']:.2f} s for a {row['question']} question, {row['ratio']:.3f} times; {load}"
            f"peak {row['peak_more_mib']:+.0f} MiB")


def compare_passes(bench, rounds):
    """What is saved: a row for each pass taken, and the reasons of the plan for those it has not taken here."""
    taken, left = passes_of(read_plan(bench))
    ask(bench, FIRST)  # packs
    rows = []
    for name in taken:
        rows.append(compare_pass(bench, name, rounds))
        print(line(rows[-1]), flush=True)
    for name, reason in left.items():
        print(f"not taken here: {name}: {reason}", flush=True)
    return {"passes": rows, "not_taken": [{"pass": name, "reason": reason} for name, reason in left.items()]}
