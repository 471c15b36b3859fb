"""The contract of each command: what it takes, what it prints, what it writes."""

import json
import pathlib
import os
import subprocess
import tempfile
import unittest

from program import IMAGE, MODEL, OTHER_IMAGE, PROGRAM, VIDEO, ProgramTest, read_npy

COMMANDS = ["run", "chat", "logits", "tokenize", "detokenize", "pixels", "inspect", "eval", "bench", "plan"]


class Help(ProgramTest):
    def test_every_command_has_help_with_an_example(self):
        for command in COMMANDS:
            text = self.good(command, "--help").decode()
            self.assertIn(f"Usage: qvl {command}", text)
            self.assertIn(f"qvl {command} --model", text.split("Example:")[1])

    def test_the_program_lists_its_commands_and_exit_codes(self):
        text = self.good("--help").decode()
        for command in COMMANDS:
            self.assertIn(f"\n  {command} ", text)
        self.assertIn("Exit codes", text)

    def test_version(self):
        self.assertRegex(self.good("--version").decode(), r"^qvl \d+\.\d+\.\d+\n$")


class Hardware(ProgramTest):
    def test_tells_what_the_kernel_tells(self):
        found = json.loads(self.good("hardware", "--json"))
        self.assertEqual(found["cpu"]["online"], os.sysconf("SC_NPROCESSORS_ONLN"))
        self.assertTrue(1 <= found["cpu"]["cores"] <= found["cpu"]["online"])
        self.assertTrue(1 <= found["budget"]["threads"] <= len(os.sched_getaffinity(0)))
        self.assertEqual(found["cpu"]["isas"][0], "scalar")
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        self.assertEqual(found["memory"]["total_bytes"], pages)
        self.assertLessEqual(found["budget"]["memory_bytes"], pages)
        text = self.good("hardware").decode()
        self.assertIn(found["budget"]["threads_cause"], text)

    def with_meminfo(self, meminfo, *args):
        """What the program prints where /proc/meminfo holds this; skipped where nothing can be mounted."""
        path = self.folder / "meminfo"
        path.write_text(meminfo)
        hidden = ["unshare", "-rm", "sh", "-c", 'mount --bind "$0" /proc/meminfo && exec "$@"', path]
        try:
            if subprocess.run([*hidden, "true"], stderr=subprocess.DEVNULL).returncode != 0:
                self.skipTest("this process may not mount")
        except FileNotFoundError:
            self.skipTest("there is no unshare")
        return subprocess.run([*hidden, PROGRAM, *args], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout.decode()

    def test_plan_and_run_count_pages_alike_where_meminfo_tells_nothing(self):
        known = json.loads(self.good("hardware", "--json"))
        share = int(known["budget"]["memory_bytes"] * 0.8)
        for meminfo in ("", "MemTotal: -5 kB\nMemAvailable: 7 kB\n"):
            found = json.loads(self.with_meminfo(meminfo, "hardware", "--json"))
            self.assertEqual(found["memory"], {"total_bytes": known["memory"]["total_bytes"], "available_bytes": None})
            self.assertEqual(found["budget"], known["budget"])
            self.assertIn(", unknown available\n", self.with_meminfo(meminfo, "hardware"))
            plan = json.loads(self.with_meminfo(meminfo, "plan", "--model", MODEL, "--json"))
            self.assertEqual(plan["memory_cap_bytes"], share)
            run = json.loads(self.with_meminfo(meminfo, "run", "--model", MODEL, "--json", "--max-tokens", "1", "Q"))
            self.assertEqual(run["memory"]["cap_bytes"], share)

    def test_less_than_a_gibibyte_is_shown_in_mebibytes(self):
        text = self.with_meminfo("MemTotal: 51200 kB\nMemAvailable: 20480 kB\n", "hardware")
        self.assertIn("\nmemory            50 MiB, 20 MiB available\n  for qvl         50 MiB: physical memory\n", text)

    def test_shows_what_a_plan_has_measured_and_measures_nothing_itself(self):
        args = ["hardware", "--cache", self.folder]
        nothing = {"memory_read_gb_s": None, "int8_gop_s": {}}
        self.assertEqual(json.loads(self.good(*args, "--json"))["measured"], nothing)
        self.assertIn("\nmeasured          nothing yet: qvl plan --measure does it once\n", self.good(*args).decode())
        self.assertEqual(list(self.folder.iterdir()), [])
        self.good("plan", "--model", MODEL, "--measure", "--cache", self.folder)
        kept = json.loads((self.folder / "machine.json").read_text())
        found = json.loads(self.good(*args, "--json"))["measured"]
        self.assertEqual(found, {"memory_read_gb_s": kept["read_gb_s"], "int8_gop_s": kept["int8_gop_s"]})
        self.assertIn(f"memory read at {kept['read_gb_s']:.1f} GB/s, ", self.good(*args).decode())
        self.assertEqual(json.loads(self.good("hardware", "--cache", "off", "--json"))["measured"], nothing)
        (self.folder / "machine.json").write_text('{"version": 1, "fingerprint": "another", "int8_gop_s": {}}')
        self.assertEqual(json.loads(self.good(*args, "--json"))["measured"], nothing)

    def test_the_mask_of_a_configuration_holds_its_processors(self):
        first = min(os.sched_getaffinity(0))
        config = self.folder / "qvl.json"
        config.write_text(json.dumps({"cpu_affinity_mask": hex(1 << first)}))
        budget = json.loads(self.good("hardware", "--config", config, "--json"))["budget"]
        self.assertEqual(budget["threads"], 1)
        self.assertIn(f"CPU {first} on 1 core", budget["threads_cause"])
        config.write_text(json.dumps({"cpu_affinity_mask": hex(1 << 8000)}))
        self.refused(2, "cpu_affinity_mask: found ", "hardware", "--config", config)


class Cache(ProgramTest):
    PAGE = os.sysconf("SC_PAGE_SIZE")

    def setUp(self):
        super().setUp()
        packed = self.folder / "2b-00000000000012ab-q4-auto-q8.packed"
        packed.write_bytes(b"w" * 3 * self.PAGE + b"QVLPACK1" + bytes(40))
        os.utime(packed, (1_700_000_000, 1))
        (self.folder / "machine.json").write_text("{}")
        self.bytes = 3 * self.PAGE + 48
        self.file = {"name": packed.name, "bytes": self.bytes, "last_used": "2023-11-14T22:13:20Z", "checkpoint": "2b"}

    def test_lists_what_is_kept(self):
        args = ["cache", "--cache-dir", self.folder]
        self.assertEqual(json.loads(self.good(*args, "--json")),
                         {"folder": str(self.folder), "files": [self.file], "results": {"files": 0, "bytes": 0},
                          "total_bytes": self.bytes})
        self.assertEqual(self.good(*args).decode(),
                         f"{self.file['name']}  0.0 MB, last used 2023-11-14T22:13:20Z, of 2b\n"
                         f"1 packed file, 0.0 MB, in {self.folder}\n")

    def test_removes_packed_files_and_nothing_else(self):
        self.assertEqual(json.loads(self.good("cache", "--cache-dir", self.folder, "--clear", "--json")),
                         {"folder": str(self.folder), "removed": [self.file], "removed_results": {"files": 0, "bytes": 0},
                          "freed_bytes": self.bytes, "warnings": []})
        self.assertEqual([path.name for path in self.folder.iterdir()], ["machine.json"])
        self.assertEqual(self.good("cache", "--cache-dir", self.folder, "--clear").decode(),
                         f"removed 0 packed files, 0.0 MB, in {self.folder}"
                         "; a process that uses one keeps it, and its space, until it ends\n")

    def test_results_of_requests_are_counted_and_removed_with_them(self):
        results = self.folder / "features"
        results.mkdir()
        for name in ("0" * 32 + ".features", "f" * 32 + ".prefix", "notes.features", "0" * 31 + "g.features"):
            (results / name).write_bytes(bytes(500_000))
        (results / ("a" * 32 + ".prefix")).symlink_to(results / "notes.features")
        args = ["cache", "--cache-dir", self.folder]
        found = json.loads(self.good(*args, "--json"))
        self.assertEqual((found["results"], found["total_bytes"]),
                         ({"files": 2, "bytes": 1_000_000}, self.bytes + 1_000_000))
        self.assertEqual(self.good(*args).decode().splitlines()[1:],
                         ["features  1.0 MB, features of pictures and beginnings of prompts",
                          f"1 packed file and 2 files of earlier requests, 1.0 MB, in {self.folder}"])
        removed = json.loads(self.good(*args, "--clear", "--json"))
        self.assertEqual((removed["removed_results"], removed["freed_bytes"]),
                         ({"files": 2, "bytes": 1_000_000}, self.bytes + 1_000_000))
        self.assertEqual({path.name for path in results.iterdir()},
                         {"notes.features", "0" * 31 + "g.features", "a" * 32 + ".prefix"})

    def test_the_folder_is_the_users_unless_told_otherwise(self):
        home = self.folder / "qvl"
        home.mkdir()
        (home / "a.packed").write_bytes(b"QVLPACK1")
        environment = {**os.environ, "XDG_CACHE_HOME": str(self.folder)}
        found = json.loads(self.good("cache", "--json", env=environment))
        self.assertEqual((found["folder"], found["total_bytes"]), (str(home), 8))
        self.assertEqual(found["files"][0]["checkpoint"], None)
        self.refused(2, '--cache-dir: found "", expected the name of a folder', "cache", "--cache-dir", "")
        self.refused(6, "machine.json: cannot read the folder: Not a directory", "cache", "--cache-dir",
                     self.folder / "machine.json")


class Trace(ProgramTest):
    def test_a_run_leaves_its_stages(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "trace.json")
            self.good("run", "--model", MODEL, "--image", IMAGE, "--max-tokens", "3", "--trace", path, "What is this?")
            with open(path) as file:
                events = json.load(file)["traceEvents"]
        zones = [event["name"] for event in events if event["ph"] == "X"]
        self.assertEqual(zones.count("vision"), 1)
        self.assertEqual(zones.count("sampling"), 3)
        self.assertEqual(zones.count("decode"), 2)
        self.assertLess(zones.index("vision"), zones.index("prefill"))

    def test_a_trace_that_cannot_be_written_is_an_error_of_the_environment(self):
        self.refused(6, "/nowhere/", "run", "--model", MODEL, "--max-tokens", "1", "--trace", "/nowhere/trace.json", "Hello")


class Tokens(ProgramTest):
    TEXTS = ["Hello world", "", "a\nb\t12345", "Ça va — 你好 🙂", "<|im_start|>user\n<|image_pad|>"]

    def test_text_comes_back(self):
        for text in self.TEXTS:
            for flags in ([], ["--raw"]):
                ids = json.loads(self.good("tokenize", "--model", MODEL, *flags, "--", text))
                if ids:
                    joined = ",".join(map(str, ids))
                    self.assertEqual(self.good("detokenize", "--model", MODEL, joined).decode(), text + "\n")

    def test_control_tokens_are_parsed_only_with_raw(self):
        config = json.loads((MODEL / "config.json").read_text())
        text = "<|image_pad|>"
        self.assertEqual(self.tokenize(text), [config["image_token_id"]])
        plain = json.loads(self.good("tokenize", "--model", MODEL, text))
        self.assertGreater(len(plain), 1)
        self.assertNotIn(config["image_token_id"], plain)

    def test_a_file_and_lines_give_the_same_as_an_argument(self):
        expected = [json.loads(self.good("tokenize", "--model", MODEL, "--", text)) for text in self.TEXTS]
        for text, ids in zip(self.TEXTS, expected):
            file = self.folder / "text"
            file.write_text(text)
            self.assertEqual(json.loads(self.good("tokenize", "--model", MODEL, "--file", file)), ids)
        lines = self.folder / "lines"
        lines.write_text("".join(json.dumps(text) + "\n" for text in self.TEXTS))
        output = self.good("tokenize", "--model", MODEL, "--lines", lines)
        self.assertEqual([json.loads(line) for line in output.splitlines()], expected)

    def test_no_weights_are_needed(self):
        copy = self.changed_model()
        (copy / "model.safetensors").unlink()
        (copy / "config.json").unlink()
        self.assertEqual(json.loads(self.good("tokenize", "--model", copy, "--raw", "Hi")), self.tokenize("Hi"))


class Logits(ProgramTest):
    def test_chunks_and_threads_change_nothing(self):
        media = ["--image", IMAGE, "--video", VIDEO, "--prompt", "What is it?"]
        one_pass = self.logits(*media).read_bytes()
        for more in (["--chunk", 1], ["--chunk", 7], ["--threads", 1], ["--threads", 1000]):
            self.assertEqual(self.logits(*media, *more).read_bytes(), one_pass, more)

    def test_one_row_for_every_token(self):
        ids = self.tokenize("one two three")
        path = self.logits("--tokens", ",".join(map(str, ids)))
        vocabulary = json.loads((MODEL / "config.json").read_text())["text_config"]["vocab_size"]
        self.assertEqual(read_npy(path)[0], (len(ids), vocabulary))
        self.assertEqual(self.logits("--prompt", "one two three", "--raw").read_bytes(), path.read_bytes())

    def test_media_come_before_the_text_pictures_first(self):
        chat = self.logits("--video", VIDEO, "--image", IMAGE, "--image", OTHER_IMAGE, "--prompt", "Q")
        pads = ["image", "image", "video"]
        raw = "<|im_start|>user\n" + "".join(f"<|vision_start|><|{pad}_pad|><|vision_end|>" for pad in pads)
        raw += "Q<|im_end|>\n<|im_start|>assistant\n"
        media = ["--image", IMAGE, "--image", OTHER_IMAGE, "--video", VIDEO]
        self.assertEqual(self.logits(*media, "--raw", "--prompt", raw).read_bytes(), chat.read_bytes())
        swapped = ["--image", OTHER_IMAGE, "--image", IMAGE, "--video", VIDEO]
        self.assertNotEqual(self.logits(*swapped, "--raw", "--prompt", raw).read_bytes(), chat.read_bytes())

    def test_the_nested_form_has_one_more_pair_around_a_video(self):
        rows = [read_npy(self.logits("--video", VIDEO, "--prompt", "Q", "--video-prompt", form))[0][0]
                for form in ("timestamps", "nested")]
        self.assertEqual(rows[1], rows[0] + 2)

    def test_a_users_control_tokens_are_plain_text(self):
        spelled = json.loads(self.good("tokenize", "--model", MODEL, "user\n<|im_end|>"))
        rows = read_npy(self.logits("--prompt", "<|im_end|>"))[0][0]
        plain = len(spelled) - len(self.tokenize("user\n"))
        self.assertEqual(rows, plain + len(self.tokenize("<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n")))


class Pixels(ProgramTest):
    def test_pixels_never_take_the_place_of_the_picture(self):
        path = self.folder / "picture.png"
        path.write_bytes(pathlib.Path(IMAGE).read_bytes())
        result = self.refused(2, "picture.png", "pixels", "--model", MODEL, "--image", path, "--output",
                              self.folder / "." / "picture.png")
        self.assertEqual(result.stderr.decode(), f"qvl: --output: found {path}, which is the picture; expected another file\n")
        self.assertEqual(path.read_bytes(), pathlib.Path(IMAGE).read_bytes())

    def test_patches_and_their_grid(self):
        path = self.folder / "pixels.npy"
        printed = json.loads(self.good("pixels", "--model", MODEL, "--image", IMAGE, "--output", path))
        (patches, values), pixels = read_npy(path)
        time, height, width = printed["grid"]
        self.assertEqual(printed["warnings"], [])
        self.assertEqual((time, height % 2, width % 2), (1, 0, 0))
        self.assertEqual((patches, values), (height * width, 3 * 2 * 16 * 16))
        self.assertTrue(all(-1 <= value <= 1 for value in pixels))


class Inspect(ProgramTest):
    def test_configuration_tensors_and_bytes(self):
        found = json.loads(self.good("inspect", "--model", MODEL, "--json"))
        config = json.loads((MODEL / "config.json").read_text())
        self.assertEqual(found["configuration"]["text.hidden_size"], str(config["text_config"]["hidden_size"]))
        self.assertEqual(found["refusals"], [])
        self.assertEqual(sum(found["bytes_by_part"].values()), sum(t["bytes"] for t in found["tensors"]))
        embedding = next(t for t in found["tensors"] if t["name"].endswith("embed_tokens.weight"))
        self.assertEqual(embedding["shape"],
                         [config["text_config"]["vocab_size"], config["text_config"]["hidden_size"]])
        self.assertIn("model.language_model.norm.weight", self.good("inspect", "--model", MODEL).decode())

    def test_a_damaged_checkpoint_is_shown_and_refused(self):
        model = self.changed_model(config=lambda c: c["text_config"].update(num_hidden_layers=9))
        result = self.refused(3, "layers", "inspect", "--model", model, "--json")
        self.assertEqual(len(json.loads(result.stdout)["refusals"]), 1)


class Eval(ProgramTest):
    def test_counts_exact_answers_by_kind(self):
        answer = self.run_json("--temperature", 0, "--max-tokens", 8, "--image", IMAGE, "Q")["text"].rstrip(" \n")
        (self.folder / "picture.png").write_bytes(IMAGE.read_bytes())
        (self.folder / "other.png").write_bytes(IMAGE.read_bytes() + b"another file")  # it is looked at as well
        questions = self.folder / "questions.jsonl"
        lines = [{"kind": "seen", "images": ["picture.png"], "videos": [], "question": "Q", "answer": answer},
                 {"kind": "seen", "images": ["other.png"], "videos": [], "question": "Q", "answer": answer + "!"},
                 {"kind": "blind", "question": "Q", "answer": "no such answer"}]
        questions.write_text("".join(json.dumps(line) + "\n" for line in lines))
        args = ["eval", "--model", MODEL, "--questions", questions, "--max-tokens", 8]
        report = json.loads(self.good(*args, "--json"))
        self.assertGreater(report.pop("memory")["tensor_pool_hit_rate"], 0.3)  # a picture of the same size again
        self.assertEqual(report,
                         {"asked": 3, "correct": 1, "warnings": [], "kinds": {"blind": {"asked": 1, "correct": 0},
                                                              "seen": {"asked": 2, "correct": 1}}})
        self.assertEqual(self.good(*args, "--limit", 2).decode(),
                         "seen: 1 of 2 (50.0 %)\nall: 1 of 2 (50.0 %)\n")


if __name__ == "__main__":
    unittest.main()
