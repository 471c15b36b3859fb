"""What the plan says where two optimisations, or one and the machine, do not go together.

    conflicts.py --qvl QVL --model MODEL [--small MODEL] [--group FOLDER]

Puts the machine into one situation after the other and prints the lines of `qvl plan --explain` that tell who won and why: memory caps,
a busy neighbour, options of the caller, and (as root, FOLDER: the cpu controller of cgroups version 1) a quota of one processor.
Ends with 1 where a plan does not say what the situation must lead to.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import time


class Quota:
    """A cgroup of one processor, for the process that enters it."""

    def __init__(self, folder):
        self.path = pathlib.Path(folder) / f"qvl-conflicts-{os.getpid()}"
        self.path.mkdir()
        (self.path / "cpu.cfs_quota_us").write_text((self.path / "cpu.cfs_period_us").read_text())

    def enter(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def close(self):
        self.path.rmdir()


def plan(args, *options, model=None, enter=None):
    done = subprocess.run([args.qvl, "plan", "--model", model or args.model, "--explain", *options], capture_output=True,
                          text=True, preexec_fn=enter)
    return done.stdout + done.stderr


def load_average():
    """Of the last minute, in processors."""
    return float(pathlib.Path("/proc/loadavg").read_text().split()[0])


def wait_for_quiet():
    """Until the load of others would not count: 60 s of memory in the kernel's average."""
    for look in range(60):
        load = load_average()
        if load < 0.2:
            return
        if look == 0:
            print(f"waiting for up to 5 minutes until the load of the last minute is below 0.2; it is {load:.2f}",
                  file=sys.stderr, flush=True)
        time.sleep(5)
    print("the load is still 0.2 or more: the plans are those of a busy machine", file=sys.stderr, flush=True)


class Conflicts:
    def __init__(self):
        self.failed = 0

    def show(self, title, text, expected):
        """expected: patterns of lines that the plan must have."""
        print(f"{title}")
        for pattern in expected:
            lines = [line.strip() for line in text.splitlines() if re.search(pattern, line)]
            for line in lines:
                print(f"    {line}")
            if not lines:
                self.failed += 1
                print(f"    MISSING: {pattern}")


def beside_a_neighbour(args, conflicts):
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(len(os.sched_getaffinity(0)))]
    try:
        time.sleep(60)  # the average of the kernel follows in a minute
        text = plan(args)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    conflicts.show("threads bound to processors, and waiting awake, against a busy neighbour", text,
                   [r"not pinning: others keep", r"not spinning: others keep"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--qvl", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--small")
    parser.add_argument("--group")
    args = parser.parse_args()
    conflicts = Conflicts()
    if not args.group:
        print("without --group the quota of one processor is left out", file=sys.stderr, flush=True)
        wait_for_quiet()
    text = plan(args)
    conflicts.show("4-bit against 8-bit decoder weights", text, [r"^ +weights_4_bit:", r"not weights_8_bit .*excludes it"])
    conflicts.show("packed weights mapped from a file against a copy in huge pages", text,
                   [r"^ +packed_cache:", r"not huge_weights .*excludes it"])
    text = plan(args, "--memory-limit", "2GiB")
    conflicts.show("keys and values in 16 bits against 8 bits, under 2 GiB", text, [r"kv_8_bit", r"kv_16_bit"])
    conflicts.show("caches against keys and values, under 2 GiB", text, [r"not feature_cache|^ +feature_cache:", r"not prefix_cache|^ +prefix_cache:"])
    text = plan(args, "--memory-limit", "1.6GiB")
    conflicts.show("huge pages against the cap, under 1.6 GiB", text, [r"not huge_pages"])
    if args.small:
        text = plan(args, model=args.small)
        conflicts.show("a file of packed weights against packing again, for a small model", text, [r"not packed_cache"])
    if args.group:
        quota = Quota(args.group)
        try:
            conflicts.show("bound threads that wait awake against a quota of one processor", plan(args, "--threads", "2", enter=quota.enter),
                           [r"not pinning", r"not spinning"])
        finally:
            quota.close()
    beside_a_neighbour(args, conflicts)
    sys.exit(1 if conflicts.failed else 0)


if __name__ == "__main__":
    main()
