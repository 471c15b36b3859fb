"""How bench/experiments/levels.py finds out what a pass is worth: with the small model, and with a program that tells how it was asked."""
import contextlib
import io
import json
import os
import pathlib
import stat
import sys
import tempfile
import unittest
from unittest import mock

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "bench" / "experiments"))
import pass_runs  # noqa: E402

# Three of them, so that a prompt fills a page of 64 tokens.
PICTURES = tuple(str(SOURCE / "examples" / name) for name in ("blue-heart.png", "white-cross.webp", "green-heart-green-star.webp"))
# Notes its options and what it found of earlier runs; looks at a picture unless the folder has it and may be used.
TELLING = f"""#!{sys.executable}
import json, pathlib, sys
options = sys.argv[1:]
cache = pathlib.Path(options[options.index("--cache") + 1])
kept = cache / "features" / "picture"
off = [options[i + 1] for i, word in enumerate(options) if word == "--disable-pass"]
with (cache / "asked").open("a") as log:
    log.write(json.dumps([off, kept.exists(), options[-1]]) + "\\n")
found = kept.exists() and "disk_feature_cache" not in off
kept.parent.mkdir(exist_ok=True)
kept.touch()
print(json.dumps({{"usage": {{"completion_tokens": 3, "cached_tokens": 0}}, "media": [{{"features": "disk" if found else "computed"}}],
                  "timings": {{"time_to_first_token_s": 0.5 if found else 2, "decode_s": 0.5, "load_s": 0.25}},
                  "memory": {{"peak_rss": 3 << 20}}}}))
"""


def choice(taken, *left):
    return {"pass": taken, "alternatives": [{"pass": name, "reason": reason} for name, reason in left]}


class Passes(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cache = pathlib.Path(folder.name)

    def telling(self):
        program = self.cache / "telling"
        program.write_text(TELLING)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return pass_runs.Bench(str(program), "m", ("p.png",), 3, self.cache)

    def asked(self):
        return [json.loads(line) for line in (self.cache / "asked").read_text().splitlines()]

    def small_model(self):
        return pass_runs.Bench(os.environ["QVL_PROGRAM"], str(SOURCE / "models" / "shapes"), PICTURES, 4, self.cache)

    def test_a_plan_has_passes_taken_and_reasons_for_the_others(self):
        plan = {"choices": {"threads": choice("threads", ("smt", "each core runs one thread")), "pinning": choice(None, ("pinning", "busy")),
                            "kv": choice("kv_8_bit", ("kv_16_bit", "excluded")), "vision": choice("vision_8_bit")}}
        self.assertEqual(pass_runs.passes_of(plan), (["threads", "kv_8_bit", "vision_8_bit"],
                                                     {"smt": "each core runs one thread", "pinning": "busy", "kv_16_bit": "excluded"}))

    def test_a_pass_is_left_out_of_one_run_of_each_pair_and_nothing_else_is(self):
        row = pass_runs.compare_pass(self.telling(), "pinning", 2)
        self.assertEqual(self.asked(), [[off, False, pass_runs.FIRST] for off in (["pinning"], [], ["pinning"], [], ["pinning"])])
        self.assertEqual(row, {"pass": "pinning", "question": "first", "seconds": 2.5, "ratio": 1, "peak_more_mib": 0, "load_s": 0.25,
                               "load_more_s": 0})

    def test_what_is_kept_on_disk_is_asked_for_by_a_second_process(self):
        row = pass_runs.compare_pass(self.telling(), "disk_feature_cache", 1)
        off = ["disk_feature_cache"]
        self.assertEqual(self.asked()[2:], [[[], False, pass_runs.FIRST], [[], True, pass_runs.SECOND],
                                            [off, False, pass_runs.FIRST], [off, True, pass_runs.SECOND]])
        self.assertEqual((row["question"], row["seconds"], row["ratio"]), ("second", 2.5, 2.5))

    def test_a_slow_pass_is_left_out_once(self):
        pass_runs.compare_pass(self.telling(), "instruction_set", 3)
        self.assertEqual([off for off, *_ in self.asked()], [[], ["instruction_set"]])

    def test_a_cache_that_did_nothing_is_no_comparison(self):
        run = lambda tokens, looked_at: {"cached_tokens": tokens, "looked_at": looked_at}
        pass_runs.expect_kept("prefix_cache", run(64, 0), run(0, 0))
        pass_runs.expect_kept("feature_cache", run(0, 0), run(0, 1))
        for name, with_it, without, message in (
                ("prefix_cache", run(0, 0), run(0, 0), "prefix_cache: cached_tokens is 0 with it and 0 without: nothing is compared"),
                ("prefix_cache", run(64, 0), run(64, 0), "prefix_cache: cached_tokens is 64 with it and 64 without: nothing is compared"),
                ("feature_cache", run(64, 1), run(0, 1), "feature_cache: looked_at is 1 with it and 1 without: nothing is compared"),
                ("disk_feature_cache", run(64, 0), run(64, 0), "disk_feature_cache: looked_at is 0 with it and 0 without: nothing is compared")):
            with self.subTest(message), self.assertRaises(SystemExit) as caught:
                pass_runs.expect_kept(name, with_it, without)
            self.assertEqual(caught.exception.code, message)

    def test_an_answer_of_another_length_or_an_error_ends_the_experiment(self):
        bench = pass_runs.Bench("qvl", "m", (), 4, self.cache)
        for answer, message in (({"error": {"message": "gone.png: cannot open"}}, "qvl: gone.png: cannot open"),
                                ({"usage": {"completion_tokens": 3}, "timings": {}}, "3 tokens instead of 4: times would not compare")):
            with self.subTest(message), self.assertRaises(SystemExit) as caught:
                pass_runs.run_of(bench, answer, 0)
            self.assertEqual(caught.exception.code, message)

    def test_the_small_model_tells_what_its_caches_are_for(self):
        taken, left = pass_runs.passes_of(pass_runs.read_plan(self.small_model()))
        self.assertEqual(len(taken) + len(left), len({*taken, *left}))
        self.assertLessEqual({"feature_cache", "prefix_cache"}, set(taken))
        self.assertEqual(left["duty_cycle"], "the scheduler policy does not save power")
        self.assertRegex(left["disk_feature_cache"], "^it saves no time: ")
        out = io.StringIO()
        with mock.patch.object(pass_runs, "passes_of", return_value=(["kv_16_bit", "feature_cache", "prefix_cache"], {"smt": "no"})), \
                contextlib.redirect_stdout(out):
            results = pass_runs.compare_passes(self.small_model(), 1)
        self.assertEqual([(row["pass"], row["question"], "load_more_s" in row) for row in results["passes"]],
                         [("kv_16_bit", "first", True), ("feature_cache", "second", False), ("prefix_cache", "second", False)])
        self.assertEqual(results["not_taken"], [{"pass": "smt", "reason": "no"}])
        self.assertRegex(out.getvalue(), r"^without kv_16_bit: \d+\.\d\d s for a first question, \d+\.\d{3} times; load [+-]\d+\.\d\d s, peak "
                                         r"[+-]\d+ MiB\nwithout feature_cache: \d+\.\d\d s for a second question, \d+\.\d{3} times; peak ")
        self.assertTrue(out.getvalue().endswith("\nnot taken here: smt: no\n"))


if __name__ == "__main__":
    unittest.main()
