"""The system configuration on the command line, and the plan made from it."""

import json
import unittest

from program import IMAGE, MODEL, ProgramTest

FIELDS = ["num_compute_threads", "num_io_threads", "num_preprocess_threads", "thread_priority", "cpu_affinity_mask",
          "scheduler_policy", "memory_limit_ratio", "memory_pool_size", "memory_cleanup_interval", "enable_profiling",
          "profile_interval", "profile_memory", "profile_compute", "resource_scheduling_enabled", "scheduling_algorithm",
          "resource_reservation_ratio", "dynamic_resource_adjustment", "optimization_level"]
# Those that compute, with what they cannot do without.
COMMANDS = {"run": ["Q"], "chat": [], "logits": ["--prompt", "Q", "--output", "never-written.npy"],
            "eval": ["--questions", "never-read"], "bench": [], "plan": []}


class Options(ProgramTest):
    def test_every_field_is_an_option_of_every_command_with_a_model(self):
        for command in COMMANDS:
            text = self.good(command, "--help").decode()
            self.assertIn("--config FILE", text)
            for field in FIELDS:
                self.assertIn(f"--{field.replace('_', '-')} VALUE", text, command)

    def test_values_are_refused_with_their_range(self):
        rows = {"--num-compute-threads": ("0", "an integer from 1 to 1024"),
                "--memory-limit-ratio": ("1.7", "a number from 0.05 to 1"),
                "--scheduler-policy": ("fast", "one of performance, balanced, power_save"),
                "--enable-profiling": ("yes", "true or false"),
                "--cpu-affinity-mask": ("0x0", "a mask of at least one processor, like 0xff, of at most 8192 bits, or none")}
        for option, (value, allowed) in rows.items():
            for command, more in COMMANDS.items():
                result = self.refused(2, "", command, "--model", MODEL, *more, option, value)
                self.assertEqual(result.stderr.decode(),
                                 f'qvl: {option}: found "{value}", expected {allowed}; see qvl {command} --help\n')

    def test_two_names_of_one_field_exclude_each_other(self):
        self.refused(2, "--num-compute-threads", "run", "--model", MODEL, "--threads", "1",
                     "--num-compute-threads", "2", "Q")


class ConfigFile(ProgramTest):
    def write(self, content):
        path = self.folder / "qvl.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    def plan(self, *args):
        return json.loads(self.good("plan", "--model", MODEL, "--cache", "off", "--json", *args))

    def test_options_stand_over_the_file_in_whatever_order(self):
        path = self.write({"optimization_level": 1, "memory_cleanup_interval": 7})
        self.assertEqual(self.plan("--config", path)["level"], 1)
        for args in (["--config", path, "--optimization-level", 2], ["--optimization-level", 2, "--config", path]):
            plan = self.plan(*args)
            self.assertEqual(plan["level"], 2)
            self.assertEqual(plan["choices"]["clean-up"]["value"], "every 7 operations")

    def test_its_share_of_the_memory_holds_where_a_picture_is_cut(self):
        args = ["pixels", "--model", MODEL, "--image", IMAGE, "--output", self.folder / "pixels.npy", "--config"]
        self.good(*args, self.write({"memory_limit_ratio": 0.5}))
        self.refused(2, "memory_limit_ratio: found 2, expected a number from 0.05 to 1", *args,
                     self.write({"memory_limit_ratio": 2}))

    def test_threads_of_the_file_compute(self):
        path = self.write({"num_compute_threads": 1})
        answer = self.run_json("--config", path, "--max-tokens", 1, "Q")
        self.assertEqual(answer["threads"], 1)
        self.assertEqual(self.run_json("--num-compute-threads", 1, "--max-tokens", 1, "Q")["threads"], 1)

    def test_a_file_of_another_program_or_editor_is_told_apart(self):
        good = b'\xef\xbb\xbf{\r\n "optimization_level": 2\r\n}\r\n'
        self.assertEqual(self.plan("--config", self.write(good))["level"], 2)
        path = self.folder / "qvl.json"
        rows = [(b"", "empty, expected a JSON object"),
                (b'{"optimization_level": 2,\n}', "line 2, column 1: syntax error"),
                (b'{"optimization_level": "\xff"}', "line 1, column 25: syntax error"),
                (b'{"optimization_levels": 2}', "optimization_levels: unknown field, did you mean optimization_level?"),
                (b'{"memory_limit_ratio": 1.7}',
                 "memory_limit_ratio: found 1.7, expected a number from 0.05 to 1"),
                (b'{"num_io_threads": 1, "num_io_threads": 1}', 'duplicate key "num_io_threads"')]
        for content, message in rows:
            self.write(content)
            for command in ("run", "chat", "logits", "bench", "plan"):
                more = COMMANDS[command]
                result = self.refused(2, f"{path}: {message}", command, "--model", MODEL, *more, "--config", path)
                self.assertEqual(result.stdout, b"")

    def test_a_file_that_is_none_is_refused(self):
        run = ["run", "--model", MODEL, "Q", "--config"]
        self.refused(2, "none.json: cannot open: No such file or directory", *run, self.folder / "none.json")
        self.refused(2, "found a folder, expected a regular file", *run, self.folder)
        large = self.folder / "large.json"
        with open(large, "wb") as file:
            file.truncate(100 << 20)
        self.refused(2, "large.json: 104857600 bytes, at most 1048576 allowed", *run, large)


class Followed(ProgramTest):
    def followed(self, *args):
        return self.run_json("--max-tokens", 1, *args, "Q")["followed"]

    def test_a_pass_that_is_left_out_is_not_followed(self):
        planned = self.followed()
        self.assertEqual(planned["memory_cleanup_interval"], 10)
        self.assertGreater(planned["feature_cache_bytes"], 0)
        self.assertGreater(planned["memory_pool_size"], 0)
        self.assertEqual(planned["notes"], [])
        for name, key, value in (("pinning", "placing", "confined"), ("spinning", "waiting_awake", False),
                                 ("memory_trim", "memory_cleanup_interval", None), ("tensor_pool", "memory_pool_size", 0),
                                 ("feature_cache", "feature_cache_bytes", 0),
                                 ("threads", "compute_threads", 1)):
            self.assertEqual(self.followed("--disable-pass", name)[key], value, name)

    def test_what_the_plan_shows_is_what_is_followed(self):
        for level in range(4):
            # Without what depends on the load of the moment, which may be another one for the second command.
            args = ["--optimization-level", level, "--memory-cleanup-interval", 7,
                    "--dynamic-resource-adjustment", "false", "--disable-pass", "pinning", "--disable-pass", "spinning"]
            plan = json.loads(self.good("plan", "--model", MODEL, "--cache", "off", "--json", *args))["choices"]
            found = self.followed("--cache", "off", *args)
            for name, value in found["loaded"].items():
                self.assertEqual(value, plan[name]["value"], name)
            self.assertEqual(plan["prefill chunk"]["value"], f'{found["prefill_chunk"]} tokens')
            self.assertEqual(plan["vision chunk"]["value"], f'{found["vision_blocks"]} blocks')
            self.assertEqual(plan["huge pages"]["value"], "on" if found["huge_pages"] else "off")
            interval = found["memory_cleanup_interval"]
            self.assertEqual(plan["clean-up"]["value"], f"every {interval} operations" if interval else "off")
            threads = found["compute_threads"]
            self.assertEqual(plan["threads"]["value"], "1 thread" if threads == 1 else f"{threads} threads")
            self.assertEqual((plan["pinning"]["value"], found["placing"]), ("off", "confined"))
            self.assertEqual((plan["waiting awake"]["value"], found["waiting_awake"]), ("off", False))


class Plan(ProgramTest):
    def test_levels_choose_more_and_more(self):
        plans = [json.loads(self.good("plan", "--model", MODEL, "--cache", "off", "--json", "--optimization-level", level))
                 for level in range(4)]
        self.assertEqual(plans[0]["choices"]["instruction set"]["value"], "scalar")
        self.assertEqual([plan["choices"]["keys and values"]["value"] for plan in plans], ["f32", "f32", "16", "16"])
        taken = [sum(choice["pass"] is not None for choice in plan["choices"].values()) for plan in plans]
        self.assertEqual(taken[0], 0)
        self.assertEqual(taken, sorted(taken))
        for plan in plans:
            self.assertEqual(sum(plan["memory"].values()), plan["memory_bytes"])
            self.assertLessEqual(plan["memory_bytes"], plan["memory_cap_bytes"])

    def test_explains_every_pass_for_people(self):
        plain = self.good("plan", "--model", MODEL, "--cache", "off").decode()
        explained = self.good("plan", "--model", MODEL, "--cache", "off", "--explain").decode()
        self.assertTrue(plain.startswith("plan of level 3\n"))
        self.assertNotIn("weights_4_bit", plain)
        self.assertIn("not weights_4_bit: the decoder is small, ", explained)

    def test_passes_are_switched_off_by_name(self):
        args = ["plan", "--model", MODEL, "--cache", "off", "--json"]
        plan = json.loads(self.good(*args, "--disable-pass", "vision_8_bit", "--disable-pass", "kv_16_bit"))
        self.assertEqual(plan["choices"]["vision weights"]["value"], "f32")
        reasons = {other["pass"]: other["reason"] for choice in plan["choices"].values()
                   for other in choice["alternatives"]}
        self.assertEqual(reasons["kv_16_bit"], "it was switched off")
        self.refused(2, '--disable-pass: found "x", expected one of disk_feature_cache, ', *args, "--disable-pass", "x")

    def test_what_was_asked_for_stays(self):
        plan = json.loads(self.good("plan", "--model", MODEL, "--cache", "off", "--json", "--isa", "scalar",
                                    "--weights", "bf16"))
        self.assertEqual(plan["choices"]["decoder weights"]["value"], "bf16")
        self.assertEqual(plan["choices"]["instruction set"]["cause"], "asked for")

    def test_measures_once_and_keeps_the_rates(self):
        args = ["plan", "--model", MODEL, "--cache", self.folder, "--json"]
        self.assertTrue(json.loads(self.good(*args))["machine"]["reads"].endswith("assumed"))
        reads = json.loads(self.good(*args, "--measure"))["machine"]["reads"]
        self.assertTrue(reads.endswith("measured"))
        self.assertEqual(json.loads(self.good(*args))["machine"]["reads"], reads)
        (self.folder / "machine.json").write_text('{"version": 1')
        self.assertTrue(json.loads(self.good(*args))["machine"]["reads"].endswith("assumed"))

    def test_a_mask_without_a_processor_is_refused(self):
        self.refused(2, "cpu_affinity_mask: 0x1", "plan", "--model", MODEL, "--cpu-affinity-mask",
                     "0x1" + "0" * 1000)

    def test_no_weights_are_read_or_packed(self):
        before = set(self.folder.iterdir())
        self.good("plan", "--model", MODEL, "--cache", self.folder)
        self.assertEqual(set(self.folder.iterdir()), before)


if __name__ == "__main__":
    unittest.main()
