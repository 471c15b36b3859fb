"""Many pictures of different sizes in one process under a memory cap.

    memory_cap.py --qvl QVL --model MODEL [--limit 2GiB] [--pictures 500] [--cache-dir FOLDER] [--group [FOLDER]]
                  [--save FILE.json]

Asks about each picture in a conversation of its own (qvl eval), and reads VmRSS ten times a second from outside. Prints
the most of it, its slope per 100 pictures over the last four fifths of the run, the use of the pool, and what a picture
that is too large for the cap is told. With --group (as root; FOLDER: where the group is made, in cgroups of version 1 or 2) the process runs
in a group of the cap and 256 MiB, where the kernel kills whoever goes beyond; the pages of the packed file are dropped before, so that
they count there.
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

import command_line
from cgroups import ControlGroup
from pictures import write_png
from processes import failure, output_of, run_script, started

MIB = 1 << 20
ABOVE_CAP = 256 * MIB  # of the group: what the kernel charges beyond resident memory
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


def size(text):
    """For `type=`: what bytes_of() takes, as it is."""
    try:
        fits = bytes_of(text) > 0
    except (ValueError, OverflowError):
        fits = False
    if not fits:
        raise command_line.refusal(repr(text), "bytes above 0, like 2GiB or 500MiB")
    return text


def memory_group(args):
    """A group of the cap and what its program may pass it by, where --group asks for one."""
    if args.group is None:
        return None
    group = ControlGroup("memory", args.group)
    group.limit_memory(bytes_of(args.limit) + ABOVE_CAP)
    return group


def enter(group):
    """For preexec_fn."""
    return group.enter if group else None


def close(group):
    if group:
        peak = group.peak_memory()
        most = "not told by this kernel" if peak is None else f"{peak / MIB:.0f} MiB with page cache"
        print(f"  group: most {most}, {group.killed()} killed")
        group.close()


def run_many(args, folder, group):
    command = [args.qvl, "eval", "--model", args.model, "--memory-limit", args.limit, "--max-tokens", "1", "--json",
               "--questions", str(folder / "questions.jsonl"), *cache_option(args)]
    with started(command, stdout=subprocess.PIPE, text=True, preexec_fn=enter(group)) as process:
        samples = []
        watcher = threading.Thread(target=watch, args=(process, samples))
        watcher.start()
        out = process.communicate()[0]
        watcher.join()
    if process.returncode != 0:
        sys.exit(failure(command, process.returncode))
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
    output_of([args.qvl, "run", "--model", args.model, "--max-tokens", "1", *cache_option(args), "Hello"])


def drop_pages(folder):
    for path in pathlib.Path(folder).glob("*.packed"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def refuse_large(args, folder, group):
    done = subprocess.run([args.qvl, "run", "--model", args.model, "--memory-limit", args.limit, "--max-tokens", "1",
                           *cache_option(args), "--image", str(folder / "large.png"), "What is this?"],
                          capture_output=True, text=True, preexec_fn=enter(group))
    print(f"  4096 x 4096: exit {done.returncode}: {done.stderr.strip()}")


def main():
    parser = command_line.Parser(__doc__, needs=["PIL"])
    parser.add_qvl()
    parser.add_argument("--limit", type=size, default="2GiB")
    parser.add_argument("--pictures", type=command_line.integer(2), default=500)
    parser.add_argument("--cache-dir", type=command_line.cache)
    parser.add_group()
    parser.add_argument("--save", type=command_line.output)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_questions(folder, args.pictures)
        pack(args)
        if args.cache_dir:
            drop_pages(args.cache_dir)
        group = memory_group(args)
        try:
            run_many(args, folder, group)
            refuse_large(args, folder, group)
        finally:
            close(group)


if __name__ == "__main__":
    run_script(main)
