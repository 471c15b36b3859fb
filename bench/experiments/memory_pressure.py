"""What happens to caches when another program takes the memory of the machine.

    memory_pressure.py --qvl QVL --model MODEL [--pictures 60] [--leave 0.04] [--hold 10] [--save FILE.json]

Asks about many pictures (qvl run --batch); in the middle of it another process takes memory until only the share LEAVE of it is available, and
keeps it for HOLD seconds. Prints what the trace says of it: each reduction with its cause, and how much the caches held over
time. Takes nearly all memory of the machine: nothing else that matters should run there.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import command_line
from memory_cap import write_questions
from processes import failure, run_script, started

MIB = 1 << 20
HOG = """
import mmap, sys, time
def value(key):
    return next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith(key)) * 1024
target, hold, kept = float(sys.argv[1]) * value("MemTotal:"), float(sys.argv[2]), []
while value("MemAvailable:") > target:
    kept.append(mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE))
print("full", flush=True)
time.sleep(hold)
"""


def now_us():
    return time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6


def experiment(args, folder):
    trace = folder / "trace.json"
    questions = map(json.loads, (folder / "questions.jsonl").read_text().splitlines())
    requests = folder / "requests.jsonl"
    requests.write_text("\n".join(json.dumps({"prompt": line["question"], "images": line["images"]}) for line in questions))
    command = [args.qvl, "run", "--model", args.model, "--max-tokens", "8", "--batch", str(requests), "--quiet", "--disable-pass",
               "disk_feature_cache", "--trace", str(trace)]
    with started(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(args.before)
        with started([sys.executable, "-c", HOG, args.leave, args.hold], stdout=subprocess.PIPE, text=True) as hog:
            begin = now_us()
            hog.stdout.readline()
            full = now_us()
            hog.wait()
        end = now_us()
        message = process.communicate()[1]
    if process.returncode != 0:
        sys.exit(failure(command, process.returncode, message))
    return json.loads(trace.read_text())["traceEvents"], begin, full, end


def main():
    parser = command_line.Parser(__doc__, needs=["PIL"])
    parser.add_qvl()
    parser.add_argument("--pictures", type=command_line.integer(1), default=60)
    parser.add_argument("--before", type=command_line.number(0), default=20)
    parser.add_argument("--leave", type=command_line.number(0, 1), default=0.04)
    parser.add_argument("--hold", type=command_line.number(0), default=10)
    parser.add_argument("--save", type=command_line.output)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_questions(folder, args.pictures)
        events, begin, full, end = experiment(args, folder)
    print(f"memory was full after {(full - begin) / 1e6:.1f} s and free again after {(end - begin) / 1e6:.1f} s")
    reductions = [((event["ts"] - begin) / 1e6, event["args"].get("text", event["name"])) for event in events
                  if event["ph"] == "i" and "reduced" in json.dumps(event)]
    for at, text in reductions:
        print(f"  {at:+.1f} s  {text}")
    held = [((event["ts"] - begin) / 1e6, event["args"]) for event in events if event["ph"] == "C" and "cache" in event["name"]]
    if args.save:
        args.save.write_text(json.dumps({"full_s": (full - begin) / 1e6, "free_s": (end - begin) / 1e6, "reductions": reductions,
                                         "held": held}, indent=1))
    sys.exit(0 if reductions else "nothing was reduced")


if __name__ == "__main__":
    run_script(main)
