"""bench/compare_llama.py beside programs that speak as llama.cpp's do, and the real qvl with the small model."""
import json
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "bench"))
import compare_llama  # noqa: E402

PICTURE = SOURCE / "examples" / "blue-heart.png"
BENCH = """
import json, sys
assert sys.argv[1:] == ["-m", "text.gguf", "-t", "1", "-p", "512", "-n", "32", "-r", "1", "-o", "json"], sys.argv
print(json.dumps([{"n_prompt": 512, "n_gen": 0, "avg_ts": 160.5}, {"n_prompt": 0, "n_gen": 32, "avg_ts": 31.25}]))
"""
# Versions differ in their words, and pictures may come in parts.
MTMD = """
import sys
assert sys.argv[1:5] == ["-m", "text.gguf", "--mmproj", "mmproj.gguf"] and sys.argv[sys.argv.index("-t") + 1] == "1", sys.argv
kept = bytearray(64 << 20)
print("It is a heart.")
print("encoding image slice...\\nimage slice encoded in 1250 ms\\nimage/slice 2 encoded in 500 ms\\ndecoding image batch 1/1", file=sys.stderr)
"""


class CompareLlama(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name in ("text.gguf", "mmproj.gguf"):
            (self.folder / name).touch()

    def program(self, name, source):
        path = self.folder / name
        path.write_text(f"#!{sys.executable}\n{source}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    def compare(self, bench=BENCH, mtmd=MTMD, more=()):
        command = [sys.executable, "-B", str(SOURCE / "bench" / "compare_llama.py"), "--qvl", os.environ["QVL_PROGRAM"], "--model",
                   str(SOURCE / "models" / "shapes"), "--llama-bench", self.program("llama-bench", bench), "--llama-mtmd",
                   f"env {self.program('llama-mtmd-cli', mtmd)}", "--text", "text.gguf", "--mmproj", "mmproj.gguf", "--pictures",
                   str(PICTURE), "--threads", "1", "--rounds", "1", *more]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env={**os.environ, "XDG_CACHE_HOME": str(self.folder)})

    def test_both_are_measured_in_turn(self):
        done = self.compare(more=("--save", "result.json"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        (first,) = json.loads((self.folder / "result.json").read_text())
        figures = ["prefill, tok/s", "decode, tok/s", "encode blue-heart.png, s", "memory, MiB"]
        self.assertEqual([list(first[name]) for name in ("llama.cpp", "qvl")], [figures, figures])
        theirs = first["llama.cpp"]
        self.assertEqual([theirs[name] for name in figures[:3]], [160.5, 31.25, 1.75])
        self.assertGreater(theirs["memory, MiB"], 64)
        self.assertTrue(all(value > 0 for value in first["qvl"].values()), first)
        lines = done.stdout.splitlines()
        self.assertEqual([line.split(":")[0] for line in lines], ["round 1, llama.cpp", "round 1, qvl", *figures])
        self.assertEqual(lines[2:], compare_llama.report([first]))

    def test_ratios_are_of_rounds_and_above_1_where_qvl_is_better(self):
        rounds = [{"llama.cpp": {"decode, tok/s": theirs, "encode a.png, s": seconds}, "qvl": {"decode, tok/s": 30, "encode a.png, s": 2}}
                  for theirs, seconds in ((10, 8), (20, 4), (60, 1))]
        self.assertEqual(compare_llama.report(rounds), [
            "decode, tok/s: llama.cpp 20, qvl 30, ratio 1.50 (3.00, 1.50, 0.50)",
            "encode a.png, s: llama.cpp 4, qvl 2, ratio 2.00 (4.00, 2.00, 0.50)"])

    def test_a_program_that_says_something_else_is_named(self):
        bench, mtmd = self.folder / "llama-bench", self.folder / "llama-mtmd-cli"
        for changes, message in (
                ({"bench": "print('usage')"}, f"{bench}: found 'usage\\n', expected JSON\n"),
                ({"bench": "print('[]')"}, f"{bench}: found results of nothing, expected prefill and decode\n"),
                ({"bench": "import sys\nsys.exit('no such model')"},
                 f"{bench} -m text.gguf -t 1 -p 512 -n 32 -r 1 -o json: ended with 1: no such model\n"),
                ({"mtmd": "print('It is a heart.')"},
                 f"env {mtmd}: it does not tell how long {PICTURE} took: expected '... encoded in N ms'\n"),
                ({"more": ("--pictures", str(PICTURE), str(PICTURE))},
                 "compare_llama.py: --pictures: found two of the same name, expected different ones\n")):
            with self.subTest(message):
                done = self.compare(**changes)
                self.assertNotEqual(done.returncode, 0)
                self.assertTrue(done.stderr.endswith(message), done.stderr)


if __name__ == "__main__":
    unittest.main()
