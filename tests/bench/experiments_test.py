"""What the experiments of bench/experiments make of what they have measured; nothing is measured here."""
import contextlib
import io
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench" / "experiments"))
import gaps  # noqa: E402
import second_question  # noqa: E402


class Gaps(unittest.TestCase):
    def test_a_gap_belongs_to_the_wait_for_the_picture_if_any_of_it_does(self):
        run = gaps.evaluate([0.25, 0.5, 1, 1.25, 1.5, 9.5, 10, 10.25], 1.25, 9.25)
        self.assertEqual(run["quiet"], {"count": 2, "p50_ms": 500, "p99_ms": 500, "max_ms": 500})
        self.assertEqual(run["beside"], {"count": 2, "p50_ms": 8000, "p99_ms": 8000, "max_ms": 8000})
        self.assertEqual((run["p99_ratio"], run["first_token_s"]), (16, 8))

    def test_one_silence_over_the_whole_wait_is_a_gap_beside_it(self):
        run = gaps.evaluate([0.5, 1, 65], 2, 64)
        self.assertEqual((run["quiet"]["count"], run["beside"]), (1, {"count": 1, "p50_ms": 64000, "p99_ms": 64000, "max_ms": 64000}))

    def test_percentiles_are_values_that_were_measured(self):
        self.assertEqual([gaps.percentile([5, 1, 4, 2, 3], share) for share in (0, 0.5, 0.62, 0.63, 0.99, 1)], [1, 3, 3, 4, 5, 5])

    def test_what_comes_long_after_the_answer_is_not_kept(self):
        self.assertEqual(gaps.evaluate([1, 2, 3.00004, 5, 5.1], 2.5, 3)["times_s"], [1, 2, 3, 5])

    def test_a_stream_that_ends_before_the_answer_is_refused(self):
        for times, message in (([1, 2, 3], "A ended with 3 tokens and B had its answer after 3.0 s: give more --tokens"),
                               ([], "A ended with 0 tokens and B had its answer after 3.0 s: give more --tokens"),
                               ([0.1, 2.75, 4], "A had no two tokens from 0.5 s to 2.5 s: the machine is too slow for this experiment")):
            with self.subTest(times=times), self.assertRaises(SystemExit) as caught:
                gaps.evaluate(times, 2.5, 3)
            self.assertEqual(caught.exception.code, message)


class SecondQuestion(unittest.TestCase):
    def finish(self, checks):
        """(lines of standard output, what it ended with, None where it did not)."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            try:
                checks.finish()
            except SystemExit as ended:
                return out.getvalue().splitlines(), ended.code
        return out.getvalue().splitlines(), None

    def test_a_fifth_of_the_first_time_without_the_tower_is_enough(self):
        checks = second_question.Checks()
        checks.second("restarted", 10, 2, 0)
        checks.expect(True, "nothing")
        self.assertEqual(self.finish(checks), (["restarted: 0.200 of the first time"], None))

    def test_the_median_of_the_rounds_counts(self):
        checks = second_question.Checks()
        for second_s in (9, 1, 0.5):
            checks.second("restarted", 10, second_s, 0)
        self.assertEqual(self.finish(checks), (["restarted: 0.100 of the first time"], None))

    def test_all_that_was_not_as_expected_is_told(self):
        checks = second_question.Checks()
        checks.expect(False, "first: features disk, expected computed")
        checks.second("restarted", 10, 2.5, 0.125)
        self.assertEqual(self.finish(checks), (
            ["restarted: 0.250 of the first time"],
            "first: features disk, expected computed\nrestarted: 0.12 s in the vision tower, expected none\n"
            "restarted: 0.250 of the first time, expected at most 0.2"))

    def test_another_comment_is_another_file_of_the_same_pixels(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = [pathlib.Path(folder) / name for name in ("a.png", "b.png")]
            for path, comment in zip(paths, ("one", "two")):
                second_question.write_picture(path, 8, comment)
            first, second = (path.read_bytes() for path in paths)
        self.assertNotEqual(first, second)
        self.assertEqual(first[first.index(b"IDAT"):], second[second.index(b"IDAT"):])


if __name__ == "__main__":
    unittest.main()
