"""What single options of the system layer do here: the values of one in turn, A, B, A, B, then those of the next.

    options.py --qvl QVL --model MODEL --small MODEL [--only NAME]... [--rounds 2] [--tokens 64] [--cache FOLDER] [--save FILE.json]

MODEL is the real checkpoint, the small one a model that computes next to nothing, where what is around it counts. NAME is one of the
sections below, by default all of them. Prints medians, the least and the most, and the median ratio to the first value; --save puts the
sections that ran into a file, beside those that are there. FOLDER, by default a temporary one, is for packed weights and features.
The machine should be idle. As root, priorities are measured with the right to raise them and without; else without alone. The neighbours
beside which they are measured are of the same session: where the kernel shares processors between sessions first (autogroup), nice
levels say nothing across them. Run it at nice level 0.
"""
import functools
import json
import os
import pathlib
import shutil
import tempfile
import time
from dataclasses import dataclass
from typing import Callable

import command_line
from memory_cap import write_questions
from neighbour import PROMPT
from option_runs import MIB, Batch, decode, evaluate_questions, most_at_once, ratio, summary
from pictures import write_jpeg
from processes import output_of, run_script
from profiler_cost import sampler_ns

PICTURES, KEPT = 12, 6    # of 12 megapixels each, for preparing; of these, those that are kept on disk
QUESTIONS = 100          # of as many small pictures
SAMPLE_S, SAMPLED_S = 0.1, 3
FITTING, REQUESTS = 5, 8  # of so many requests at once, those that the memory limit has room for
WITHOUT_RIGHT = ["setpriv", "--bounding-set", "-sys_nice", "--"]
HELLO = {"prompt": "Hello.", "max_tokens": 1}


class Bench:
    """What the sections share. Files are written when the first one needs them."""

    def __init__(self, args, folder):
        self.args, self.folder = args, folder

    @functools.cached_property
    def photos(self):
        """As many files, no two the same."""
        files = [self.folder / f"photo-{i}.jpg" for i in range(PICTURES)]
        for i, file in enumerate(files):
            write_jpeg(file, 4000, 3000, str(i))
        return [str(file) for file in files]

    @functools.cached_property
    def questions(self):
        folder = self.folder / "questions"
        folder.mkdir()
        write_questions(folder, QUESTIONS)
        return folder / "questions.jsonl"

    @functools.cached_property
    def cache(self):
        """A folder that has the packed weights."""
        folder = self.args.cache or self.folder / "cache"
        with Batch(self.args.qvl, self.args.model, "--cache", folder) as batch:
            batch.answer_all([HELLO])
            batch.finish()
        return folder

    def photo_requests(self, count, **more):
        return [{"prompt": "What is this?", "images": [photo], "max_tokens": 1, **more} for photo in self.photos[:count]]


def policies(bench, options):
    return decode(bench.args, options)


def priorities(bench, value):
    prefix, options = value
    return decode(bench.args, options, prefix, len(os.sched_getaffinity(0)))


def priority_values():
    rights = {"": []} if os.geteuid() == 0 else {}
    rights[", without the right"] = WITHOUT_RIGHT if os.geteuid() == 0 else []
    return {f"{level}{name}": (prefix, ["--thread-priority", str(level)]) for name, prefix in rights.items() for level in range(3)}


def masks():
    return {"none": [], "one processor": ["--cpu-affinity-mask", hex(1 << min(os.sched_getaffinity(0)))]}


def preparing(bench, options):
    """From the first request to the last answer, with the model loaded."""
    with Batch(bench.args.qvl, bench.args.small, "--cache", "off", *options) as batch:
        batch.answer_all([HELLO])
        return {"seconds": batch.answer_all(bench.photo_requests(PICTURES))}


def reading_and_writing(bench, options):
    """Once with nothing kept of the pictures, until all is written, and once in a new process that finds it."""
    run = {}
    features = pathlib.Path(bench.cache) / "features"
    shutil.rmtree(features, ignore_errors=True)
    for name in ("computed_s", "from_disk_s"):
        with Batch(bench.args.qvl, bench.args.model, "--cache", bench.cache, *options) as batch:
            batch.answer_all([HELLO])
            run[name] = batch.answer_all(bench.photo_requests(KEPT, max_image_tokens=64))
            run[name] += batch.finish()
    return {**run, "files": sum(1 for _ in features.iterdir())}


def cleaning(bench, options):
    seconds, memory = evaluate_questions(bench.args.qvl, bench.args.small, bench.questions, *options, limit=QUESTIONS)
    return {"ms_per_request": 1000 * seconds / QUESTIONS, "rss_mib": memory["rss"] / MIB, "peak_rss_mib": memory["peak_rss"] / MIB}


def sampling(bench, options):
    """Processor time of the sampler's thread, beside requests that go on and on."""
    with Batch(bench.args.qvl, bench.args.small, "--cache", "off", "--profile-interval", str(SAMPLE_S), *options) as batch:
        batch.answer_all([HELLO])
        before, begin = sampler_ns(batch.process.pid), time.monotonic()
        while time.monotonic() < begin + SAMPLED_S:
            batch.answer_all([{"prompt": "Hello.", "max_tokens": 16}] * 8)
        used_ns, seconds = sampler_ns(batch.process.pid) - before, time.monotonic() - begin
    return {"ms_per_sample": used_ns / 1e6 * SAMPLE_S / seconds}


def admitting(bench, options):
    """REQUESTS requests at once under a limit that has room for FITTING of them."""
    story = {"prompt": 5 * PROMPT, "max_tokens": 48}
    trace = bench.folder / "trace.json"
    limits = ["--kv", "f32", "--disable-pass", "prefix_cache", "--memory-limit", str(limit_for(bench, story))]
    with Batch(bench.args.qvl, bench.args.model, "--trace", trace, *limits, *options) as batch:
        batch.answer_all([HELLO])
        seconds, answers = batch.ask([story] * REQUESTS)
        peak = batch.peak_mib()
        batch.finish()
    return {"seconds": seconds, "answered": sum("error" not in answer for answer in answers),
            "refused": sum("error" in answer for answer in answers),
            "most_at_once": most_at_once(json.loads(trace.read_text())["traceEvents"]), "peak_rss_mib": peak}


def limit_for(bench, story):
    """What the loaded checkpoint holds, and what FITTING requests take."""
    plan = json.loads(output_of([bench.args.qvl, "run", "--plan", "--json", "--model", bench.args.model, "--kv", "f32", "--max-tokens",
                                 story["max_tokens"], story["prompt"]]))
    return plan["memory_limit_bytes"] - plan["memory_free_bytes"] + FITTING * plan["memory_bytes"]


def pooling(bench, options):
    seconds, memory = evaluate_questions(bench.args.qvl, bench.args.small, bench.questions, *options, limit=QUESTIONS)
    _, first = evaluate_questions(bench.args.qvl, bench.args.small, bench.questions, *options, limit=1)
    blocks = memory["tensor_pool_allocations"] - first["tensor_pool_allocations"]
    return {"ms_per_request": 1000 * seconds / QUESTIONS, "blocks_per_request": blocks / (QUESTIONS - 1)}


@dataclass(frozen=True)
class Section:
    """Values of an option, the first one what the others are compared with, and what is measured of each."""
    values: Callable[[], dict]
    measure: Callable[[Bench, object], dict]


def settings(option, *values):
    return lambda: {value: [f"--{option}", value] for value in values}


SECTIONS = {
    "scheduler_policy": Section(settings("scheduler-policy", "performance", "balanced", "power_save"), policies),
    "thread_priority": Section(priority_values, priorities),
    "cpu_affinity_mask": Section(masks, policies),
    "num_preprocess_threads": Section(settings("num-preprocess-threads", "1", "4"), preparing),
    "num_io_threads": Section(settings("num-io-threads", "1", "2"), reading_and_writing),
    "memory_cleanup_interval": Section(settings("memory-cleanup-interval", "10", "1", "1000"), cleaning),
    "profile": Section(lambda: {"both": [], "profile_memory off": ["--profile-memory", "false"],
                                "profile_compute off": ["--profile-compute", "false"],
                                "neither": ["--profile-memory", "false", "--profile-compute", "false"]}, sampling),
    "resource_scheduling": Section(lambda: {
        **{f"ratio {share}": ["--resource-reservation-ratio", share] for share in ("0.7", "0.3", "1.0")},
        "off": ["--resource-scheduling-enabled", "false"]}, admitting),
    "memory_pool_size": Section(lambda: {"default": [], "0": ["--memory-pool-size", "0"]}, pooling),
}


def lines(values):
    """What is printed of a section: `values` has the runs of each value."""
    first = next(iter(values.values()))
    for value, runs in values.items():
        texts = []
        for name, (median, least, most) in summary(runs).items():
            times = None if runs is first else ratio(first, runs, name)
            texts.append(f"{name} {median:.4g} ({least:.4g} to {most:.4g}{'' if times is None else f'; {times:.3f} times'})")
        texts += [f"{name} {sorted(set().union(*(run[name] for run in runs)))}" for name in runs[0] if isinstance(runs[0][name], list)]
        yield f"  {value}: {', '.join(texts)}"


def measure(bench, name, section, rounds):
    values = section.values()
    runs = {value: [] for value in values}
    for _ in range(rounds):
        for value, setting in values.items():
            runs[value].append(section.measure(bench, setting))
    print(name, *lines(runs), sep="\n", flush=True)
    return runs


def save(path, results):
    """Beside sections that another run has left there."""
    earlier = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(earlier | results, indent=1))


def parse():
    parser = command_line.Parser(__doc__, needs=["PIL"])
    parser.add_qvl()
    parser.add_model("--small", required=True)
    parser.add_argument("--only", action="append", choices=SECTIONS, metavar="NAME", help=", ".join(SECTIONS))
    parser.add_argument("--rounds", type=command_line.integer(1), default=2)
    parser.add_argument("--tokens", type=command_line.integer(2), default=64)
    parser.add_argument("--cache", type=command_line.cache, help="a folder for packed weights and features, which is not removed")
    parser.add_argument("--save", type=command_line.output)
    return parser.parse_args()


def main():
    args = parse()
    os.environ.pop("XDG_RUNTIME_DIR", None)  # what the sampler writes there is no part of a sample
    with tempfile.TemporaryDirectory(prefix="qvl-options-") as folder:
        bench = Bench(args, pathlib.Path(folder))
        results = {name: measure(bench, name, SECTIONS[name], args.rounds) for name in args.only or SECTIONS}
    if args.save:
        save(args.save, results)


if __name__ == "__main__":
    run_script(main)
