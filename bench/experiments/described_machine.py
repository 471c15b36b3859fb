"""Lets a program see processors that this machine does not have: 4 cores with two threads each.

The kernel's description (/sys/devices/system/cpu, and the list of processors in /proc/PID/status) is replaced for the program alone, in a
mount namespace of its own. It computes on the processors there are, so this is for what a program decides, never for how fast it is.
"""
import pathlib
import subprocess

CORES = 4
ENTER = """
sed "s/^Cpus_allowed_list:.*/Cpus_allowed_list:\\t$2/" /proc/$$/status > "$1/status" &&
mount --bind "$1/cpu" /sys/devices/system/cpu && mount --bind "$1/status" /proc/$$/status && shift 2 && exec "$@"
"""


class DescribedMachine:
    """`folder`: an empty one that lives as long."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.cpus = f"0-{2 * CORES - 1}"
        described = self.folder / "cpu"
        described.mkdir()
        for name in ("online", "possible", "present"):
            (described / name).write_text(self.cpus + "\n")
        for cpu in range(2 * CORES):
            topology = described / f"cpu{cpu}" / "topology"
            topology.mkdir(parents=True)
            first = cpu - cpu % 2
            for name in ("core_cpus_list", "thread_siblings_list"):
                (topology / name).write_text(f"{first}-{first + 1}\n")

    def command(self, command):
        """`command`, which then sees the described machine. As root or where users may have namespaces of their own."""
        return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", ENTER, "sh", str(self.folder), self.cpus, *command]

    def problem(self):
        """Why nothing can be shown it here; None where it can."""
        try:
            done = subprocess.run(self.command(["true"]), capture_output=True, text=True)
        except FileNotFoundError:
            return "unshare is not installed"
        return done.stderr.strip() or f"unshare ended with {done.returncode}" if done.returncode != 0 else None
