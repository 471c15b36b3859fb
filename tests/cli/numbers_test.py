"""Choosing kernels and numbers: which ran, that they agree, and how fast they are said to be."""

import json
import os
import unittest

from program import IMAGE, MODEL, ProgramTest, complaints, large_vocabulary, qvl, read_npy
from text_gguf import write_text_gguf

BENCH = ["bench", "--model", MODEL, "--image-sizes", "64", "--prompt-tokens", "9", "--decode-tokens", "2",
         "--streams", "1,3", "--json"]
EXACT = ["--weights", "f32", "--vision-weights", "f32", "--kv", "f32"]


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b))
    return dot / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5


class InstructionSets(ProgramTest):
    def supported(self):
        found = []
        for isa in ("scalar", "avx2", "avxvnni", "avx512"):
            environment = {**os.environ, "QVL_ISA": isa}
            try:
                found.append(json.loads(self.good(*BENCH, env=environment))["isa"])
            except AssertionError as error:  # a processor without it says so
                self.assertIn(f"QVL_ISA: {isa} is not supported by this processor", str(error))
        return found

    def test_the_one_asked_for_runs_and_all_agree(self):
        isas = self.supported()
        self.assertIn("scalar", isas)
        for kv in ("16", "int8"):
            logits = {isa: read_npy(self.logits("--image", IMAGE, "--prompt", "Q", "--isa", isa, "--kv", kv))[1]
                      for isa in isas}
            for isa, values in logits.items():
                # Integer products agree bit for bit; attention rounds its weights, and 8 bits enlarge that.
                self.assertGreater(cosine(values, logits["scalar"]), 0.999, (isa, kv))

    def test_the_option_goes_before_the_variable(self):
        environment = {**os.environ, "QVL_ISA": "sse9"}
        self.assertEqual(json.loads(self.good(*BENCH, "--isa", "scalar", env=environment))["isa"], "scalar")
        self.refused(2, "QVL_ISA: found sse9, expected one of scalar, avx2, avxvnni, avx512", *BENCH, env=environment)
        for name in ("sse9", ""):
            self.refused(2, f'qvl: --isa: found "{name}", expected one of scalar, avx2, avxvnni, avx512; see', *BENCH,
                         "--isa", name)


class Precision(ProgramTest):
    def test_coarser_numbers_are_further_from_the_exact_ones(self):
        exact = read_npy(self.logits("--image", IMAGE, "--prompt", "Q", *EXACT))[1]
        apart = {}
        for weights in ("bf16", "q8", "q4"):
            found = read_npy(self.logits("--image", IMAGE, "--prompt", "Q", "--weights", weights))[1]
            apart[weights] = 1 - cosine(exact, found)
        self.assertLess(apart["q8"], 1e-3)
        self.assertLess(apart["q4"], 5e-2)
        self.assertLess(apart["bf16"], apart["q8"] + 1e-4)
        self.assertLess(apart["q8"], apart["q4"])

    def test_coarser_keys_and_values_are_further_from_the_exact_ones(self):
        exact = read_npy(self.logits("--image", IMAGE, "--prompt", "Q", *EXACT))[1]
        apart = {}
        for kv in ("16", "int8"):
            found = read_npy(self.logits("--image", IMAGE, "--prompt", "Q", *EXACT[:-1], kv))[1]
            apart[kv] = 1 - cosine(exact, found)
        self.assertLess(apart["16"], 1e-6)
        self.assertLess(apart["int8"], 2e-4)
        self.assertLess(apart["16"], apart["int8"])

    def test_results_depend_neither_on_threads_nor_on_chunks(self):
        for kv in ("16", "int8"):
            prompt = ("--image", IMAGE, "--prompt", "Q", "--kv", kv)
            one = self.logits(*prompt, "--threads", 1).read_bytes()
            self.assertEqual(self.logits(*prompt, "--threads", 2).read_bytes(), one)
            self.assertEqual(self.logits(*prompt, "--chunk", 5).read_bytes(), one)

    def test_unknown_names_are_refused(self):
        for option, known in (("--weights", "auto, f32, bf16, q8, q4"), ("--vision-weights", "auto, f32, bf16, q8, q4"),
                              ("--kv", "f32, 16, int8")):
            self.refused(2, f'{option}: found "q7", expected one of {known}', *BENCH, option, "q7")


class Bench(ProgramTest):
    def test_the_object_has_every_measurement(self):
        report = json.loads(self.good(*BENCH, "--repeat", 3))
        for key in ("encode_64_s", "prefill_9_tok_s", "decode_tok_s", "decode_3_streams_tok_s", "peak_rss_gb",
                    "first_token_64_s", "start_cold_s", "machine_read_gb_s", "machine_int8_gop_s"):
            self.assertGreater(report[key], 0, key)
        spread = report["spreads"]["encode_64_s"]
        self.assertLessEqual(spread["least"], spread["median"])
        self.assertLessEqual(spread["median"], spread["most"])
        self.assertEqual(report["encode_64_s"], spread["median"])

    def test_level_0_is_one_scalar_thread(self):
        report = json.loads(self.good(*BENCH, "--level", 0))
        self.assertEqual((report["isa"], report["threads"]), ("scalar", 1))

    def test_people_get_a_table(self):
        text = self.good(*[argument for argument in BENCH if argument != "--json"]).decode()
        for line in ("encode 64 x 64", "prefill 9 tokens", "decode, 1 stream", "decode, 3 streams", "peak memory"):
            self.assertIn(f"\n{line}", text)

    def test_sizes_that_cannot_be_are_refused(self):
        short = ["bench", "--model", MODEL]
        for code, option, value, message in (
                (2, "--image-sizes", "50", "found 50, expected multiples of 32 up to 8192"),
                (2, "--streams", "0", "found 0, expected 1 to 256"),
                (2, "--prompt-tokens", "1000000", "found 1000000, expected 1 to 4095"),
                (5, "--image-sizes", "64,2048",
                 "found 2048: 4112 tokens with the text beside it; the model takes 4096, at least 1 for the answer")):
            result = self.refused(code, message, *short, option, value)
            self.assertEqual(result.stderr.decode(), f"qvl: {option}: {message}\n")

    def test_the_empty_name_is_refused(self):
        kinds = {"--starts": "folder", "--cache": "folder", "--config": "file", "--mmproj": "file"}
        for option, kind in kinds.items():
            result = self.refused(2, option, *BENCH, option, "")
            self.assertEqual(result.stderr.decode(),
                             f'qvl: {option}: found "", expected the name of a {kind}; see qvl bench --help\n')


class TextAlone(ProgramTest):
    """A text .gguf without its vision file."""

    def setUp(self):
        super().setUp()
        self.model = write_text_gguf(MODEL, self.folder / "text.gguf")

    def test_it_answers_as_the_folder_it_was_made_from(self):
        args = ["run", "--temperature", 0, "--max-tokens", 8, "--json", "Hello"]
        ours, theirs = (json.loads(self.good(*args, "--model", model)) for model in (self.model, MODEL))
        self.assertEqual(ours["tokens"], theirs["tokens"])

    def test_it_is_measured_without_pictures_unless_they_are_asked_for(self):
        bench = ["bench", "--model", self.model, "--prompt-tokens", "4", "--decode-tokens", "2", "--streams", "1"]
        why = "pictures are not measured: there is no vision file"
        report = json.loads(self.good(*bench, "--json"))
        self.assertEqual((report["warnings"], [key for key in report if key.startswith("encode")]), ([why], []))
        self.assertIn("prefill_4_tok_s", report)
        result = qvl(*bench)
        self.assertEqual((result.returncode, complaints(result.stderr).decode()), (0, f"qvl: warning: {why}\n"))
        self.refused(2, "--image-sizes: found 64, expected none: there is no vision file", *bench, "--image-sizes", "64")

    def test_a_picture_is_refused_before_anything_is_packed(self):
        message = f"{self.model}: there is no vision file for pictures and videos; give it with --mmproj"
        for command in (["run", "Hello"], ["chat"], ["logits", "--prompt", "Hello", "--output", self.folder / "x.npy"]):
            self.refused(4, message, *command, "--model", self.model, "--image", IMAGE)
        path = self.folder / "batch.jsonl"
        path.write_text('{"prompt": "Hello", "max_tokens": 1}\n{"prompt": "Hello", "images": ["a.png"]}\n')
        result = qvl("run", "--model", self.model, "--batch", path, "--quiet")
        answers = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual((result.returncode, len(answers[0]["tokens"]), answers[1]["error"]["message"]),
                         (4, 1, f"{self.folder}/a.png: the model was loaded without its vision file; give it with "
                                "--mmproj"))


class Starts(ProgramTest):
    """Only what happened is reported."""

    def starts(self, *args):
        report = json.loads(self.good(*BENCH, *args))
        text = self.good(*[argument for argument in BENCH if argument != "--json"], *args).decode()
        lines = [line.split(maxsplit=2) for line in text.splitlines() if line.startswith("start")]
        self.assertEqual(len(lines), text.count("\nstart"))
        return {key for key in report if key.startswith("start_")}, text

    def test_small_weights_are_packed_and_not_kept(self):
        keys, text = self.starts()
        self.assertEqual(keys, {"start_cold_s"})
        self.assertNotIn("not measured", text)
        keys, text = self.starts("--starts", self.folder)
        self.assertEqual(keys, {"start_cold_s"})
        self.assertRegex(text, r"\nstart, packing +\d+\.\d\d s\n"
                               r"start, packed before +not measured +the packed weights were not kept: less than 64 MiB")

    def test_a_folder_that_keeps_nothing_is_refused_even_for_small_weights(self):
        file = self.folder / "file"
        file.write_text("precious")
        for folder, why in ((file / "below", "Not a directory"), (file, "Not a directory"),
                            ("/proc/none", "No such file or directory")):
            self.refused(6, f"--starts: {folder}: cannot keep files there: {why}", *BENCH, "--starts", folder)
        self.assertEqual(file.read_text(), "precious")

    def test_weights_as_stored_are_not_packed(self):
        keys, text = self.starts("--level", 1, "--starts", self.folder)
        self.assertEqual(keys, {"start_stored_s"})
        self.assertRegex(text, r"\nstart, packing +not measured +the weights are computed as stored\n"
                               r"start, packed before +not measured +the weights are computed as stored\n"
                               r"start, nothing packed +\d+\.\d\d s\n")

    def test_a_folder_with_the_packed_file_shows_no_packing(self):
        model = large_vocabulary(self.changed_model())
        args = ["bench", "--model", model, "--image-sizes", "32", "--prompt-tokens", "1", "--decode-tokens", "1",
                "--streams", "1", "--weights", "q8", "--starts", self.folder / "cache", "--json"]
        keys = lambda: {key for key in json.loads(self.good(*args)) if key.startswith("start_")}
        self.assertEqual(keys(), {"start_cold_s", "start_warm_s"})
        self.assertEqual(keys(), {"start_warm_s"})
        text = self.good(*[argument for argument in args if argument != "--json"]).decode()
        self.assertRegex(text, rf"\nstart, packing +not measured +the packed weights were in {self.folder}/cache before\n"
                               r"start, packed before +\d+\.\d\d s\n")


class Warnings(ProgramTest):
    def test_every_object_has_them_and_people_get_a_line(self):
        plain = self.folder / "plain"
        plain.write_text("no folder")
        model = large_vocabulary(self.changed_model())
        questions = self.folder / "questions.jsonl"
        questions.write_text('{"kind": "k", "question": "Q", "answer": "A"}\n')
        load = ["--model", model, "--weights", "q8", "--cache", plain]
        bench = ["bench", *load, "--image-sizes", "32", "--prompt-tokens", "1", "--decode-tokens", "1", "--streams", "1"]
        commands = [bench, ["run", *load, "--max-tokens", "1", "Q"],
                    ["eval", *load, "--max-tokens", "1", "--questions", questions]]
        for command in commands:
            result = qvl(*command, "--json")
            self.assertEqual((result.returncode, complaints(result.stderr)), (0, b""))
            warning, = json.loads(result.stdout)["warnings"]
            self.assertRegex(warning, rf"^packed weights are not kept: {plain}/model.*\.packed: cannot write: Not a directory$")
            self.assertEqual(complaints(qvl(*command).stderr).decode(), f"qvl: warning: {warning}\n")
        for command in (["chat", *load], ["logits", *load, "--prompt", "Q", "--output", self.folder / "l.npy"]):
            self.assertEqual(complaints(qvl(*command).stderr).decode(), f"qvl: warning: {warning}\n")


if __name__ == "__main__":
    unittest.main()
