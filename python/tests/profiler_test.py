"""SystemProfiler: samples, summary and hardware."""
import time
import unittest

import qvl

HARDWARE_KEYS = [
    "cpu_count", "cpu_count_physical", "cpu_count_performance", "cpu_packages", "numa_nodes", "cpu_caches",
    "instruction_sets", "cpu_budget_threads", "cpu_budget_cause", "cpu_quota", "memory_total_gb", "memory_available_gb",
    "memory_budget_gb", "memory_budget_cause", "memory_read_gb_s", "int8_gop_s", "disks", "gpu_info", "gpu_problem", "pressure_files",
]


def wait_until(condition):
    while not condition():
        time.sleep(0.005)


class ProfilerTest(unittest.TestCase):
    def test_samples_while_it_is_started(self):
        profiler = qvl.SystemProfiler(qvl.SystemOptimizationConfig(profile_interval=0.05))
        self.assertFalse(profiler.profiling)
        self.assertTrue(profiler.start_profiling())
        self.assertTrue(profiler.profiling)
        wait_until(lambda: len(profiler.profiles) >= 3)
        profiler.stop_profiling()
        self.assertFalse(profiler.profiling)
        profiles = profiler.profiles
        self.assertEqual(sorted(profiles, key=lambda each: each["time_s"]), profiles)
        self.assertIn("cpu", profiles[-1])
        self.assertGreater(profiles[-1]["memory"]["rss_bytes"], 0)
        self.assertEqual(profiler.profiles, profiles)

    def test_a_stopped_profiler_takes_a_sample_when_asked(self):
        profiler = qvl.SystemProfiler(qvl.SystemOptimizationConfig(profile_compute=False))
        profile = profiler.get_current_profile()
        self.assertNotIn("cpu", profile)
        self.assertEqual(profiler.profiles, [profile])

    def test_the_current_profile_of_a_running_one_is_its_latest(self):
        profiler = qvl.SystemProfiler(qvl.SystemOptimizationConfig(profile_interval=3600))
        profiler.start_profiling()
        wait_until(lambda: profiler.profiles)
        self.assertEqual([profiler.get_current_profile()], profiler.profiles)

    def test_does_nothing_where_profiling_is_off(self):
        profiler = qvl.SystemProfiler(qvl.SystemOptimizationConfig(enable_profiling=False))
        self.assertFalse(profiler.start_profiling())
        self.assertEqual(profiler.profiles, [])
        self.assertEqual(profiler.get_system_summary()["samples"], 0)
        self.assertIsNone(profiler.get_system_summary()["avg_memory_percent"])

    def test_the_history_is_bounded(self):
        profiler = qvl.SystemProfiler(qvl.SystemOptimizationConfig(profile_compute=False, profile_memory=False))
        first = profiler.get_current_profile()
        for _ in range(650):
            last = profiler.get_current_profile()
        profiles = profiler.profiles
        self.assertEqual(len(profiles), 600)
        self.assertEqual(profiles[-1], last)
        self.assertNotIn(first, profiles)

    def test_summary_covers_the_history(self):
        profiler = qvl.SystemProfiler(qvl.SystemOptimizationConfig())
        for _ in range(4):
            profiler.get_current_profile()
        summary = profiler.get_system_summary()
        self.assertEqual(summary["samples"], 4)
        rss = [each["memory"]["rss_bytes"] / 2 ** 20 for each in profiler.profiles]
        self.assertAlmostEqual(summary["avg_rss_memory_mb"], sum(rss) / 4, places=6)
        self.assertEqual(summary["max_rss_memory_mb"], max(rss))

    def test_hardware_has_every_key(self):
        info = qvl.SystemProfiler(qvl.SystemOptimizationConfig()).get_hardware_info()
        self.assertEqual(list(info), HARDWARE_KEYS)
        self.assertGreaterEqual(info["cpu_count"], info["cpu_count_physical"])
        self.assertGreaterEqual(info["cpu_count_physical"], 1)
        self.assertGreater(info["memory_total_gb"], info["memory_available_gb"])
        self.assertIsInstance(info["gpu_info"], list)
        self.assertEqual(list(qvl.hardware_info()), HARDWARE_KEYS)


if __name__ == "__main__":
    unittest.main()
