"""What the experiments of bench/experiments make of what they have measured; nothing is measured here."""
import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench" / "experiments"))
import cgroups  # noqa: E402
import conflicts  # noqa: E402
import described_machine  # noqa: E402
import gaps  # noqa: E402
import option_runs  # noqa: E402
import options  # noqa: E402
import quiet  # noqa: E402
import second_question  # noqa: E402
from option_runs import Look  # noqa: E402


class Quiet(unittest.TestCase):
    """What is told on standard error while the load average comes down; nothing sleeps here."""
    WAITING = "waiting for up to 5 minutes until the load of the last minute is below 0.2; it is 1.50\n"

    def told(self, loads):
        """What is told, and how often it slept."""
        errors = io.StringIO()
        with mock.patch.object(quiet, "load_average", side_effect=loads), contextlib.redirect_stderr(errors), \
                mock.patch.object(quiet.time, "sleep") as sleep:
            quiet.wait_for_quiet()
        return errors.getvalue(), sleep.call_count

    def test_a_wait_is_told_once_with_what_it_is_for(self):
        self.assertEqual(self.told([0.19]), ("", 0))
        self.assertEqual(self.told([1.5, 0.3, 0.1]), (self.WAITING, 2))

    def test_a_machine_that_stays_busy_is_told(self):
        busy = "the load is still 0.2 or more: the plans are those of a busy machine\n"
        self.assertEqual(self.told([1.5] * 60), (self.WAITING + busy, 60))


class Conflicts(unittest.TestCase):
    def shown(self, text, expected):
        """(lines of standard output, how many patterns no line had)."""
        out, seen = io.StringIO(), conflicts.Conflicts()
        with contextlib.redirect_stdout(out):
            seen.show("title", text, expected)
        return out.getvalue().splitlines(), seen.failed

    def test_the_lines_that_decide_are_shown(self):
        plan = ("  keys and values  8\n      kv_8_bit: 16 bits leave room for 2944 tokens, 8 bits for 5824; -82.0 MiB\n"
                "      not kv_16_bit (16): kv_8_bit is taken and excludes it\n")
        self.assertEqual(self.shown(plan, conflicts.KV), (
            ["title", "    kv_8_bit: 16 bits leave room for 2944 tokens, 8 bits for 5824; -82.0 MiB",
             "    not kv_16_bit (16): kv_8_bit is taken and excludes it"], 0))

    def test_another_winner_is_missed(self):
        for expected, plan in (
                (conflicts.KV, "   kv_16_bit: 13 bits of precision\n   not kv_8_bit: 16 bits leave room for the 16384 tokens wanted\n"),
                (conflicts.CACHES, "   feature_cache: room for 12 pictures of 512 x 512\n   prefix_cache: room for prompts of 320 tokens in all\n"),
                (conflicts.HUGE_PAGES, "   huge_pages: fewer walks\n   not huge_pages: no huge pages by advice\n"),
                (conflicts.TWO_A_CORE, "   threads: 4 cores to use, 8 threads asked for\n   not smt: each core runs one thread\n"),
                (conflicts.ONE_A_CORE, "   smt: all threads of a core do 0.80 times what one does\n   not threads: one of 1 cores is granted\n")):
            with self.subTest(plan):
                lines, failed = self.shown(plan, expected)
                self.assertEqual((lines[1:], failed), ([f"    MISSING: {pattern}" for pattern in expected], len(expected)))

    def test_what_is_left_out_is_told(self):
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), mock.patch.object(conflicts.DescribedMachine, "problem", lambda _: "not permitted"):
            conflicts.under_a_quota(mock.Mock(group=None), None)
            conflicts.two_threads_a_core(None, None)
        self.assertEqual(errors.getvalue(), "without --group the quota of one processor is left out\n"
                                            "cores with two threads each are left out: not permitted\n")

    def test_the_described_machine_has_four_cores_of_two_threads(self):
        with tempfile.TemporaryDirectory() as name:
            machine = described_machine.DescribedMachine(name)
            cpu = pathlib.Path(name) / "cpu"
            self.assertEqual((cpu / "online").read_text(), "0-7\n")
            self.assertEqual([(cpu / f"cpu{i}" / "topology" / "thread_siblings_list").read_text() for i in range(8)],
                             ["0-1\n"] * 2 + ["2-3\n"] * 2 + ["4-5\n"] * 2 + ["6-7\n"] * 2)
            if problem := machine.problem():
                self.skipTest(problem)
            seen = subprocess.run(machine.command(["sh", "-c", "grep Cpus_allowed_list /proc/$$/status; cat /sys/devices/system/cpu/online"]),
                                  capture_output=True, text=True)
            self.assertEqual((seen.stdout, seen.stderr), ("Cpus_allowed_list:\t0-7\n0-7\n", ""))

    def test_a_set_speedup_leaves_the_other_rates(self):
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name) / "machine.json"
            path.write_text('{"version": 1, "read_gb_s": 40, "smt_speedup": 1}')
            conflicts.set_smt_speedup(pathlib.Path(name), 1.3)
            self.assertEqual(json.loads(path.read_text()), {"version": 1, "read_gb_s": 40, "smt_speedup": 1.3})


class ControlGroups(unittest.TestCase):
    """In folders that look like the kernel's."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def written(self, group):
        """What the group's files have been told; they are removed, as the kernel's go with their folder."""
        told = {}
        for path in list(group.folder.iterdir()):
            told[path.name] = path.read_text()
            path.unlink()
        return told

    def test_limits_of_version_1(self):
        for controller in ("cpu", "memory"):
            (self.root / controller).mkdir()
        cpu, memory = (cgroups.ControlGroup(controller, root=self.root) for controller in ("cpu", "memory"))
        self.assertEqual(cpu.folder, self.root / "cpu" / f"qvl-cpu-{os.getpid()}")
        cpu.limit_cpus(1.5)
        cpu.enter()
        self.assertEqual(self.written(cpu), {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "150000", "cgroup.procs": str(os.getpid())})
        memory.limit_memory(5 << 30)
        self.assertEqual(self.written(memory), {"memory.limit_in_bytes": "5368709120"})
        memory.write("memory.max_usage_in_bytes", "4096\n")
        memory.write("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
        self.assertEqual((memory.peak_memory(), memory.killed()), (4096, 2))

    def test_limits_of_version_2(self):
        (self.root / "cgroup.controllers").write_text("cpuset cpu memory\n")
        (self.root / "cgroup.subtree_control").write_text("memory\n")
        cpu = cgroups.ControlGroup("cpu", root=self.root)
        self.assertEqual((self.root / "cgroup.subtree_control").read_text(), "+cpu")
        cpu.limit_cpus(1)
        self.assertEqual(self.written(cpu), {"cpu.max": "100000 100000"})
        (self.root / "cgroup.subtree_control").write_text("cpu memory\n")
        memory = cgroups.ControlGroup("memory", root=self.root)
        self.assertEqual((self.root / "cgroup.subtree_control").read_text(), "cpu memory\n")  # it was handed down already
        memory.limit_memory(1 << 20)
        self.assertEqual(self.written(memory), {"memory.max": "1048576"})
        memory.write("memory.events", "low 0\noom 4\noom_kill 3\noom_group_kill 0\n")
        self.assertEqual((memory.peak_memory(), memory.killed()), (None, 3))
        memory.write("memory.peak", "8192\n")
        self.assertEqual(memory.peak_memory(), 8192)

    def test_a_folder_of_the_callers_choice(self):
        for name in ("v1/mine", "v2/mine"):
            (self.root / name).mkdir(parents=True)
        for name in ("cgroup.controllers", "cgroup.subtree_control"):
            (self.root / "v2/mine" / name).write_text("cpu\n")
        for name, v2 in (("v1", False), ("v2", True)):
            group = cgroups.ControlGroup("cpu", self.root / name / "mine")
            self.assertEqual((group.folder.parent, group.v2), (self.root / name / "mine", v2))
            group.close()
            self.assertFalse(group.folder.exists())

    def test_a_folder_that_takes_no_group_is_told(self):
        with self.assertRaises(SystemExit) as caught:
            cgroups.ControlGroup("cpu", self.root / "gone")
        self.assertEqual(caught.exception.code, f"{self.root}/gone: no group with the controller cpu can be made: No such file or directory; "
                                                "it needs root, and of version 2 a folder without processes")


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


class Options(unittest.TestCase):
    LOOKS = [Look(10, 1, 5, (0,)), Look(12, 3, 6, (0, 1)), Look(14, 3.5, 8, ())]

    def test_processor_time_between_two_looks_grows_in_proportion(self):
        times = [option_runs.value_at(self.LOOKS, at, lambda look: look.own_s) for at in (9, 10, 10.5, 12, 13, 14, 15)]
        self.assertEqual(times, [1, 1, 1.5, 3, 3.25, 3.5, 3.5])

    def test_decoding_is_what_lies_between_its_first_and_its_last_pass(self):
        run = option_runs.evaluate_decoding(8, (11, 13), self.LOOKS, {0, 1})
        self.assertEqual(run, {"tokens_per_s": 4, "processor_s_per_token": 1.25 / 8, "neighbour_share": 1.5 / 2 / 2, "processors": [0, 1]})

    def test_the_span_of_decoding_is_in_seconds_and_leaves_other_zones_out(self):
        zone = lambda name, ts, dur: {"ph": "X", "name": name, "ts": ts, "dur": dur}
        events = [zone("prefill", 1e6, 5e5), zone("decode", 2e6, 5e5), zone("decode", 3e6, 2.5e5), zone("sampling", 4e6, 1),
                  {"ph": "i", "name": "decode", "ts": 9e6}]
        self.assertEqual(option_runs.decoding(events), (2, 3.25))
        with self.assertRaises(SystemExit) as caught:
            option_runs.decoding(events[:1])
        self.assertEqual(caught.exception.code, "the trace has no decoding: give more --tokens")

    def test_requests_at_once_are_counted_from_first_steps_to_last_ones(self):
        edge = lambda kind, ts, category="request": {"ph": kind, "ts": ts, "cat": category, "name": "request"}
        events = [edge("b", 1), edge("e", 5), edge("b", 2), edge("e", 3), edge("b", 3), edge("e", 9), edge("b", 4), edge("e", 6),
                  edge("b", 4, "another"), {"ph": "X", "ts": 4, "name": "decode"}]
        self.assertEqual(option_runs.most_at_once(events), 3)  # what ends when another one begins is not beside it
        self.assertEqual(option_runs.most_at_once([]), 0)

    def test_a_summary_has_the_median_and_the_spread_of_each_number(self):
        runs = [{"seconds": 3, "processors": [0]}, {"seconds": 1, "processors": [1]}, {"seconds": 7, "processors": [0]}]
        self.assertEqual(option_runs.summary(runs), {"seconds": (3, 1, 7)})

    def test_a_ratio_is_the_median_of_the_pairs(self):
        first, other = ([{"seconds": seconds} for seconds in values] for values in ((1, 10, 4), (2, 5, 12)))
        self.assertEqual(option_runs.ratio(first, other, "seconds"), 2)
        self.assertIsNone(option_runs.ratio([{"seconds": 0}], [{"seconds": 5}], "seconds"))

    def test_values_are_measured_in_turn_and_told_beside_the_first(self):
        order, times = [], iter((1, 4, 2, 6))
        section = options.Section(lambda: {"a": "-a", "b": "-b"},
                                  lambda bench, setting: order.append((bench, setting)) or {"seconds": next(times), "processors": [len(order)]})
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            runs = options.measure("bench", "option", section, 2)
        self.assertEqual(order, [("bench", "-a"), ("bench", "-b")] * 2)
        self.assertEqual(runs["b"], [{"seconds": 4, "processors": [2]}, {"seconds": 6, "processors": [4]}])
        self.assertEqual(out.getvalue().splitlines(),
                         ["option", "  a: seconds 1.5 (1 to 2), processors [1, 3]", "  b: seconds 5 (4 to 6; 3.500 times), processors [2, 4]"])

    def test_sections_are_saved_beside_those_that_are_there(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "options.json"
            options.save(path, {"a": {"1": []}, "b": {"1": []}})
            options.save(path, {"b": {"2": []}})
            self.assertEqual(json.loads(path.read_text()), {"a": {"1": []}, "b": {"2": []}})

    def test_every_section_has_values_to_compare(self):
        for name, section in options.SECTIONS.items():
            with self.subTest(name):
                self.assertGreater(len(section.values()), 1)


if __name__ == "__main__":
    unittest.main()
