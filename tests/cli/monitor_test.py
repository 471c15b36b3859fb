"""qvl monitor: lines for a pipe, a whole screen for a terminal, and every running qvl of this user."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import unittest

from program import MODEL, PROGRAM, SECONDS, ProgramTest

TIOCGPTN = 0x80045430  # as on Linux for x86 and ARM
ENTER, LEAVE, HOME = b"\x1b[?1049h", b"\x1b[?25h\x1b[?1049l", b"\x1b[H"


class Screen:
    """The program on a terminal of its own."""

    def __init__(self, *args, columns=80, rows=24, **environment):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm", **environment})
            os.execv(PROGRAM, [PROGRAM, "monitor", *map(str, args)])
        self.output = b""
        self.resize(columns, rows)

    def resize(self, columns, rows):
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hold(self):
        """Opens the other end too: the terminal outlives the program."""
        number = struct.unpack("I", fcntl.ioctl(self.terminal, TIOCGPTN, bytes(4)))[0]
        return os.open(f"/dev/pts/{number}", os.O_RDWR | os.O_NOCTTY)

    def read(self):
        """False at the end."""
        if not select.select([self.terminal], [], [], SECONDS)[0]:
            raise AssertionError("nothing comes any more")
        try:
            part = os.read(self.terminal, 1 << 16)
        except OSError:
            return False
        self.output += part
        return bool(part)

    def wait_for(self, condition):
        while not condition(self.output):
            if not self.read():
                raise AssertionError(self.output)

    def frames(self):
        """What was drawn whole, as lists of lines without what clears."""
        return [[line.rstrip(b"\r") for line in frame.replace(b"\x1b[K", b"").split(b"\n")]
                for frame in self.output.split(HOME)[1:] if frame.endswith(b"\x1b[J") or LEAVE in frame]

    def echoes(self):
        """Whether keys are shown as they are typed, and Ctrl-C is a signal: as a shell wants it."""
        flags = termios.tcgetattr(self.terminal)[3]
        return [bool(flags & flag) for flag in (termios.ECHO, termios.ICANON, termios.ISIG)]

    def end(self):
        """Exit code or, negative, the signal."""
        while self.read():
            pass
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(status)


class Lines(ProgramTest):
    def test_a_line_for_each_interval_where_there_is_no_terminal(self):
        lines = self.good("monitor", "--interval", 0.1, "--count", 3).decode().splitlines()
        self.assertEqual(len(lines), 3)
        for line in lines:
            self.assertRegex(line, r"^busy \d+\.\d\d of \d+")

    def test_an_object_for_each_interval_with_a_process(self):
        out = self.good("monitor", "--interval", 0.1, "--count", 2, "--json", "--pid", os.getpid())
        for view in map(json.loads, out.splitlines()):
            self.assertEqual(len(view["cores"]), os.sysconf("SC_NPROCESSORS_ONLN"))
            self.assertEqual(view["processes"][0]["pid"], os.getpid())
            self.assertAlmostEqual(view["watched_cpus"] + view["other_cpus"], view["busy_cpus"])

    def test_values_out_of_range_are_refused(self):
        self.refused(2, '--interval: found "0", expected a number from 0.1 to 3600', "monitor", "--interval", 0)
        self.refused(2, '--count: found "0", expected an integer from 1 to ', "monitor", "--count", 0)
        self.refused(2, "--pid: found 2000000000, expected the number of a running process", "monitor", "--pid", 2000000000)

    def test_signals_and_a_reader_that_goes_away_end_it(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = subprocess.Popen([PROGRAM, "monitor", "--interval", "0.1"], stdout=subprocess.PIPE)
            self.assertNotEqual(process.stdout.readline(), b"")
            process.send_signal(number)
            process.stdout.read()
            process.stdout.close()
            self.assertEqual(process.wait(SECONDS), 128 + number)
        process = subprocess.Popen([PROGRAM, "monitor", "--interval", "0.1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual((process.wait(SECONDS), process.stderr.read()), (0, b""))
        process.stderr.close()


class OnATerminal(ProgramTest):
    def check_left_as_it_was(self, screen, code):
        self.assertEqual(screen.end(), code)
        self.assertEqual(screen.output.count(ENTER), 1)
        self.assertTrue(screen.output.endswith(LEAVE), screen.output[-40:])

    def test_redraws_in_place_until_q(self):
        screen = Screen("--interval", 0.1)
        screen.wait_for(lambda out: out.count(HOME) >= 4)
        self.assertEqual(screen.echoes(), [False, False, False])
        os.write(screen.terminal, b"xq")
        self.check_left_as_it_was(screen, 0)
        self.assertIn(b"\x1b[7m qvl monitor\x1b[0m", screen.output)

    def test_the_terminal_is_given_back_after_q_ctrl_c_and_signals(self):
        for stop, code in ((b"q", 0), (b"\x03", 130), (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            screen = Screen("--interval", 3600)
            held = screen.hold()
            screen.wait_for(lambda out: HOME in out)
            if isinstance(stop, bytes):
                os.write(screen.terminal, stop)
            else:
                os.kill(screen.pid, stop)
            screen.wait_for(lambda out: out.endswith(LEAVE))
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(screen.pid, 0)[1]), code)
            self.assertEqual(screen.echoes(), [True, True, True], stop)
            os.close(held)
            os.close(screen.terminal)

    def test_fits_the_window_and_follows_it(self):
        screen = Screen("--interval", 3600, columns=60, rows=10, NO_COLOR="1")
        screen.wait_for(lambda out: out.endswith(b"\x1b[J"))
        screen.resize(40, 5)
        screen.wait_for(lambda out: out.count(b"\x1b[J") >= 2 and out.endswith(b"\x1b[J"))
        os.write(screen.terminal, b"q")
        screen.end()
        last = screen.frames()[-1]
        self.assertLessEqual(len(last), 5)
        self.assertEqual(last[0], b" qvl monitor                  q ends it ")

    def test_no_colours_where_they_are_not_wanted(self):
        screen = Screen("--interval", 0.1, "--count", 2, NO_COLOR="1")
        screen.end()
        self.assertNotIn(b"\x1b[3", screen.output)

    def test_lines_on_a_terminal_that_has_no_screen(self):
        screen = Screen("--interval", 0.1, "--count", 1, TERM="dumb")
        self.assertEqual(screen.end(), 0)
        self.assertTrue(screen.output.startswith(b"busy "), screen.output)
        self.assertNotIn(b"\x1b", screen.output)


class RunningPrograms(ProgramTest):
    def setUp(self):
        super().setUp()
        os.environ["XDG_RUNTIME_DIR"] = str(self.folder)
        self.addCleanup(os.environ.pop, "XDG_RUNTIME_DIR")
        self.published = self.folder / "qvl"

    def chat(self, *args):
        process = subprocess.Popen([PROGRAM, "chat", "--model", MODEL, "--max-tokens", "2", "--profile-interval", "0.1",
                                    *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdin.write(b"Hello\n")
        process.stdin.flush()
        self.assertNotEqual(os.read(process.stdout.fileno(), 1), b"")
        return process

    def end(self, process):
        process.communicate()
        self.assertEqual(process.returncode, 0)

    def look(self):
        return json.loads(self.good("monitor", "--interval", 0.1, "--count", 1, "--json"))["processes"]

    def test_are_listed_while_they_run(self):
        process = self.chat()
        while not (found := self.look()) or found[0]["models"][0]["done"] < 1:
            pass
        self.assertEqual([entry["pid"] for entry in found], [process.pid])
        model = found[0]["models"][0]
        self.assertEqual((model["name"], model["running"], model["waiting"]), (MODEL.name, 0, 0))
        self.assertEqual(model["stages"]["prefill"]["count"], 1)
        self.assertLessEqual(sum(model["by_part"].values()), model["cap_bytes"])
        text = self.good("monitor", "--interval", 0.1, "--count", 1).decode()
        self.assertIn(f"; qvl {process.pid}: ", text)
        self.assertEqual([path.stat().st_mode & 0o777 for path in self.published.iterdir()], [0o600])
        self.end(process)
        self.assertEqual((self.look(), list(self.published.iterdir())), ([], []))

    def test_that_were_killed_are_forgotten(self):
        process = self.chat()
        while not self.look():
            pass
        process.kill()
        process.communicate()
        self.assertEqual((self.look(), list(self.published.iterdir())), ([], []))

    def test_publish_nothing_without_profiling_or_where_they_may_not(self):
        process = self.chat("--enable-profiling", "false")
        self.assertEqual(self.look(), [])
        self.end(process)
        self.assertFalse(self.published.exists())
        self.published.write_text("a file where the folder should be")
        process = self.chat()
        self.assertEqual(self.look(), [])
        self.end(process)


if __name__ == "__main__":
    unittest.main()
