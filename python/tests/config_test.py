"""SystemOptimizationConfig: fields, defaults, what is refused with which words, and its other forms."""
import copy
import pickle
import tempfile
import unittest
from pathlib import Path

import qvl
from qvl import SystemOptimizationConfig as Config

DEFAULTS = {
    "num_compute_threads": 4, "num_io_threads": 2, "num_preprocess_threads": 4, "thread_priority": 1,
    "cpu_affinity_mask": None, "scheduler_policy": "performance", "memory_limit_ratio": 0.8,
    "memory_pool_size": 268435456, "memory_cleanup_interval": 10, "enable_profiling": True, "profile_interval": 1.0,
    "profile_memory": True, "profile_compute": True, "resource_scheduling_enabled": True,
    "scheduling_algorithm": "round_robin", "resource_reservation_ratio": 0.7, "dynamic_resource_adjustment": True,
    "optimization_level": 3,
}
OTHERS = {
    "num_compute_threads": 1, "num_io_threads": 3, "num_preprocess_threads": 5, "thread_priority": 0,
    "cpu_affinity_mask": 1 << 100, "scheduler_policy": "power_save", "memory_limit_ratio": 0.5, "memory_pool_size": 0,
    "memory_cleanup_interval": 1, "enable_profiling": False, "profile_interval": 0.1, "profile_memory": False,
    "profile_compute": False, "resource_scheduling_enabled": False, "scheduling_algorithm": "priority",
    "resource_reservation_ratio": 1.0, "dynamic_resource_adjustment": False, "optimization_level": 0,
}
THREADS = "expected an integer from 1 to 1024"
RATIO = "expected a number from 0.05 to 1"
REFUSED = [
    ({"num_compute_threads": 0}, f"num_compute_threads: found 0, {THREADS}"),
    ({"num_io_threads": -1}, f"num_io_threads: found -1, {THREADS}"),
    ({"num_io_threads": 2 ** 70}, f"num_io_threads: found {2 ** 70}, {THREADS}"),
    ({"num_io_threads": 2.0}, f"num_io_threads: found 2.0, {THREADS}"),
    ({"num_io_threads": True}, f"num_io_threads: found True, {THREADS}"),
    ({"num_io_threads": "2"}, f"num_io_threads: found '2', {THREADS}"),
    ({"num_io_threads": None}, f"num_io_threads: found None, {THREADS}"),
    ({"memory_limit_ratio": 1.7}, f"memory_limit_ratio: found 1.7, {RATIO}"),
    ({"memory_limit_ratio": float("nan")}, f"memory_limit_ratio: found nan, {RATIO}"),
    ({"memory_limit_ratio": float("inf")}, f"memory_limit_ratio: found inf, {RATIO}"),
    ({"memory_limit_ratio": False}, f"memory_limit_ratio: found False, {RATIO}"),
    ({"enable_profiling": 1}, "enable_profiling: found 1, expected true or false"),
    ({"scheduler_policy": "fast"}, "scheduler_policy: found 'fast', expected one of performance, balanced, power_save"),
    ({"cpu_affinity_mask": 0}, "cpu_affinity_mask: found 0, expected a mask of at least one processor, like 0xff, of at most 8192 bits, or none"),
    ({"cpu_affinity_mask": -1}, "cpu_affinity_mask: found -1, expected a mask of at least one processor, like 0xff, of at most 8192 bits, or none"),
    ({"cpu_affinity_mask": "12"},
     "cpu_affinity_mask: found '12', expected a mask of at least one processor, like 0xff, of at most 8192 bits, or none"),
    ({"scheduler_policy": "x" * 100},
     "scheduler_policy: found '" + "x" * 59 + "..., expected one of performance, balanced, power_save"),
    ({"memory_limt_ratio": 1}, "memory_limt_ratio: unknown field, did you mean memory_limit_ratio?"),
    ({"colour": 1}, "colour: unknown field, expected one of " + ", ".join(DEFAULTS)),
]


class ConfigTest(unittest.TestCase):
    def test_has_the_documented_fields_and_defaults(self):
        self.assertEqual(Config().to_dict(), DEFAULTS)
        self.assertEqual(list(Config().to_dict()), list(DEFAULTS))

    def test_every_field_is_a_keyword_argument_and_an_attribute(self):
        self.assertEqual(Config(**OTHERS).to_dict(), OTHERS)
        config = Config()
        for name, value in OTHERS.items():
            setattr(config, name, value)
            self.assertEqual(getattr(config, name), value)
        self.assertEqual(config, Config(**OTHERS))

    def test_refuses_by_name_value_and_range_and_changes_nothing(self):
        for fields, message in REFUSED:
            with self.subTest(fields):
                with self.assertRaises(ValueError) as caught:
                    Config(**fields)
                self.assertEqual(str(caught.exception), message)
                self.assertIsInstance(caught.exception, qvl.UsageError)
                config = Config(**OTHERS)
                for name, value in fields.items():
                    if name in DEFAULTS:
                        with self.assertRaises(ValueError):
                            setattr(config, name, value)
                self.assertEqual(config, Config(**OTHERS))

    def test_takes_integers_for_numbers_and_hexadecimal_text_for_a_mask(self):
        self.assertEqual(Config(memory_limit_ratio=1).memory_limit_ratio, 1.0)
        self.assertEqual(Config(cpu_affinity_mask="0xff").cpu_affinity_mask, 255)

    def test_comes_back_from_every_other_form(self):
        config = Config(**OTHERS)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "qvl.json"
            path.write_text(config.to_json(), encoding="utf-8")
            self.assertEqual(Config.from_file(path), config)
        self.assertEqual(Config.from_json(config.to_json()), config)
        self.assertEqual(Config.from_dict(config.to_dict()), config)
        self.assertEqual(pickle.loads(pickle.dumps(config)), config)
        self.assertEqual(copy.deepcopy(config), config)
        self.assertEqual(eval(repr(config), {"SystemOptimizationConfig": Config}), config)

    def test_json_is_read_strictly(self):
        for text, message in [
            ("", "config: empty, expected a JSON object"),
            ('{"num_io_threads": 0}', f"config: num_io_threads: found 0, {THREADS}"),
            ('{"a": 1}', "config: a: unknown field, expected one of " + ", ".join(DEFAULTS)),
        ]:
            with self.assertRaises(qvl.UsageError) as caught:
                Config.from_json(text)
            self.assertEqual(str(caught.exception), message)

    def test_replace_leaves_the_original(self):
        config = Config()
        self.assertEqual(config.replace(num_io_threads=9), Config(num_io_threads=9))
        self.assertEqual(config, Config())
        copied = copy.copy(config)
        copied.num_io_threads = 7
        self.assertEqual(config, Config())

    def test_is_not_hashed_since_it_may_change(self):
        with self.assertRaises(TypeError):
            hash(Config())
        self.assertNotEqual(Config(), Config(num_io_threads=9))
        self.assertNotEqual(Config(), 5)

    def test_fits_this_machine(self):
        config = Config.for_this_machine()
        self.assertLessEqual(config.num_compute_threads, qvl.hardware_info()["cpu_count_physical"])

    def test_describes_each_field(self):
        described = Config.describe()
        self.assertEqual(list(described), list(DEFAULTS))
        self.assertEqual(described["thread_priority"],
                         ("an integer from 0 to 2", "of the threads that compute: 0 normal, 1 above normal, 2 high"))


if __name__ == "__main__":
    unittest.main()
