"""Many pictures of different sizes in one process under a memory cap.

    memory_cap.py --qvl QVL --model MODEL [--limit 2GiB] [--pictures 500] [--cache-dir FOLDER] [--group FOLDER]
                  [--save FILE.json]

Asks about each picture in a conversation of its own (qvl eval), and reads VmRSS ten times a second from outside. Prints
the most of it, its slope per 100 pictures over the last four fifths of the run, the use of the pool, and what a picture
that is too large for the cap is told. With --group (a folder of the memory controller of cgroups version 1, as root) the process runs
in a group of the cap and 256 MiB, where the kernel kills whoever goes beyond; the pages of the packed file are dropped before, so that
they count there.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

from pictures import write_png

MIB = 1 << 20
UNITS = {"GiB": 1 << 30, "MiB": MIB}


def write_questions(folder, count):
    rng = random.Random(1)
    lines = []
    for i in range(count):
        write_png(folder / f"{i}.png", rng.randint(64, 704), rng.randint(64, 704), rng)
        lines.append(json.dumps({"kind": "size", "images": [f"{i}.png"], "videos": [], "question": "What is this?",
                                 "answer": ""}))
    (folder / "questions.jsonl").write_text("\n".join(lines))
    write_png(folder / "large.png", 4096, 4096, rng)


def resident(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return None


def watch(process, samples):
    while process.poll() is None:
        try:
            rss = resident(process.pid)
        except OSError:
            return
        if rss:
            samples.append((time.monotonic(), rss))
        time.sleep(0.1)


def slope(samples):
    """Bytes a second, least squares, over highs of twenty equal parts: single samples depend on the step they hit."""
    begin, end = samples[0][0] + (samples[-1][0] - samples[0][0]) / 5, samples[-1][0]
    points = []
    for part in range(20):
        low, high = begin + (end - begin) * part / 20, begin + (end - begin) * (part + 1) / 20
        inside = [rss for at, rss in samples if low <= at < high]
        if inside:
            points.append(((low + high) / 2, max(inside)))
    if len(points) < 2:
        sys.exit(f"{len(samples)} samples are too few for a slope: ask about more pictures")
    mean_t, mean_y = (sum(values) / len(points) for values in zip(*points))
    return sum((t - mean_t) * (y - mean_y) for t, y in points) / sum((t - mean_t) ** 2 for t, _ in points)


def bytes_of(text):
    for unit, size in UNITS.items():
        if text.endswith(unit):
            return int(float(text[:-len(unit)]) * size)
    return int(text)


class Group:
    """A memory cgroup of version 1, or none."""

    def __init__(self, folder, limit):
        self.path = pathlib.Path(folder) / f"qvl-{os.getpid()}" if folder else None
        if self.path:
            self.path.mkdir()
            (self.path / "memory.limit_in_bytes").write_text(str(limit))

    def enter(self):
        if self.path:
            (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def close(self):
        if self.path:
            print(f"  group: most {int((self.path / 'memory.max_usage_in_bytes').read_text()) / MIB:.0f} MiB with page "
                  f"cache, {(self.path / 'memory.oom_control').read_text().split()[-1]} killed")
            self.path.rmdir()


def run_many(args, folder, group):
    command = [args.qvl, "eval", "--model", args.model, "--memory-limit", args.limit, "--max-tokens", "1", "--json",
               "--questions", str(folder / "questions.jsonl"), *cache_option(args)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=group.enter)
    samples = []
    watcher = threading.Thread(target=watch, args=(process, samples))
    watcher.start()
    out = process.communicate()[0]
    watcher.join()
    if process.returncode != 0:
        sys.exit(f"qvl ended with {process.returncode}")
    memory = json.loads(out)["memory"]
    cap, most = memory["cap_bytes"], max(rss for _, rss in samples)
    seconds = samples[-1][0] - samples[0][0]
    per_hundred = slope(samples) * seconds / args.pictures * 100
    print(f"  {args.pictures} pictures in {seconds:.0f} s, {len(samples)} samples")
    print(f"  cap {cap / MIB:.0f} MiB; resident at most {most / MIB:.0f} MiB ({'never above' if most <= cap else 'ABOVE'} the "
          f"cap); ledger at most {memory['peak_bytes'] / MIB:.0f} MiB, {memory['refusals']} refusals")
    print(f"  slope {per_hundred / MIB:+.2f} MiB for 100 pictures")
    print(f"  pool: {100 * memory['tensor_pool_hit_rate']:.1f} % of blocks reused, "
          f"{memory['tensor_pool_allocations'] / args.pictures:.1f} from the system for a request")
    print("  parts, MiB at most: " + ", ".join(
        f"{name} {part['peak_bytes'] / MIB:.0f}" for name, part in memory["by_part"].items() if part["peak_bytes"]))
    if args.save:
        step = max(len(samples) // 500, 1)
        args.save.write_text(json.dumps({
            "cap_mib": cap / MIB, "pictures": args.pictures, "most_mib": most / MIB, "slope_mib_per_100": per_hundred / MIB,
            "resident": [(round(at - samples[0][0], 1), max(rss for _, rss in samples[i:i + step]) / MIB)
                         for i, (at, _) in list(enumerate(samples))[::step]]}, indent=1))


def cache_option(args):
    return ["--cache", args.cache_dir] if args.cache_dir else []


def pack(args):
    """Packing is no part of what is measured."""
    subprocess.run([args.qvl, "run", "--model", args.model, "--max-tokens", "1", *cache_option(args), "Hello"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def drop_pages(folder):
    for path in pathlib.Path(folder).glob("*.packed"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def refuse_large(args, folder, group):
    done = subprocess.run([args.qvl, "run", "--model", args.model, "--memory-limit", args.limit, "--max-tokens", "1",
                           *cache_option(args), "--image", str(folder / "large.png"), "What is this?"],
                          capture_output=True, text=True, preexec_fn=group.enter)
    print(f"  4096 x 4096: exit {done.returncode}: {done.stderr.strip()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--qvl", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--limit", default="2GiB")
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--cache-dir")
    parser.add_argument("--group")
    parser.add_argument("--save", type=pathlib.Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_questions(folder, args.pictures)
        pack(args)
        if args.cache_dir:
            drop_pages(args.cache_dir)
        group = Group(args.group, bytes_of(args.limit) + 256 * MIB)
        try:
            run_many(args, folder, group)
            refuse_large(args, folder, group)
        finally:
            group.close()


if __name__ == "__main__":
    main()
