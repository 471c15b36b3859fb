"""How the scripts of bench/ refuse wrong arguments, and what is left of what they have started when they are ended."""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

SOURCE = pathlib.Path(__file__).resolve().parents[2]
EXPERIMENTS = SOURCE / "bench" / "experiments"
sys.path.insert(0, str(EXPERIMENTS))
import cgroups  # noqa: E402
import command_line  # noqa: E402
import processes  # noqa: E402

GONE = "/nowhere/at/all"
PICTURE = str(SOURCE / "examples" / "blue-heart.png")
MODEL = str(SOURCE / "models" / "shapes")
QVL = {"--qvl": sys.executable, "--model": MODEL}
WITH_PICTURE = {**QVL, "--picture": PICTURE}
LLAMA = {"--llama-bench": "true", "--llama-mtmd": "true", "--text": PICTURE, "--mmproj": PICTURE, "--pictures": PICTURE}
# Arguments that are right as far as paths go (the program is none of qvl's, which is looked at last), options with a path beside them, and
# options with a number. "" is an argument without a name.
SCRIPTS = {
    "answer_time.py": ({**QVL, "--image": PICTURE}, ["--environment"], ["--threads", "--rounds"]),
    "compare_llama.py": ({**QVL, **LLAMA}, ["--save"], ["--threads", "--rounds"]),
    "plots.py": ({}, ["--folder", "--to"], []),
    "experiments/check_trace.py": ({"": PICTURE}, [], []),
    "experiments/conflicts.py": (QVL, ["--small", "--group"], []),
    "experiments/cpu_quota.py": (QVL, ["--llama-bench", "--save"], ["--cpus", "--tokens", "--rounds"]),
    "experiments/cpu_shares.py": (WITH_PICTURE, [], ["--seconds", "--busy", "--interval"]),
    "experiments/flat_memory.py": (WITH_PICTURE, [], ["--minutes", "--interval", "--nice"]),
    "experiments/gaps.py": ({"--pipeline-load": sys.executable, "--model": MODEL}, ["--llama-server", "--save"],
                            ["--side", "--tokens", "--rounds", "--threads", "--port"]),
    "experiments/levels.py": (WITH_PICTURE, ["--small", "--keep", "--save"], ["--levels", "--tokens", "--rounds"]),
    "experiments/memory_cap.py": (QVL, ["--cache-dir", "--group", "--save"], ["--limit", "--pictures"]),
    "experiments/memory_pressure.py": (QVL, ["--save"], ["--pictures", "--before", "--leave", "--hold"]),
    "experiments/neighbour.py": (QVL, ["--save"], ["--quiet", "--busy", "--tokens", "--rounds"]),
    "experiments/options.py": ({**QVL, "--small": MODEL}, ["--cache", "--save"], ["--rounds", "--tokens"]),
    "experiments/profiler_cost.py": (WITH_PICTURE, [], ["--pairs", "--questions", "--interval"]),
    "experiments/python_speedup.py": ({"": MODEL}, ["--picture"], ["--tokens", "--runs", "--threads"]),
    "experiments/second_question.py": (QVL, ["--python", "--keep"], ["--side", "--rounds"]),
}


def words(arguments):
    return [word for pair in arguments.items() for word in pair if word]


def ask(script, *arguments):
    """Runs a script in a Python that has its standard library alone."""
    return subprocess.run([sys.executable, "-B", "-S", "-E", str(SOURCE / "bench" / script), *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)


class Arguments(unittest.TestCase):
    def refused(self, script, *arguments):
        """The line without the script's name."""
        done = ask(script, *arguments)
        name = pathlib.Path(script).name
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        self.assertRegex(done.stderr, rf"\A{re.escape(name)}: [^\n]+\n\Z")
        return done.stderr[len(name) + 2:-1]

    def test_all_scripts_are_here(self):
        scripts = [path for path in (SOURCE / "bench").rglob("*.py") if '__name__ == "__main__"' in path.read_text()]
        self.assertEqual(sorted(SCRIPTS), sorted(str(path.relative_to(SOURCE / "bench")) for path in scripts))

    def test_help_needs_no_package(self):
        for script in SCRIPTS:
            with self.subTest(script):
                done = ask(script, "--help")
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertTrue(done.stdout.startswith(f"usage: {pathlib.Path(script).name} "), done.stdout)

    def test_a_path_that_is_not_there_is_one_line(self):
        for script, (right, more_paths, _) in SCRIPTS.items():
            for option in [*right, *more_paths]:
                with self.subTest(script=script, option=option):
                    line = self.refused(script, *words({**right, option: GONE}))
                    path = str(pathlib.Path(GONE).parent) if option in ("--save", "--keep", "--cache", "--cache-dir") else GONE
                    self.assertRegex(line, rf"\A{option or '(FILE|checkpoint)'}: found '{path}', which (is not there|cannot be started), expected a ")

    def test_a_number_that_is_none_is_one_line(self):
        for script, (right, _, numbers) in SCRIPTS.items():
            for option in numbers:
                for value in ("many", "-1", "nan"):
                    with self.subTest(script=script, option=option, value=value):
                        line = self.refused(script, *words(right), f"{option}={value}")
                        self.assertRegex(line, rf"\A{option}: found '{value}', expected (an integer|a number|bytes) ")

    def test_whole_lines(self):
        quota, levels = "experiments/cpu_quota.py", "experiments/levels.py"
        right, pictured = words(QVL), words(WITH_PICTURE)
        for script, arguments, line in (
                (quota, [], "the following arguments are required: --qvl, --model"),
                (quota, [*right, "--colour"], "unrecognized arguments: --colour"),
                (quota, [*right, "--model", GONE], f"--model: found '{GONE}', which is not there, expected a checkpoint's folder or .gguf file"),
                (quota, [*right, "--qvl", PICTURE], f"--qvl: found '{PICTURE}', which cannot be started, expected a program"),
                (quota, [*right, "--save", MODEL], f"--save: found '{MODEL}', which is a folder, expected a file to write"),
                (quota, [*right, "--llama-bench", "env '"], """--llama-bench: found "env '" (No closing quotation), expected a command"""),
                (quota, [*right, "--cpus", "0"], "--cpus: found '0', expected a number above 0"),
                (quota, [*right, "--model", "x" * 300], f"--model: found '{'x' * 300}' (File name too long), expected a checkpoint's folder or .gguf file"),
                (levels, [*pictured, "--picture", MODEL], f"--picture: found '{MODEL}', which is something else, expected a file"),
                (levels, [*pictured, "--levels", "0,4"], "--levels: found '4', expected an integer from 0 to 3"),
                (levels, [*pictured, "--levels", "0\n1"], "--levels: found '0\\n1', expected an integer from 0 to 3"),
                ("experiments/neighbour.py", [*right, "--policy", "fast"],
                 "--policy: invalid choice: 'fast' (choose from 'performance', 'balanced', 'power_save')"),
                ("experiments/cpu_shares.py", [*words({**WITH_PICTURE, "--qvl": os.environ["QVL_PROGRAM"]}), "--seconds", "1"],
                 "--seconds: found 1, expected at least two times --interval, which is 1"),
                ("plots.py", ["--folder", PICTURE], f"--folder: found '{PICTURE}', which is something else, expected a folder")):
            with self.subTest(line):
                self.assertEqual(self.refused(script, *arguments), line)

    def test_a_group_has_the_topmost_folder_unless_one_is_given(self):
        parser = command_line.Parser("")
        parser.add_group()
        self.assertEqual([parser.parse_args(arguments).group for arguments in ([], ["--group"], ["--group", MODEL])],
                         [None, "", pathlib.Path(MODEL)])

    def test_programs_and_checkpoints_are_looked_at(self):
        with tempfile.TemporaryDirectory() as folder:
            for arguments, line in (
                    ({}, f"--qvl: found '{sys.executable}', which is another program, expected qvl"),
                    ({"--qvl": os.environ["QVL_PROGRAM"], "--model": folder}, f"--model: {folder}: found no config.json, expected a Hugging Face model folder or a .gguf file"),
                    ({"--qvl": os.environ["QVL_PROGRAM"], "--small": PICTURE}, f"--small: {PICTURE}: ")):
                with self.subTest(line):
                    self.assertTrue(self.refused("experiments/conflicts.py", *words({**QVL, **arguments})).startswith(line))

    def test_a_missing_package_is_one_line(self):
        qvl = {"--qvl": os.environ["QVL_PROGRAM"]}
        for script, name, how in (("levels.py", "numpy", "pip install numpy"), ("memory_cap.py", "PIL", "pip install -r bench/requirements.txt"),
                                  ("python_speedup.py", "torch", "pip install torch")):
            with self.subTest(script):
                right = SCRIPTS[f"experiments/{script}"][0]
                line = self.refused(f"experiments/{script}", *words({**right, **(qvl if "--qvl" in right else {})}))
                self.assertEqual(line, f"found no usable package {name} (No module named '{name}'), expected it in this Python: {how}")


LONG = ("--quiet", "0.01", "--busy", "100000")
# Says what qvl says as far as the scripts look, and then never ends.
ENDLESS = "#!/bin/sh\ncase $1 in --version) echo qvl 0;; inspect) ;; *) exec sleep 100000;; esac\n"


def running(pid):
    """Whether a process is there; one that has ended and is not yet waited for by its parent is not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def words_of(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def children(pid):
    with contextlib.suppress(OSError):
        return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


class Ends(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.qvl = self.folder / "qvl"
        self.qvl.write_text(ENDLESS)
        self.qvl.chmod(0o755)

    def start(self, script, *options, busy):
        """A script that runs qvl beside so many busy loops; and the numbers of the loops and of qvl."""
        process = subprocess.Popen([sys.executable, "-B", str(EXPERIMENTS / script), "--qvl", str(self.qvl), "--model", MODEL, *options],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        while True:
            loops, others = ([pid for pid in children(process.pid) if sign in words_of(pid)] for sign in (b"getppid", b"sleep"))
            if len(loops) == busy and len(others) == 1:
                return process, loops, others
            self.assertIsNone(process.poll(), "it ended before it had started all")
            time.sleep(0.02)

    def test_a_signal_ends_all_that_a_script_has_started(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number.name):
                process, loops, others = self.start("neighbour.py", *LONG, busy=len(os.sched_getaffinity(0)))
                process.send_signal(number)
                self.assertEqual((process.stderr.read(), process.wait()), (f"neighbour.py: ended by {number.name}\n", 128 + number))
                self.assertEqual([pid for pid in loops + others if running(pid)], [])

    def test_busy_loops_end_where_their_script_is_killed(self):
        process, loops, (other,) = self.start("neighbour.py", *LONG, busy=len(os.sched_getaffinity(0)))
        process.kill()
        process.wait()
        os.kill(other, signal.SIGKILL)  # it computes nothing, but would stay
        while any(running(pid) for pid in loops):
            time.sleep(0.02)

    def test_a_signal_removes_the_control_group(self):
        try:
            cgroups.ControlGroup("cpu").close()
        except SystemExit as problem:
            self.skipTest(str(problem))
        process, _, (other,) = self.start("cpu_quota.py", busy=0)
        (group,) = [path for path in (cgroups.ROOT / "cpu", cgroups.ROOT) if (path / f"qvl-cpu-{process.pid}").is_dir()][:1]
        process.terminate()
        self.assertEqual((process.stderr.read(), process.wait()), ("cpu_quota.py: ended by SIGTERM\n", 128 + signal.SIGTERM))
        self.assertFalse((group / f"qvl-cpu-{process.pid}").exists())
        self.assertFalse(running(other))

    def test_a_signal_while_a_program_is_started_counts_once_it_can_be_ended(self):
        script = ("import os, signal, subprocess, sys, processes\n"
                  "popen = subprocess.Popen\n"
                  "def signalled(*args, **options):\n"
                  "    process = popen(*args, **options)\n"
                  "    os.kill(os.getpid(), signal.SIGTERM)\n"
                  "    print(process.pid, flush=True)\n"
                  "    return process\n"
                  "processes.subprocess.Popen = signalled\n"
                  "processes.run_script(lambda: processes.output_of(['sleep', '100000']))\n")
        done = subprocess.run([sys.executable, "-B", "-c", script], cwd=EXPERIMENTS, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (128 + signal.SIGTERM, "-c: ended by SIGTERM\n"))
        self.assertFalse(running(int(done.stdout)))

    def test_a_group_that_closes_ends_what_is_in_it(self):
        (self.folder / "cpu").mkdir()
        group = cgroups.ControlGroup("cpu", root=self.folder)
        with processes.started(["sleep", "100000"]) as member:
            group.write("cgroup.procs", f"{member.pid}\n")
            # As the kernel's file goes with its folder, once the member is gone.
            with mock.patch.object(cgroups.time, "sleep", lambda _: (group.folder / "cgroup.procs").unlink()):
                group.close()
            self.assertEqual(member.wait(), -signal.SIGKILL)
        self.assertFalse(group.folder.exists())

    def test_a_program_that_fails_ends_the_script_with_its_last_line(self):
        for script, line in (("echo one >&2; echo 'no such model' >&2; exit 3", "ended with 3: no such model"), ("exit 1", "ended with 1: it wrote no message")):
            with self.subTest(line), self.assertRaises(SystemExit) as caught:
                processes.output_of(["sh", "-c", script])
            self.assertEqual(caught.exception.code, f"sh -c {processes.shlex.quote(script)}: {line}")


if __name__ == "__main__":
    unittest.main()
