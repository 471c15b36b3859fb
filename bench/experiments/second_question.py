"""The first question about a picture and the second, in the same process and after a restart, which find what the first has left.

    second_question.py --qvl QVL --model MODEL [--python COMMAND] [--side 1024] [--rounds 3] [--keep FOLDER]

Makes a picture of SIDE x SIDE pixels and a cache folder of its own, in which the first start packs the weights. Each round begins
with no features kept, and asks three times with `qvl run --json`, each time in a new process: the first question, another one, and
that one again with all caches off. COMMAND is a Python that finds the package qvl ("env PYTHONPATH=build/release/python python3"): it
asks a pipeline two questions in one process, and the second again in a new one. Prints where the time to the first token went and who
computed the picture. Ends with 1 where a second question looked at the picture again (the counter says so), took more than a fifth of
the first one's time, or got another answer than without caches.
"""
import json
import pathlib
import shlex
import shutil
import statistics
import sys
import tempfile

import command_line
from pictures import write_picture
from processes import output_of, run_script

QUESTIONS = ("What is in the picture?", "Which colours are there?")
TOKENS = 8
MOST_OF_FIRST = 0.2  # of the first question's time to the first token
PIPELINE = """
import json, sys, qvl
folder, model, picture, tokens, *questions = sys.argv[1:]
with qvl.OptimizedInferencePipeline(model, cache_folder=folder) as pipeline:
    for question in questions:
        answer = pipeline.run_inference(prompt=question, images=[picture], temperature=0, max_tokens=int(tokens))
        print(json.dumps({"tokens": answer.tokens, "first_token_s": answer.timings.time_to_first_token_s,
                          "vision_s": answer.timings.vision_s, "prefill_s": answer.timings.prefill_s,
                          "caches": pipeline.get_performance_metrics()["caches"]}))
"""


def ask(args, folder, picture, question, *more):
    return json.loads(output_of([args.qvl, "run", "--model", args.model, "--cache", folder, "--image", picture, "--temperature", "0",
                                 "--max-tokens", str(TOKENS), "--json", *more, question]))


def ask_pipeline(args, folder, picture, *questions):
    """An answer for each of `questions`, all of one process."""
    lines = output_of([*shlex.split(args.python), "-c", PIPELINE, folder, args.model, picture, str(TOKENS), *questions])
    return [json.loads(line) for line in lines.splitlines()]


def line(name, answer):
    timings, usage = answer["timings"], answer["usage"]
    return (f"{name}: first token {timings['time_to_first_token_s']:.2f} s, load {timings['load_s']:.2f}, "
            f"preprocess {timings['preprocess_s']:.2f}, vision {timings['vision_s']:.2f}, prefill {timings['prefill_s']:.2f} "
            f"({usage['prompt_tokens'] - usage['cached_tokens']} of {usage['prompt_tokens']} tokens), "
            f"features {answer['media'][0]['features']}")


def pipeline_line(name, answer):
    caches = answer["caches"]
    return (f"pipeline, {name}: first token {answer['first_token_s']:.2f} s, vision {answer['vision_s']:.2f}, "
            f"prefill {answer['prefill_s']:.2f}; pictures of this process: {caches['feature_misses']} computed, "
            f"{caches['feature_memory_hits']} from memory, {caches['feature_disk_hits']} from disk")


class Checks:
    """What was expected, and shares of the first question's time, by the kind of second question."""

    def __init__(self):
        self.failures, self.shares = [], {}

    def expect(self, found, what):
        if not found:
            self.failures.append(what)

    def second(self, kind, first_s, second_s, vision_s):
        self.shares.setdefault(kind, []).append(second_s / first_s)
        self.expect(vision_s == 0, f"{kind}: {vision_s:.2f} s in the vision tower, expected none")

    def finish(self):
        for kind, shares in self.shares.items():
            share = statistics.median(shares)
            print(f"{kind}: {share:.3f} of the first time")
            self.expect(share <= MOST_OF_FIRST, f"{kind}: {share:.3f} of the first time, expected at most {MOST_OF_FIRST}")
        if self.failures:
            sys.exit("\n".join(self.failures))


def command_round(args, folder, picture, checks):
    """The answer without caches."""
    first = ask(args, folder, picture, QUESTIONS[0])
    restarted = ask(args, folder, picture, QUESTIONS[1])
    plain = ask(args, folder, picture, QUESTIONS[1], "--disable-pass", "feature_cache",
                "--disable-pass", "prefix_cache", "--disable-pass", "disk_feature_cache")
    for name, answer in (("first", first), ("after a restart", restarted), ("without caches", plain)):
        print(line(name, answer), flush=True)
    times = [answer["timings"]["time_to_first_token_s"] for answer in (first, restarted)]
    checks.second("after a restart", *times, restarted["timings"]["vision_s"])
    for name, answer, source in (("first", first, "computed"), ("after a restart", restarted, "disk")):
        found = answer["media"][0]["features"]
        checks.expect(found == source, f"{name}: features {found}, expected {source}")
    checks.expect(restarted["tokens"] == plain["tokens"], "after a restart: another answer than without caches")
    return plain["tokens"]


def pipeline_round(args, folder, picture, tokens, checks):
    """`tokens` is the answer to the second question without caches."""
    first, second = ask_pipeline(args, folder, picture, *QUESTIONS)
    restarted, = ask_pipeline(args, folder, picture, QUESTIONS[1])
    for name, answer, computed in (("first", first, 1), ("second", second, 1), ("after a restart", restarted, 0)):
        print(pipeline_line(name, answer), flush=True)
        found = answer["caches"]["feature_misses"]
        checks.expect(found == computed, f"pipeline, {name}: {found} pictures computed in this process, expected {computed}")
    for name, answer in (("second", second), ("after a restart", restarted)):
        checks.second(f"pipeline, {name}", first["first_token_s"], answer["first_token_s"], answer["vision_s"])
        checks.expect(answer["tokens"] == tokens, f"pipeline, {name}: another answer than without caches")


def main():
    parser = command_line.Parser(__doc__, needs=["PIL"])
    parser.add_qvl()
    parser.add_argument("--python", type=command_line.command, help="a Python that finds the package qvl: its pipeline is asked, too")
    parser.add_argument("--side", type=command_line.integer(1), default=1024)
    parser.add_argument("--rounds", type=command_line.integer(1), default=3)
    parser.add_argument("--keep", type=command_line.cache, help="a folder for packed weights and features, which is not removed")
    args = parser.parse_args()
    folder = pathlib.Path(args.keep or tempfile.mkdtemp(prefix="qvl-second-"))
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / "picture.png"
    write_picture(picture, args.side)
    try:
        checks = Checks()
        ask(args, folder, picture, QUESTIONS[0], "--disable-pass", "disk_feature_cache")  # packs the weights
        for _ in range(args.rounds):
            shutil.rmtree(folder / "features", ignore_errors=True)
            plain = command_round(args, folder, picture, checks)
            if args.python:
                shutil.rmtree(folder / "features", ignore_errors=True)
                pipeline_round(args, folder, picture, plain, checks)
        checks.finish()
    finally:
        if not args.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    run_script(main)
