#!/usr/bin/env python3
"""The demonstration behind demo.sh: runs the built qvl over pictures and shows its answers and what they cost."""
import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

QVL = Path("build/release/apps/cli/qvl")
MODEL = "models/shapes"
EXPECTED = Path("examples/expected.json")
DESCRIBE = "Describe this picture."
DESCRIBE_VIDEO = "Describe this video."
VIDEO_SUFFIXES = {".avi", ".mkv", ".mov", ".mp4", ".webm"}
ANSWERS = ["--temperature", "0", "--max-tokens", "64"]         # greedy, so that they repeat
MEGABYTE = 1e6


def qvl(arguments, **options):
    """Standard output of the program; where it fails its message ends the demonstration."""
    done = subprocess.run([str(QVL), *arguments], capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"{done.stderr}demo: qvl {arguments[0]} failed with exit status {done.returncode}")
    return done.stdout


def ask(path, question):
    """The answer of the small model about one file, as `qvl run --json` prints it."""
    medium = "--video" if path.suffix in VIDEO_SUFFIXES else "--image"
    return json.loads(qvl(["run", "--model", MODEL, medium, str(path), *ANSWERS, "--json", question]))


def show_answer(question, answer, truth):
    print(f"    {question}")
    verdict = "as drawn" if answer == truth else f"drawn was: {truth}"
    print(f"      {answer}   [{verdict}]")
    return answer == truth


def show_costs(rows):
    """A table with a row for each question asked."""
    width = max(len(path.name) for path, _, _ in rows)
    print(f"  {'file':<{width}}{'size':>9} {'tokens in':>10}{'out':>5}{'preprocess':>12}{'vision':>10}{'prefill':>10}"
          f"{'decode':>10}{'tokens/s':>10}{'memory':>10}")
    for path, size, answer in rows:
        used, spent = answer["usage"], answer["timings"]
        rate = used["completion_tokens"] / spent["decode_s"] if spent["decode_s"] > 0 else 0
        times = "".join(f"{spent[key] * 1000:>{digits}.1f} ms" for key, digits in
                        [("preprocess_s", 9), ("vision_s", 7), ("prefill_s", 7), ("decode_s", 7)])
        print(f"  {path.name:<{width}}{size:>9} {used['prompt_tokens']:>10}{used['completion_tokens']:>5}{times}"
              f"{rate:>10.0f}{answer['memory']['peak_rss'] / MEGABYTE:>7.0f} MB")


def show_samples(samples):
    """Describes every sample, asks its question, and compares both with what was drawn."""
    rows, right = [], 0
    for path, truth in samples.items():
        print(f"\n  {path}  {truth.get('size', '')}")
        describe = DESCRIBE_VIDEO if path.suffix in VIDEO_SUFFIXES else DESCRIBE
        for question, expected in [(describe, truth["description"]), (truth["question"], truth["answer"])]:
            answer = ask(path, question)
            right += show_answer(question, answer["text"].strip(), expected)
            rows.append((path, truth.get("size", ""), answer))
    print(f"\n  {right} of {len(rows)} answers are exactly as drawn.\n")
    show_costs(rows)


def show_conversation(picture):
    turns = [DESCRIBE, "How many objects are there?", "What colour is the background?"]
    typed = f"/image {picture}\n" + "".join(turn + "\n" for turn in turns) + "/quit\n"
    answers = qvl(["chat", "--model", MODEL, *ANSWERS], input=typed)
    print(f"\n  A conversation (qvl chat):\n    > /image {picture}")
    for turn, answer in zip(turns, answers.splitlines()):
        print(f"    > {turn}\n      {answer}")


def show_next_steps(picture):
    print(f"""
Try next:
  {QVL} run --model {MODEL} --image {picture} "What do you see?"
  {QVL} chat --model {MODEL}
  {QVL} inspect --model {MODEL}
  ./demo.sh --model PATH --image FILE "QUESTION"      with a Qwen3-VL checkpoint of yours (a folder or a .gguf file)
  ./test.sh                                           the tests""")


def demonstrate():
    begin = time.monotonic()
    samples = {EXPECTED.parent / name: truth for name, truth in json.loads(EXPECTED.read_text(encoding="utf-8")).items()}
    richest = max(samples, key=lambda path: len(samples[path]["description"]))
    print(f'--> Ask the small model about the pictures of {EXPECTED.parent}/: qvl run --model {MODEL} --image FILE "{DESCRIBE}"')
    show_samples(samples)
    show_conversation(richest)
    print(f"\n  All of this took {time.monotonic() - begin:.1f} s.")
    show_next_steps(richest)
    return 0


def ask_own(arguments):
    """One question about the user's pictures and videos to the user's checkpoint, streamed."""
    here = Path(arguments.called_from)
    command = [QVL, "run", "--model", here / (arguments.model or Path(MODEL).resolve()), "--timings"]
    if arguments.mmproj:
        command += ["--mmproj", here / arguments.mmproj]
    for medium in ("image", "video"):
        for path in getattr(arguments, medium):
            command += [f"--{medium}", here / path]
    print(f"--> Ask: {arguments.question}", flush=True)
    return subprocess.run([*map(str, command), arguments.question], check=False).returncode


def main():
    parser = argparse.ArgumentParser(prog="demo.sh", description="Shows what qvl says about pictures.")
    parser.add_argument("--called-from", default=".", help=argparse.SUPPRESS)
    parser.add_argument("--model", metavar="PATH", help="a Qwen3-VL folder or text .gguf file")
    parser.add_argument("--mmproj", metavar="FILE", help="the vision .gguf beside a text .gguf")
    parser.add_argument("--image", metavar="FILE", action="append", default=[], help="a picture; may be given several times")
    parser.add_argument("--video", metavar="FILE", action="append", default=[], help="a video; may be given several times")
    parser.add_argument("question", nargs="?", default=DESCRIBE, metavar="QUESTION")
    arguments = parser.parse_args()
    own = arguments.model or arguments.image or arguments.video or arguments.mmproj
    return ask_own(arguments) if own else demonstrate()


if __name__ == "__main__":
    sys.exit(main())
