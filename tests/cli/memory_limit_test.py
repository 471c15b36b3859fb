"""The cap on memory: how it is given, and what is refused under it."""

import json
import re
import struct
import unittest
import zlib

from program import IMAGE, MODEL, ProgramTest, complaints, qvl
from system_config_test import COMMANDS

AMOUNT = r"[0-9.]+ (KiB|MiB|GiB)"
FREE = rf"{AMOUNT} are free of the limit of {AMOUNT} \(--memory-limit\)"


def png(side):
    """A black square."""
    rows = bytes((1 + 3 * side) * side)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks)


class MemoryLimit(ProgramTest):
    def large_picture(self):
        path = self.folder / "large.png"
        path.write_bytes(png(6000))
        return path

    def line(self, code, *args, **options):
        """The one line that a run ends with."""
        result = qvl(*args, **options)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stderr.count(b"\n"), 1, result.stderr)
        return result.stderr.decode()

    def test_every_command_that_computes_takes_one(self):
        for command, more in COMMANDS.items():
            self.assertIn("--memory-limit BYTES", self.good(command, "--help").decode())
            line = self.line(2, command, "--model", MODEL, *more, "--memory-limit", "much")
            self.assertEqual(line, 'qvl: --memory-limit: found "much", expected bytes such as 1073741824, a size such as '
                                   f"1.5GiB, 2GB or 512MiB, or a share such as 60%; see qvl {command} --help\n")

    def test_it_stands_in_place_of_the_share(self):
        self.line(2, "run", "--model", MODEL, "--memory-limit", "1GiB", "--memory-limit-ratio", "0.5", "Q")

    def test_it_is_the_cap_that_the_report_shows(self):
        memory = self.run_json("--memory-limit", "512MiB", "--max-tokens", "1", "Q")["memory"]
        self.assertEqual([key for key in memory if key.startswith("peak_rss")], ["peak_rss"])
        self.assertLessEqual(memory["rss"], memory["peak_rss"])
        self.assertEqual(memory["cap_bytes"], 512 << 20)
        self.assertEqual(memory["limit_cause"], "as asked for")
        self.assertEqual(memory["held_bytes"], sum(part["held_bytes"] for part in memory["by_part"].values()))
        self.assertLessEqual(memory["peak_bytes"], 512 << 20)
        self.assertGreater(memory["by_part"]["kv"]["peak_bytes"], 0)
        self.assertEqual(memory["by_part"]["scratch"]["held_bytes"], 0)

    def test_the_bench_measures_no_peak_that_would_pass_it(self):
        args = ["bench", "--model", MODEL, "--cache", "off", "--threads", "1", "--image-sizes", "64", "--prompt-tokens", "4", "--decode-tokens", "2",
                "--streams", "1"]
        without = (r"the peak of memory reads is not measured: not enough memory for scratch 66\.0 MiB: [^\n]* of 64\.0 MiB free, "
                   r"[^\n]* missing \(held: [^\n]*\)")
        report = json.loads(self.good(*args, "--json", "--memory-limit", "64MiB"))
        self.assertIsNone(report["machine_read_gb_s"])
        self.assertGreater(report["machine_int8_gop_s"], 0)
        (warning,) = report["warnings"]
        self.assertRegex(warning, rf"\A{without}\Z")
        self.assertLess(report["peak_rss_gb"], 65536 / 1e6)  # the kernel counts in KiB
        shown = qvl(*args, "--memory-limit", "64MiB")
        self.assertEqual(shown.returncode, 0)
        self.assertRegex(shown.stderr.decode(), rf"\Aqvl: warning: {without}\n\Z")
        self.assertRegex(shown.stdout.decode(), r"\Akernels +\S+, 1 thread +peaks: \d+ GOP/s in 8 bits\n")
        report = json.loads(self.good(*args, "--json", "--memory-limit", "512MiB"))
        self.assertGreater(report["machine_read_gb_s"], 0)
        self.assertEqual(report["warnings"], [])

    def test_a_plan_keeps_to_it(self):
        plan = json.loads(self.good("plan", "--model", MODEL, "--cache", "off", "--json", "--memory-limit", "512MiB"))
        self.assertEqual(plan["memory_cap_bytes"], 512 << 20)
        line = self.line(5, "plan", "--model", MODEL, "--cache", "off", "--memory-limit", "16MiB")
        self.assertRegex(line, r"^qvl: memory: the least plan takes .*, the cap is 16\.0 MiB \(--memory-limit\)\n$")

    def test_a_program_above_it_does_not_start(self):
        line = self.line(5, "run", "--model", MODEL, "--memory-limit", "16MiB", "Q")
        self.assertRegex(line, rf"^qvl: {re.escape(str(MODEL))}: loading needs {AMOUNT} \(program [0-9.]+, weights [0-9.]+, "
                               r"other [0-9.]+\), 16\.00 MiB are free of the limit of 16\.00 MiB \(--memory-limit\)\n$")

    def test_a_limit_that_is_more_than_there_is_is_told_where_it_was_given_in_bytes(self):
        lowered = rf"warning: memory limit: found 10\.0 TiB, lowered to the {AMOUNT} of (physical memory|cgroup .*)\n"
        options = ["--model", MODEL, "--memory-limit"]
        run = qvl("run", *options, "10TiB", "--max-tokens", "1", "Q")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(complaints(run.stderr).decode(), rf"^qvl: {lowered}$")
        self.assertRegex(self.good("plan", *options, "10TiB").decode(), rf"(?m)^{lowered}")
        beyond = lowered.replace(r"10\.0", r"8388608\.0")
        run = qvl("run", *options, "99999999TiB", "--max-tokens", "1", "Q")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(complaints(run.stderr).decode(), rf"^qvl: {beyond}$")
        self.assertRegex(self.good("plan", *options, "99999999TiB").decode(), rf"(?m)^{beyond}")
        for limit in ("100%", "60%"):
            quiet = qvl("run", *options, limit, "--max-tokens", "1", "Q")
            self.assertEqual((quiet.returncode, complaints(quiet.stderr)), (0, b""))
            self.assertNotIn(b"lowered", self.good("plan", *options, limit))

    def test_a_picture_too_large_for_it_is_refused_before_it_is_decoded(self):
        line = self.line(5, "run", "--model", MODEL, "--memory-limit", "100MiB", "--image", self.large_picture(), "Q")
        self.assertRegex(line, rf"^qvl: request: needs {AMOUNT} \(pixels [0-9.]+\), {FREE}\n$")

    def test_a_conversation_goes_on_after_a_refusal(self):
        questions = f"/image {self.large_picture()}\nWhat is this?\n/image {IMAGE}\nAnd this?\n".encode()
        args = ["chat", "--model", MODEL, "--max-tokens", "4", "--temperature", "0"]
        result = qvl(*args, "--memory-limit", "100MiB", input=questions)
        self.assertEqual(result.returncode, 0)
        self.assertTrue(re.search(rf"request: needs .*, {FREE}; the question and its pictures are dropped",
                                  result.stderr.decode()), result.stderr)
        alone = self.good(*args, input=f"/image {IMAGE}\nAnd this?\n".encode())
        self.assertEqual(result.stdout, alone)


if __name__ == "__main__":
    unittest.main()
