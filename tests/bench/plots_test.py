"""bench/plots.py and plot_data.py: what is drawn of the results of experiments. matplotlib is not needed."""
import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
import plot_data  # noqa: E402
import plots  # noqa: E402
from plot_data import MIB, ResultError  # noqa: E402


def timeline(busy, rates):
    """As neighbour.py saves it: seconds from 4 before the neighbour to 12 after it, `rates` in turns."""
    return [[second, rates[second % len(rates)]] for second in range(-4, busy + 12)]


def policy(apart, mean_us, makespan_us):
    """As qvl_scheduler_simulation prints it, of one scenario; the worst is ten times the mean."""
    classes = dict(zip(("interactive", "normal", "background"), mean_us))
    return {"makespan_us": makespan_us, "steps": 9, "mean_response_us": classes,
            "worst_response_us": {name: 10 * us for name, us in classes.items()},
            "compute_turns": {"most_difference": apart, "least": 0, "most": 5},
            "decode_turns": {"most_difference": apart + 1, "least": 0, "most": 5}, "violations": []}


QUOTA = {"cpus": 1, "tokens_per_second": {"qvl": {"8": [30, 36, 33], "1": [40, 37]}, "llama.cpp": {"1": [20], "8": [2, 1]}}}
NEIGHBOUR = {"with adaptation": [{"neighbour_share": 0.6, "timeline": timeline(3, [10])},
                                 {"neighbour_share": 0.4, "timeline": timeline(3, [20, 30])}]}
GAPS = {"qvl": [{"sent_s": 4, "answered_s": 6, "times_s": [1, 3.5, 4.5, 5, 5.5, 7.5, 17.5]},
                {"sent_s": 4, "answered_s": 6, "times_s": [1, 3.5, 4.5, 6, 7]}],
        "llama.cpp": [{"sent_s": 4, "answered_s": 64, "times_s": [3, 3.5, 64.5]}]}
CAP = {"cap_mib": 2048.0, "pictures": 500, "most_mib": 1570.5, "slope_mib_per_100": -0.3, "resident": [[0.0, 900.0], [0.1, 1570.5]]}
PRESSURE = {"full_s": 9.5, "free_s": 20, "held": [[-2, {"value": 64 * MIB}], [10, {"value": 0}]],
            "reductions": [[9.9, "caches reduced by 64.0 MiB"], [9.9, "reduced 2 caches: 65.5 MiB"],
                           [12, "caches reduced by 512.00 KiB"]]}
LEVELS = {"levels": [{"level": 3, "seconds": 3.25, "first_token_s": 1.5, "load_s": 0.3, "peak_mib": 1760, "cosine_mean": 0.997},
                     {"level": 0, "seconds": 800, "first_token_s": 300, "load_s": 2, "peak_mib": 9100, "cosine_mean": 1.0}]}
PASSES = {"passes": [{"pass": "pinning", "seconds": 3, "ratio": 0.99, "load_more_s": 0, "peak_more_mib": 1},
                     {"pass": "threads", "seconds": 6, "ratio": 1.8, "load_more_s": 0.1, "peak_more_mib": -2}]}
SCHEDULER = {"seed": 1, "requests": 10,
             "arrivals": {"load_balanced": policy(133, [7e6, 8e6, 9e6], 1), "priority": policy(91, [1e6, 2e6, 6e6], 2),
                          "round_robin": policy(2, [4e6, 5e6, 5e6], 3)},
             "mixed_load": {"load_balanced": policy(5, [1, 1, 1], 287e6), "priority": policy(6, [1, 1, 1], 308e6),
                            "round_robin": policy(7, [1, 1, 1], 310e6)}}
POOL = {"pictures": 60, "with": {"hit_rate": 0.93, "allocations_per_request": 4, "seconds": 2},
        "without": {"hit_rate": 0, "allocations_per_request": 61, "allocations_per_token": 3}}
RESULTS = {"cpu_quota": QUOTA, "neighbour": NEIGHBOUR, "gaps": GAPS, "memory_cap": CAP, "memory_pressure": PRESSURE, "levels": LEVELS,
           "passes": PASSES, "scheduler": SCHEDULER, "pool": POOL}


def changed(result, path, value):
    """A copy of `result` with another value at the end of `path`; without it where the value is `...`."""
    copy = json.loads(json.dumps(result))
    at = copy
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return copy


class Shapes(unittest.TestCase):
    def test_quotas_have_medians_by_ascending_threads(self):
        data = plot_data.shape_cpu_quota(QUOTA)
        self.assertEqual((data.cpus, data.threads), (1, [1, 8]))
        self.assertEqual(data.programs, {"qvl": [plot_data.Spread(38.5, 37, 40), plot_data.Spread(33, 30, 36)],
                                         "llama.cpp": [plot_data.Spread(20, 20, 20), plot_data.Spread(1.5, 1, 2)]})

    def test_threads_are_sorted_as_numbers(self):
        rates = {"16": [1], "2": [1], "1": [1]}
        self.assertEqual(plot_data.shape_cpu_quota({"cpus": 2, "tokens_per_second": {"qvl": rates}}).threads, [1, 2, 16])

    def test_rounds_beside_a_neighbour_have_a_mean_for_each_second(self):
        data = plot_data.shape_neighbour(NEIGHBOUR)
        self.assertEqual(data.busy_s, 3)
        mode, = data.modes
        self.assertEqual((mode.name, mode.neighbour_share, len(mode.rounds)), ("with adaptation", 0.5, 2))
        self.assertEqual(mode.rounds[1][:2], [(-3.5, 20), (-2.5, 30)])
        self.assertEqual(mode.mean[:2] + mode.mean[-1:], [(-3.5, 15), (-2.5, 20), (14.5, 15)])

    def test_gaps_are_those_of_the_round_with_the_longest_one_that_touches_the_wait(self):
        data = plot_data.shape_gaps(GAPS)
        self.assertEqual(data, {
            "qvl": plot_data.GapsResult([(-3, 2.5), (-0.5, 1), (0.5, 0.5), (1, 0.5), (1.5, 2), (3.5, 10)], 13.5, 2, 2),
            "llama.cpp": plot_data.GapsResult([(-1, 0.5), (-0.5, 61)], 60.5, 60, 61)})

    def test_a_cap_keeps_its_figures(self):
        self.assertEqual(plot_data.shape_memory_cap(CAP), plot_data.CapResult(2048, 1570.5, 500, -0.3, [(0, 900), (0.1, 1570.5)]))

    def test_pressure_counts_each_reduction_once_and_in_mib(self):
        self.assertEqual(plot_data.shape_memory_pressure(PRESSURE),
                         plot_data.PressureResult(9.5, 20, [(-2, 64), (10, 0)], [(9.9, 64), (12, 0.5)]))

    def test_pressure_may_lack_what_caches_held(self):
        self.assertEqual(plot_data.shape_memory_pressure({**PRESSURE, "held": []}).held, [])

    def test_levels_ascend(self):
        self.assertEqual(plot_data.shape_levels(LEVELS), [plot_data.LevelResult(0, 800, 300, 9100, 1.0),
                                                          plot_data.LevelResult(3, 3.25, 1.5, 1760, 0.997)])

    def test_the_pass_worth_most_is_first(self):
        self.assertEqual(plot_data.shape_passes(PASSES), [plot_data.PassResult("threads", 1.8, 0.1, -2),
                                                          plot_data.PassResult("pinning", 0.99, 0, 1)])

    def test_a_second_question_is_told_and_has_no_loading(self):
        row = {"pass": "prefix_cache", "question": "second", "seconds": 3, "ratio": 4, "peak_more_mib": -1}
        self.assertEqual(plot_data.shape_passes({"passes": [{**row, "pass": "threads", "question": "first", "load_more_s": 2}, row]}),
                         [plot_data.PassResult("threads", 4, 2, -1), plot_data.PassResult("prefix_cache, second question", 4, None, -1)])

    def test_policies_take_waits_from_the_arrivals_and_the_end_from_the_full_queue(self):
        data = plot_data.shape_scheduler(SCHEDULER)
        self.assertEqual(list(data), ["round_robin", "priority", "load_balanced"])
        self.assertEqual(data["priority"], plot_data.PolicyResult(
            {"compute": 91, "decode": 92}, {"interactive": 1, "normal": 2, "background": 6},
            {"interactive": 10, "normal": 20, "background": 60}, 308))

    def test_a_pool_has_the_figures_of_all_variants(self):
        self.assertEqual(plot_data.shape_pool(POOL), plot_data.PoolResult(
            ["with", "without"], {"hit_rate": [0.93, 0], "allocations_per_request": [4, 61]}))

    def test_a_pool_is_drawn_from_what_qvl_allocations_saves(self):
        saved = {"with_pool": {"conversation_allocations": 0.0, "conversation_hit_rate": 1.0, "pipeline_allocations": 0.2,
                               "pipeline_hit_rate": 0.996},
                 "without_pool": {"conversation_allocations": 43.5, "conversation_hit_rate": 0, "pipeline_allocations": 43.5,
                                  "pipeline_hit_rate": 0}}
        self.assertEqual(plot_data.shape_pool(saved), plot_data.PoolResult(
            ["with_pool", "without_pool"], {"conversation_allocations": [0, 43.5], "conversation_hit_rate": [1, 0],
                                            "pipeline_allocations": [0.2, 43.5], "pipeline_hit_rate": [0.996, 0]}))

    def test_thinned_lines_keep_their_peaks(self):
        points = [(at, 100 if at == 377 else at % 7) for at in range(1000)]
        thin = plot_data.thin_peaks(points, 50)
        self.assertEqual(len(thin), 50)
        self.assertIn((377, 100), thin)
        self.assertEqual(thin, sorted(thin))
        self.assertEqual(plot_data.thin_peaks(points[:50], 50), points[:50])
        self.assertEqual(len(plot_data.thin_peaks(points[:51], 50)), 26)
        self.assertEqual(plot_data.thin_peaks([]), [])

    def test_one_giant_does_not_set_the_axis(self):
        self.assertEqual(plot_data.ratio_axis_end([31, 1.8, 0.99]), 1.8)
        self.assertEqual(plot_data.ratio_axis_end([4, 4.01]), 4)
        self.assertEqual(plot_data.ratio_axis_end([31, 12]), 31)

    def test_wrong_results_are_refused_with_the_field(self):
        nan = float("nan")
        for name, path, value, message in (
                ("cpu_quota", ["cpus"], ..., "result: cpus is missing"),
                ("cpu_quota", ["cpus"], 0, "result.cpus: expected a number above 0, found 0"),
                ("cpu_quota", ["tokens_per_second"], {}, "tokens_per_second: expected an object with members, found {}"),
                ("cpu_quota", ["tokens_per_second", "qvl", "8"], [],
                 "tokens_per_second.qvl.8: expected an array with entries, found []"),
                ("cpu_quota", ["tokens_per_second", "qvl", "8"], ["fast"],
                 "tokens_per_second.qvl.8: expected a number, found 'fast'"),
                ("cpu_quota", ["tokens_per_second", "qvl", "all"], [1],
                 "tokens_per_second.qvl: expected numbers of threads, found 'all'"),
                ("cpu_quota", ["tokens_per_second", "llama.cpp", "8"], ...,
                 "tokens_per_second.llama.cpp: expected the threads [1, 8], found [1]"),
                ("neighbour", ["with adaptation", 0, "timeline"], timeline(5, [10]),
                 "timeline: expected all rounds to end 12 s after the same busy period, found busy periods of [3, 5] s"),
                ("neighbour", ["with adaptation", 0, "timeline"], [[14, 1, 1]],
                 "with adaptation[0].timeline[0]: expected a pair, found [14, 1, 1]"),
                ("neighbour", ["with adaptation", 0, "timeline"], [[99, 1]],
                 "with adaptation: expected rounds with seconds in common, found none"),
                ("neighbour", ["with adaptation", 0, "neighbour_share"], True,
                 "with adaptation[0].neighbour_share: expected a number, found True"),
                ("gaps", ["qvl", 1, "times_s"], [1, 3, 2, 7],
                 "qvl[1]: expected ascending times_s from before sent_s to after answered_s"),
                ("gaps", ["llama.cpp", 0, "answered_s"], 64.5,
                 "llama.cpp[0]: expected ascending times_s from before sent_s to after answered_s"),
                ("gaps", ["llama.cpp", 0, "times_s", 1], "3.5", "llama.cpp[0].times_s: expected a number, found '3.5'"),
                ("gaps", ["qvl"], [], "qvl: expected an array with entries, found []"),
                ("memory_cap", ["resident"], [[0, None]], "resident[0]: expected a number, found None"),
                ("memory_cap", ["most_mib"], nan, "result.most_mib: expected a number, found nan"),
                ("memory_pressure", ["held", 0, 1], {"bytes": 1}, "held[0]: value is missing"),
                ("memory_pressure", ["held"], None, "held: expected an array, found None"),
                ("memory_pressure", ["reductions", 0, 1], 7, "reductions[0]: expected a text, found 7"),
                ("levels", ["levels", 1, "seconds"], -1, "levels[1].seconds: expected a number above 0, found -1"),
                ("levels", ["levels"], [], "levels: expected an array with entries, found []"),
                ("levels", ["levels", 0, "peak_mib"], 10**400, f"levels[0].peak_mib: expected a number, found 1{'0' * 36}..."),
                ("passes", ["passes", 0, "pass"], 3, "passes[0].pass: expected a text, found 3"),
                ("scheduler", ["arrivals", "priority"], ..., "arrivals: priority is missing"),
                ("scheduler", ["mixed_load", "priority", "makespan_us"], "x" * 99,
                 f"mixed_load.priority.makespan_us: expected a number, found '{'x' * 36}..."),
                ("pool", ["with"], {}, "with: expected an object with members, found {}"),
                ("pool", ["with", "hit_rate"], "9", "with.hit_rate: expected a number, found '9'"),
                ("pool", ["with"], {"seconds": 2},
                 "result: expected figures named hit_rate or allocations in all variants, found none")):
            with self.subTest(name=name, path=path), self.assertRaises(ResultError) as caught:
                plot_data.SHAPES[name](changed(RESULTS[name], path, value))
            self.assertEqual(str(caught.exception), message)

    def test_no_shape_takes_what_is_no_object(self):
        for name, shape in plot_data.SHAPES.items():
            for value in (None, [], 3, "text", {}):
                with self.subTest(name=name, value=value), self.assertRaises(ResultError):
                    shape(value)


class Program(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.drawn = {}

    def save(self, name, result):
        (self.folder / f"{name}.json").write_text(json.dumps(result))

    def write(self, name, data, path):
        self.drawn[name] = data
        path.write_text("<svg><style></style>\n  <text/>\n</svg>")

    def run_plots(self, *arguments, write=None):
        """(exit code, lines of standard output, lines of standard error)."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = plots.main(["--folder", str(self.folder), *arguments], write or self.write)
        return code, out.getvalue().splitlines(), err.getvalue().splitlines()

    def test_skips_what_has_no_result(self):
        code, out, err = self.run_plots()
        self.assertEqual((code, err, self.drawn), (0, [], {}))
        self.assertEqual(out, [f"{name}: skipped, no result in {self.folder}" for name in plot_data.SHAPES])

    def test_draws_every_result_beside_it(self):
        for name, result in RESULTS.items():
            self.save(name, result)
        code, out, err = self.run_plots()
        self.assertEqual((code, err, list(self.drawn)), (0, [], list(RESULTS)))
        self.assertEqual(self.drawn["levels"], plot_data.shape_levels(LEVELS))
        size = (self.folder / "levels.svg").stat().st_size
        self.assertIn(f"levels: {self.folder}/levels.svg, {size} bytes", out)

    def test_draws_only_what_is_named(self):
        self.save("levels", LEVELS)
        self.save("pool", POOL)
        self.assertEqual(self.run_plots("pool")[0], 0)
        self.assertEqual(list(self.drawn), ["pool"])

    def test_puts_all_caps_into_one_figure(self):
        self.save("memory_cap-1.5GiB", {**CAP, "cap_mib": 1536})
        self.save("memory_cap", CAP)
        self.run_plots("memory_cap")
        self.assertEqual([data.cap_mib for data in self.drawn["memory_cap"]], [2048, 1536])

    def test_takes_passes_from_their_own_file_or_from_that_of_the_levels(self):
        self.save("levels", LEVELS)
        self.assertEqual(self.run_plots("passes")[1], [f"passes: skipped, no result in {self.folder}"])
        self.save("levels", {**LEVELS, **PASSES})
        self.run_plots("passes")
        self.assertEqual([row.name for row in self.drawn["passes"]], ["threads", "pinning"])
        self.save("passes", {"passes": PASSES["passes"][:1]})
        self.run_plots("passes")
        self.assertEqual([row.name for row in self.drawn["passes"]], ["pinning"])

    def test_names_the_file_of_a_wrong_result_and_draws_the_others(self):
        self.save("cpu_quota", {**QUOTA, "cpus": "one"})
        (self.folder / "neighbour.json").write_bytes(b"\xff{")
        (self.folder / "memory_cap.json").write_text("[" * 100_000)
        self.save("pool", POOL)
        code, _, err = self.run_plots()
        self.assertEqual((code, list(self.drawn)), (1, ["pool"]))
        self.assertEqual(err[0], f"{self.folder}/cpu_quota.json: result.cpus: expected a number, found 'one'")
        self.assertRegex(err[1], f"^{self.folder}/neighbour.json: cannot be read: ")
        self.assertRegex(err[2], f"^{self.folder}/memory_cap.json: cannot be read: ")
        self.assertEqual(len(err), 3)

    def test_tells_of_a_figure_that_is_too_large_for_a_page(self):
        self.save("pool", POOL)
        code, _, err = self.run_plots("pool", write=lambda name, data, path: path.write_text("x" * 40_001))
        self.assertEqual((code, err), (1, [f"{self.folder}/pool.svg: 40001 bytes, at most 40000 are wanted"]))

    def test_refuses_a_name_that_is_none(self):
        err = io.StringIO()
        with contextlib.redirect_stderr(err), self.assertRaises(SystemExit) as caught:
            plots.main(["speed"], self.write)
        self.assertEqual(caught.exception.code, 2)
        self.assertRegex(err.getvalue(), rf"\A\S+: found 'speed', expected one of {', '.join(plot_data.SHAPES)}\n\Z")

    def test_compacts_what_matplotlib_writes(self):
        svg = ('<style type="text/css">*{a: b}</style>\n'
               '  <text style="font-size: 9px; font-family: \'DejaVu Sans\'; fill: #333333" x="1" '
               'transform="rotate(-0 1 2)">a  b</text>\n   <path d="M 0 0 \nL 1 1 \n"/>\n<text transform="rotate(-90 1 2)">c</text>\n')
        self.assertEqual(plots.compact(svg),
                         '<style type="text/css">*{a: b}text{font-family: \'DejaVu Sans\', Verdana, sans-serif}</style>\n'
                         '<text style="font-size: 9px; fill: #333333" x="1">a  b</text>\n<path d="M 0 0\nL 1 1\n"/>\n'
                         '<text transform="rotate(-90 1 2)">c</text>\n')


if __name__ == "__main__":
    unittest.main()
