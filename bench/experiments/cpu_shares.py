"""Whether own and foreign shares of the processors add up to what the kernel reports, beside a load.

    cpu_shares.py --qvl QVL --model MODEL --picture FILE [--seconds 20] [--busy 1] [--interval 1]

Starts a run of qvl and BUSY busy processes, watches the run with `qvl monitor --pid --json`, and reads /proc/stat and the run's
/proc/PID/stat itself just after each look. Prints the greatest and the median differences: watched + others against busy of the
monitor, both against the kernel's counts over the whole time.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import command_line
from processes import busy_processes, run_script, started
from questions import write_questions

TICK = os.sysconf("SC_CLK_TCK")


def machine_ticks():
    fields = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, idle, iowait, irq, softirq, steal = fields
    return user + nice + system + irq + softirq, sum(fields)


def process_ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def watch(args, pid):
    """Looks of the monitor, each with the kernel's counts just after it."""
    count = int(args.seconds / args.interval)
    command = [args.qvl, "monitor", "--pid", pid, "--json", "--interval", args.interval, "--count", count]
    with started(command, stdout=subprocess.PIPE, text=True) as monitor:
        looks = []
        for line in monitor.stdout:
            looks.append((json.loads(line), machine_ticks(), process_ticks(pid)))
        if monitor.wait() != 0 or len(looks) != count:
            sys.exit("qvl monitor ended early")
    return looks


def report(looks):
    cpus = len(looks[0][0]["cores"])
    sums = [abs(view["watched_cpus"] + view["other_cpus"] - view["busy_cpus"]) / cpus for view, _, _ in looks]
    print(f"watched + others against busy: at most {100 * max(sums):.4f} % of the machine, {len(looks)} looks")
    # The first look has an interval that began before our first counts.
    seconds = sum(view["interval_s"] for view, _, _ in looks[1:])
    busy, total = (after - before for before, after in zip(looks[0][1], looks[-1][1]))
    kernel = {"busy": busy / total, "watched": (looks[-1][2] - looks[0][2]) / total}
    kernel["other"] = kernel["busy"] - kernel["watched"]
    for name, share in kernel.items():
        told = sum(view[f"{name}_cpus"] * view["interval_s"] for view, _, _ in looks[1:]) / seconds / cpus
        print(f"{name}: {100 * told:.2f} % told, {100 * share:.2f} % by the kernel, off by {100 * abs(told - share):.2f} % of the machine")
    each = []
    for (_, before, own_before), (view, after, own_after) in zip(looks, looks[1:]):
        each.append(abs(view["watched_cpus"] / cpus - (own_after - own_before) / (after[1] - before[1])))
    print(f"watched in each look: off by {100 * statistics.median(each):.2f} % of the machine (median), {100 * max(each):.2f} % (most)")


def main():
    parser = command_line.Parser(__doc__)
    parser.add_qvl()
    parser.add_argument("--picture", required=True, type=command_line.file)
    parser.add_argument("--seconds", type=command_line.number(0), default=20)
    parser.add_argument("--busy", type=command_line.integer(0), default=1)
    parser.add_argument("--interval", type=command_line.number(0), default=1)
    args = parser.parse_args()
    if args.seconds < 2 * args.interval:
        parser.error(f"--seconds: found {args.seconds:g}, expected at least two times --interval, which is {args.interval:g}")
    with tempfile.TemporaryDirectory() as folder:
        questions = pathlib.Path(folder) / "questions.jsonl"
        write_questions(questions, args.picture, 1_000_000)
        with busy_processes(args.busy), started([args.qvl, "eval", "--model", args.model, "--questions", questions],
                                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            report(watch(args, run.pid))


if __name__ == "__main__":
    run_script(main)
