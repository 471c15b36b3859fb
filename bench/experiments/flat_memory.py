"""Whether a long run with profiling keeps its memory flat.

    flat_memory.py --qvl QVL --model MODEL --picture FILE [--minutes 30] [--interval 0.01] [--nice 10]

Asks the same question about one picture again and again (qvl eval), with a sample of the machine each INTERVAL, and reads VmRSS ten
times a second from outside. Prints its slope after the first fifth, in KiB an hour, and how many questions were answered.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import command_line
from memory_cap import resident, slope
from processes import run_script, started
from questions import write_questions


def watch(process, seconds):
    samples = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            sys.exit("qvl ended early")
        samples.append((time.monotonic(), resident(process.pid)))
        time.sleep(0.1)
    return samples


def main():
    parser = command_line.Parser(__doc__)
    parser.add_qvl()
    parser.add_argument("--picture", required=True, type=command_line.file)
    parser.add_argument("--minutes", type=command_line.number(0), default=30)
    parser.add_argument("--interval", type=command_line.number(0), default=0.01)
    parser.add_argument("--nice", type=command_line.integer(0, 19), default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        questions = pathlib.Path(folder) / "questions.jsonl"
        write_questions(questions, args.picture, 1_500_000)
        command = ["nice", "-n", args.nice, args.qvl, "eval", "--model", args.model, "--questions", questions, "--profile-interval",
                   args.interval]
        with started(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            time.sleep(10)  # the file of questions is read before the first of them
            samples = watch(process, 60 * args.minutes)
            status = json.loads(next(pathlib.Path(folder).glob("qvl/*.json")).read_text())
    sizes = [size for _, size in samples]
    begin = sizes[len(sizes) // 5]
    print(f"{args.minutes:g} minutes, {status['requests']['done']} questions, a sample each {args.interval:g} s")
    print(f"resident: {begin / 1024:.0f} KiB after a fifth, {sizes[-1] / 1024:.0f} KiB at the end, at most {max(sizes) / 1024:.0f} KiB")
    print(f"slope: {slope(samples) * 3600 / 1024:+.0f} KiB an hour")


if __name__ == "__main__":
    run_script(main)
