"""What the plan says where two optimisations, or one and the machine, do not go together.

    conflicts.py --qvl QVL --model MODEL [--small MODEL] [--group [FOLDER]]

Puts the machine into one situation after the other and prints the lines of `qvl plan --explain` that tell who won and why: memory caps
(chosen for a checkpoint of the size of 2B), a busy neighbour, options of the caller, a machine whose cores run two threads each (described,
see described_machine.py) and, with --group (as root; FOLDER: where the group is made), a quota of one processor.
Ends with 1 where a plan does not say what the situation must lead to.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import command_line
from cgroups import ControlGroup
from described_machine import CORES, DescribedMachine
from processes import busy_processes, output_of, run_script
from quiet import wait_for_quiet

# How fast the threads of a core together are, as often as one of them; products of integers are between these.
SMT_GAIN, SMT_LOSS = 1.3, 0.8

# Each pattern is of one line that the plan must have.
BITS = [r"^ +weights_4_bit: ", r"^ +not weights_8_bit \(q8\): weights_4_bit is taken and excludes it: it saves \S+ s, this one \S+ s"]
PACKED = [r"^ +packed_cache: ", r"^ +not huge_weights \(on\): packed_cache is taken and excludes it: it saves \S+ s, this one \S+ s"]
KV = [r"^ +kv_8_bit: 16 bits leave room for \d+ tokens, 8 bits for \d+", r"^ +not kv_16_bit \(16\): kv_8_bit is taken and excludes it"]
CACHES = [r"^ +not feature_cache: one picture of 512 x 512 takes .* are left for it beside the keys and values",
          r"^ +not prefix_cache: a prompt of \d+ tokens takes .* are left for it beside the keys and values"]
HUGE_PAGES = [r"^ +not huge_pages \(on\): it takes \S+ MiB, \S+ MiB are left under the cap"]
REPACKED = [r"^ +not packed_cache: \S+ MiB are packed faster than a file is worth"]
QUOTA = [r"^ +not pinning: there is one thread", r"^ +not spinning: there is one thread"]
NEIGHBOUR = [r"^ +not pinning: others keep \S+ processors busy: a bound thread would wait for them",
             r"^ +not spinning: others keep \S+ processors busy and would be held up"]
TWO_A_CORE = [rf"^ +smt: all threads of a core do {SMT_GAIN:.2f} times what one does",
              r"^ +not threads \(\d+ threads\): smt is taken and excludes it: it saves \S+ s, this one \S+ s"]
ONE_A_CORE = [rf"^ +threads: {CORES} cores to use, {2 * CORES} threads asked for",
              r"^ +not smt \(\d+ threads\): threads is taken and excludes it: it saves \S+ s, this one \S+ s"]


def plan(args, *options, model=None, enter=None, machine=None):
    command = [args.qvl, "plan", "--model", model or args.model, "--explain", *options]
    done = subprocess.run(machine.command(command) if machine else command, capture_output=True, text=True, preexec_fn=enter)
    return done.stdout + done.stderr


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


def under_a_quota(args, conflicts):
    if args.group is None:
        print("without --group the quota of one processor is left out", file=sys.stderr, flush=True)
        return
    with ControlGroup("cpu", args.group) as quota:
        quota.limit_cpus(1)
        text = plan(args, "--threads", "2", enter=quota.enter)
    conflicts.show("bound threads that wait awake against a quota of one processor", text, QUOTA)


def set_smt_speedup(cache, speedup):
    """As if it had been measured."""
    path = cache / "machine.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "smt_speedup": speedup}))


def two_threads_a_core(args, conflicts):
    """The rates are those of this machine, measured once as the described one; how much a second thread gains is set."""
    with tempfile.TemporaryDirectory() as name:
        (pathlib.Path(name) / "described").mkdir()
        machine = DescribedMachine(pathlib.Path(name) / "described")
        if problem := machine.problem():
            print(f"cores with two threads each are left out: {problem}", file=sys.stderr, flush=True)
            return
        cache = pathlib.Path(name) / "cache"
        options = ["--cache", str(cache), "--threads", str(2 * CORES)]
        output_of(machine.command([args.qvl, "plan", "--model", args.model, "--measure", *options]))
        for speedup, title, expected in ((SMT_GAIN, "gains", TWO_A_CORE), (SMT_LOSS, "loses", ONE_A_CORE)):
            set_smt_speedup(cache, speedup)
            conflicts.show(f"two threads on each core against one, where the second {title}: {speedup} times one thread's speed",
                           plan(args, *options, machine=machine), expected)


def beside_a_neighbour(args, conflicts):
    with busy_processes(len(os.sched_getaffinity(0))):
        time.sleep(60)  # the average of the kernel follows in a minute
        text = plan(args)
    conflicts.show("threads bound to processors, and waiting awake, against a busy neighbour", text, NEIGHBOUR)


def main():
    parser = command_line.Parser(__doc__)
    parser.add_qvl()
    parser.add_model("--small")
    parser.add_group()
    args = parser.parse_args()
    conflicts = Conflicts()
    under_a_quota(args, conflicts)
    wait_for_quiet()
    text = plan(args)
    conflicts.show("4-bit against 8-bit decoder weights", text, BITS)
    conflicts.show("packed weights mapped from a file against a copy in huge pages", text, PACKED)
    text = plan(args, "--memory-limit", "2GiB")
    conflicts.show("keys and values in 16 bits against 8 bits, under 2 GiB", text, KV)
    conflicts.show("caches against keys and values, under 2 GiB", text, CACHES)
    text = plan(args, "--memory-limit", "1.6GiB")
    conflicts.show("huge pages against the cap, under 1.6 GiB", text, HUGE_PAGES)
    if args.small:
        text = plan(args, model=args.small)
        conflicts.show("a file of packed weights against packing again, for a small model", text, REPACKED)
    two_threads_a_core(args, conflicts)
    beside_a_neighbour(args, conflicts)
    sys.exit(1 if conflicts.failed else 0)


if __name__ == "__main__":
    run_script(main)
