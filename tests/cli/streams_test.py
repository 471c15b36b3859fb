"""Standard streams and signals: a reader that goes away, a full disk, Ctrl-C."""

import os
import pathlib
import resource
import select
import signal
import subprocess
import unittest

from program import IMAGE, MODEL, PROGRAM, SECONDS, ProgramTest, complaints, large_vocabulary, qvl

ENDLESS = ["run", "--model", str(MODEL), "--temperature", "5", "--top-k", "0", "--top-p", "1", "--max-tokens", "4000",
           "Hello"]


def start(*args, **options):
    return subprocess.Popen([PROGRAM, *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **options)


class Streams(ProgramTest):
    def end(self, process):
        """Exit code and standard error, once the process ended."""
        errors = process.stderr.read()
        code = process.wait(SECONDS)
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()
        return code, errors

    def test_a_reader_that_goes_away_ends_the_program_quietly(self):
        process = start(*ENDLESS)
        self.assertNotEqual(os.read(process.stdout.fileno(), 1), b"")
        process.stdout.close()
        self.assertEqual(self.end(process), (0, b""))

    def test_closed_streams(self):
        for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
            path = self.folder / "logits.npy"
            command = f'exec "$@" {closed}'
            for args in (["run", "--model", MODEL, "--max-tokens", 2, "Hello"],
                         ["logits", "--model", MODEL, "--prompt", "Hello", "--output", path]):
                code = subprocess.run(["sh", "-c", command, "sh", PROGRAM, *map(str, args)], timeout=SECONDS,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL).returncode
                # An answer that nobody can read is no success.
                self.assertEqual(code, 6 if ">&-" in closed.split("2>")[0] and args[0] == "run" else 0, (closed, args))
            self.assertEqual(path.read_bytes(), self.logits("--prompt", "Hello").read_bytes())

    def test_an_answer_to_nowhere_says_so(self):
        for args in (["run", "--model", MODEL, "--max-tokens", 2, "Hello"], ["--version"], ["--help"]):
            result = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", PROGRAM, *map(str, args)], timeout=SECONDS,
                                    stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
            self.assertEqual((result.returncode, complaints(result.stderr)),
                             (6, b"qvl: standard output: cannot write: Bad file descriptor\n"))

    def test_a_full_device(self):
        with open("/dev/full", "wb") as full:
            self.refused(6, "standard output: cannot write", "run", "--model", MODEL, "Hello", stdout=full)

    def test_a_full_disk_leaves_no_file(self):
        path = self.folder / "logits.npy"
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        self.refused(6, f"{path}: cannot write", "logits", "--model", MODEL, "--prompt", "Hello there, how are you?",
                     "--output", path, preexec_fn=limit)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_an_output_that_stood_before_stays_when_the_run_fails(self):
        path = self.folder / "pixels.npy"
        path.write_text("precious")
        self.refused(4, "missing.png", "pixels", "--model", MODEL, "--image", "missing.png", "--output", path)
        self.assertEqual(path.read_text(), "precious")

    def test_an_interrupt_ends_the_answer(self):
        process = start(*ENDLESS)
        self.assertNotEqual(os.read(process.stdout.fileno(), 1), b"")
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        self.assertTrue(rest.endswith(b"\n"))
        self.assertEqual(self.end(process), (130, b""))

    def test_an_interrupt_leaves_no_half_written_array(self):
        path = self.folder / "logits.npy"
        process = start("logits", "--model", MODEL, "--prompt", "word " * 2000, "--chunk", 1, "--output", path)
        while not list(self.folder.iterdir()) and process.poll() is None:
            select.select([], [], [], 0.01)
        process.send_signal(signal.SIGINT)
        self.assertEqual(self.end(process), (130, b""))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_an_interrupt_ends_a_chat_that_waits(self):
        process = start("chat", "--model", MODEL, "--max-tokens", 2, "--image", IMAGE)
        process.stdin.write(b"Hello\n")
        process.stdin.flush()
        self.assertNotEqual(os.read(process.stdout.fileno(), 1), b"")
        select.select([], [], [], 0.3)  # the answer is short; now it waits for the next line
        process.send_signal(signal.SIGINT)
        self.assertEqual(self.end(process), (130, b""))

    # Hours of work, were it not for the interrupt.
    LONG = ["bench", "--model", str(MODEL), "--image-sizes", "64", "--repeat", "1000", "--decode-tokens", "4000",
            "--streams", "1,8,64", "--cache", "off"]

    def wait_for_handler(self, process):
        """Until SIGINT does not end the process any more."""
        while process.poll() is None:
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            if int(status.split("SigCgt:")[1].split()[0], 16) >> (signal.SIGINT - 1) & 1:
                return
            select.select([], [], [], 0.001)

    def test_an_interrupt_ends_a_benchmark_whatever_it_is_at(self):
        for seconds in (0, 0.01, 0.03, 0.1, 0.3, 1):
            for json_too in ([], ["--json"]):
                process = start(*self.LONG, *json_too)
                self.wait_for_handler(process)
                select.select([], [], [], seconds)
                process.send_signal(signal.SIGINT)
                self.assertEqual(process.stdout.read(), b"")
                code, errors = self.end(process)
                self.assertEqual((code, complaints(errors)), (130, b""))

    def test_an_interrupt_ends_the_measuring_of_a_plan(self):
        cache = self.folder / "cache"
        process = start("plan", "--model", MODEL, "--measure", "--cache", cache)
        self.wait_for_handler(process)
        process.send_signal(signal.SIGINT)
        answer = process.stdout.read()
        code, errors = self.end(process)
        if code == 0 or (cache / "machine.json").exists():
            self.skipTest("all was measured before this process had its turn")
        self.assertEqual((code, answer, complaints(errors)), (130, b"", b""))

    def test_an_interrupt_ends_a_process_that_has_just_begun(self):
        for milliseconds in range(0, 50, 3):
            process = start(*self.LONG)
            select.select([], [], [], milliseconds / 1000)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.stdout.read(), b"")
            # Before the program itself runs the system ends the process.
            self.assertIn(self.end(process)[0], (130, -signal.SIGINT), milliseconds)

    def test_an_interrupt_ends_the_packing_and_leaves_no_file(self):
        cache = self.folder / "cache"
        model = large_vocabulary(self.changed_model(), 4_000_000)
        process = start("run", "--model", model, "--weights", "q4", "--isa", "scalar", "--cache", cache, "Q")
        while not cache.exists() and process.poll() is None:  # made when packing begins
            select.select([], [], [], 0.001)
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        late = list(cache.iterdir())
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        answer = process.stdout.read()
        code, errors = self.end(process)
        if late:
            self.skipTest("packing was over before this process had its turn")
        self.assertEqual((code, answer, complaints(errors)), (130, b"", b""))
        self.assertEqual(list(cache.iterdir()), [])

    def test_nothing_but_the_answer_on_standard_output(self):
        result = qvl("run", "--model", MODEL, "--max-tokens", 3, "--temperature", 0, "--json", "Hello")
        self.assertEqual((result.stdout[:1], result.stdout[-2:], result.stderr), (b"{", b"}\n", b""))


if __name__ == "__main__":
    unittest.main()
