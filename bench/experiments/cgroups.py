"""A control group of our own, of version 1 or 2, with a limit of processor time or memory. Needs root."""
import contextlib
import os
import pathlib
import signal
import sys
import time

ROOT = pathlib.Path("/sys/fs/cgroup")
PERIOD_US = 100_000


class ControlGroup:
    """CONTROLLER is cpu or memory. The group is made in the folder `parent`, by default in the topmost one of the controller, and goes
    at the end of a `with` block."""

    def __init__(self, controller, parent=None, root=ROOT):
        v1 = root / controller
        parent = pathlib.Path(parent) if parent else v1 if v1.is_dir() else root
        self.v2 = (parent / "cgroup.controllers").exists()
        self.folder = parent / f"qvl-{controller}-{os.getpid()}"
        try:
            if self.v2:
                allow_below(parent, controller)
            self.folder.mkdir()
        except OSError as error:
            sys.exit(f"{parent}: no group with the controller {controller} can be made: {error.strerror}; it needs root, and of "
                     "version 2 a folder without processes")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def limit_cpus(self, cpus):
        """So many processors' worth of time."""
        quota = int(cpus * PERIOD_US)
        if self.v2:
            self.limit("cpu.max", f"{quota} {PERIOD_US}")
        else:
            self.limit("cpu.cfs_period_us", PERIOD_US)
            self.limit("cpu.cfs_quota_us", quota)

    def limit_memory(self, limit_bytes):
        self.limit("memory.max" if self.v2 else "memory.limit_in_bytes", limit_bytes)

    def peak_memory(self):
        """Bytes that the group was charged with at most, page cache included; None where the kernel does not tell (before 5.19)."""
        path = self.folder / ("memory.peak" if self.v2 else "memory.max_usage_in_bytes")
        return int(path.read_text()) if path.exists() else None

    def killed(self):
        """Processes that the kernel ended because the group was full."""
        text = (self.folder / ("memory.events" if self.v2 else "memory.oom_control")).read_text()
        return int(dict(line.split() for line in text.splitlines())["oom_kill"])

    def enter(self):
        """The calling process joins: for preexec_fn."""
        self.write("cgroup.procs", os.getpid())

    def close(self):
        """Ends what still runs in the group; the kernel notices that it is gone a moment after its parent has."""
        for _ in range(100):
            self.kill_members()
            try:
                self.folder.rmdir()
                return
            except OSError:
                time.sleep(0.1)
        print(f"{self.folder}: cannot be removed", file=sys.stderr)

    def kill_members(self):
        try:
            members = [int(line) for line in (self.folder / "cgroup.procs").read_text().split()]
        except OSError:
            return
        for member in members:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                os.kill(member, signal.SIGKILL)

    def limit(self, name, value):
        try:
            self.write(name, value)
        except OSError as error:
            self.close()
            sys.exit(f"{self.folder / name}: found {value}, which the kernel does not take: {error.strerror}")

    def write(self, name, value):
        (self.folder / name).write_text(str(value))


def allow_below(parent, controller):
    """Groups of version 2 have the controllers that the folder above them hands down."""
    handed_down = parent / "cgroup.subtree_control"
    if controller not in handed_down.read_text().split():
        handed_down.write_text(f"+{controller}")
