"""qvl bench: results kept under a name, and compared with later ones."""

import json
import os
import unittest

from program import MODEL, ProgramTest, complaints, qvl

RUNS = 8


class Baselines(ProgramTest):
    def bench(self, *args, runs=RUNS):
        return ["bench", "--model", MODEL, "--cache", self.folder, "--image-sizes", 64, "--prompt-tokens", 3,
                "--decode-tokens", 2, "--streams", 1, "--repeat", runs, *args]

    def setUp(self):
        super().setUp()
        self.file = self.folder / "baselines" / "main.json"

    def scale(self, factor):
        """Makes what was kept faster by so much than what was measured."""
        stored = json.loads(self.file.read_text())
        for metric in stored["metrics"]:
            share = factor if metric["better"] == "higher" else 1 / factor
            metric["values"] = [value * share for value in metric["values"]]
        self.file.write_text(json.dumps(stored))

    def test_a_regression_has_an_exit_code_of_its_own(self):
        self.good(*self.bench("--save-baseline", "main"))
        self.assertEqual(os.stat(self.file).st_mode & 0o777, 0o600)
        stored = json.loads(self.file.read_text())
        self.assertEqual([(metric["name"], len(metric["values"])) for metric in stored["metrics"]],
                         [("prefill_3", RUNS), ("decode_1", RUNS), ("encode_64", RUNS), ("machine_read", 1),
                          ("machine_int8", 1)])
        self.scale(1000)
        result = qvl(*self.bench("--compare", "main"))
        self.assertEqual((result.returncode, complaints(result.stderr)), (1, b""))
        text = result.stdout.decode()
        self.assertIn("\ncompared with main (qvl ", text)
        self.assertEqual(text.count("slower, 0.00"), 3)
        self.assertTrue(text.endswith("\nslower than main\n"))
        self.scale(1e-6)
        report = json.loads(self.good(*self.bench("--compare", "main", "--json")))["comparison"]
        self.assertEqual((report["baseline"], report["regression"]), ("main", False))
        self.assertEqual({measured["name"]: measured["verdict"] for measured in report["measurements"]},
                         {"prefill_3": "faster", "decode_1": "faster", "encode_64": "faster"})

    def test_what_cannot_be_compared_is_refused_before_anything_is_measured(self):
        self.refused(2, f"baseline main: there is no {self.file}", *self.bench("--compare", "main"))
        self.refused(2, 'baseline: found "../main", expected 1 to 64 letters', *self.bench("--save-baseline", "../main"))
        self.refused(2, "--repeat: found 3, expected at least 8 for a baseline: fewer runs say nothing",
                     *self.bench("--save-baseline", "main", runs=3))
        self.refused(2, "--save-baseline excludes --compare", *self.bench("--compare", "main", "--save-baseline", "main"))
        self.file.parent.mkdir()
        self.file.write_text('{"format": 1')
        self.refused(2, f"{self.file}: byte 13: ", *self.bench("--compare", "main"))
        self.assertEqual([path.name for path in self.folder.iterdir() if path.name != "features"], ["baselines"])


if __name__ == "__main__":
    unittest.main()
