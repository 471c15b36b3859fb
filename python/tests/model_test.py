"""Models and conversations: the small model that ships, against the command line's numbers; errors; threads; interrupts."""
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import numpy

import qvl

SOURCE = Path(os.environ["QVL_SOURCE_DIR"])
MODEL = SOURCE / "models" / "shapes"
PICTURE = SOURCE / "examples" / "white-square-black-square.png"
sys.path.append(str(SOURCE / "tests" / "cli"))
from text_gguf import write_text_gguf  # noqa: E402

ANSWER = "A white square and a black square above a yellow square and a yellow number 7 on a grey background."


class ModelTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = qvl.load_model(MODEL, cache_folder="")

    def test_answers_about_a_picture_and_keeps_the_conversation(self):
        model = qvl.load_model(MODEL, cache_folder="")  # has not seen the picture in another test
        conversation = qvl.Conversation(model)
        pieces, stages = [], []
        answer = conversation.ask("Describe this picture.", [PICTURE], on_text=pieces.append,
                                  on_progress=lambda stage, fraction: stages.append((stage, fraction)))
        self.assertEqual(answer.text, ANSWER)
        self.assertEqual(str(answer), ANSWER)
        self.assertEqual("".join(pieces), ANSWER)
        self.assertGreater(len(pieces), 5)
        self.assertEqual(answer.finish_reason, "stop")
        self.assertEqual((answer.usage.prompt_tokens, answer.usage.image_tokens), (38, 24))
        self.assertEqual(answer.usage.completion_tokens, len(answer.tokens))
        self.assertEqual(self.model.tokenizer.detokenize(answer.tokens), ANSWER)
        self.assertGreater(answer.timings.time_to_first_token_s, 0)
        self.assertLessEqual({"vision", "prefill"}, {stage for stage, _ in stages})
        self.assertTrue(all(0 <= fraction <= 1 for _, fraction in stages))

        again = conversation.ask("How many objects are there?")
        self.assertEqual(again.text, "Four.")
        self.assertGreater(again.usage.cached_tokens, 38)

    def test_a_saved_conversation_goes_on_in_another_model(self):
        conversation = qvl.Conversation(self.model)
        conversation.ask("Describe this picture.", [PICTURE])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "talk"
            conversation.save(path)
            resumed = qvl.load_model(MODEL, cache_folder="").resume(path)
            answer, expected = (each.ask("How many objects are there?") for each in (resumed, conversation))
            self.assertEqual((answer.text, answer.tokens), ("Four.", expected.tokens))
            self.assertGreater(answer.usage.cached_tokens, 38)  # all of the first prompt
            self.assertEqual(answer.timings.vision_s, 0)
            path.write_bytes(path.read_bytes()[:-1])
            with self.assertRaises(qvl.UsageError) as caught:
                self.model.resume(path)
            self.assertTrue(str(caught.exception).startswith(f"{path}: damaged: found "))
            with self.assertRaises(qvl.MachineError):
                conversation.save(Path(folder) / "none" / "talk")

    def test_obeys_options_of_generation(self):
        answer = qvl.Conversation(self.model).ask("Describe this picture.", [PICTURE], max_tokens=3, temperature=0)
        self.assertEqual((answer.text, answer.finish_reason), ("A white square", "length"))
        answer = qvl.Conversation(self.model).ask("Describe this picture.", [PICTURE], stop=[" and"])
        self.assertEqual((answer.text, answer.finish_reason), ("A white square", "stop"))

    def test_tells_what_is_wrong_with_an_argument(self):
        conversation = qvl.Conversation(self.model)
        for call, error, message in [
            (lambda: conversation.ask("x", max_tokens="many"), ValueError,
             "max_tokens: found 'many', expected an integer"),
            (lambda: conversation.ask("x", colour=1), TypeError,
             "colour: unknown option, expected one of max_tokens, temperature, top_k, top_p, repetition_penalty, "
             "presence_penalty, seed, stop, prefill_chunk"),
            (lambda: conversation.ask("x", "photo.jpg"), ValueError, "images: found 'photo.jpg', expected a list of paths"),
            (lambda: qvl.load_model(MODEL, weights="q3"), ValueError,
             "weights: found 'q3', expected one of auto, f32, bf16, q8, q4"),
            (lambda: qvl.load_model(MODEL, memory_limit="much"), ValueError,
             'memory_limit: found "much", expected bytes such as 1073741824, a size such as 1.5GiB, 2GB or 512MiB, or a '
             'share such as 60%'),
            (lambda: qvl.load_model(MODEL, memory_limit=-1), ValueError,
             "memory_limit: found -1, which is out of range, expected an integer or None"),
            (lambda: qvl.load_model(MODEL, disabled_passes="threads"), ValueError,
             "disabled_passes: found 'threads', expected a list of texts"),
            (lambda: qvl.plan(MODEL, measure="all"), ValueError, "measure: found 'all', expected one of stored, missing"),
            (lambda: qvl.plan(MODEL, trace=True), TypeError,
             "trace: unknown option, expected one of mmproj, threads, weights, vision_weights, kv, isa, cache_folder, config, "
             "memory_limit, disabled_passes"),
            (lambda: qvl.load_model(MODEL, threads=0), ValueError,
             "num_compute_threads: found 0, expected an integer from 1 to 1024"),
            (lambda: qvl.load_model(MODEL, isa="mmx"), ValueError,
             "isa: found mmx, expected one of scalar, avx2, avxvnni, avx512"),
            (lambda: self.model.logits([1, 768]), ValueError, "tokens: found 768, expected 0 to 767"),
            (lambda: self.model.tokenizer.tokenize("x", "loud"), ValueError,
             "control: found 'loud', expected one of spelled_out, parsed"),
        ]:
            with self.assertRaises(error) as caught:
                call()
            self.assertEqual(str(caught.exception), message)

    def test_errors_have_classes_of_their_own_and_a_builtin(self):
        with tempfile.TemporaryDirectory() as folder:
            bad = Path(folder) / "bad.png"
            bad.write_bytes(b"no picture")
            cases = [(qvl.ModelError, OSError, lambda: qvl.load_model(folder)),
                     (qvl.MediaError, OSError, lambda: qvl.Conversation(self.model).ask("x", [bad])),
                     (qvl.LimitError, MemoryError, lambda: self.model.logits([1] * 70000)),
                     (qvl.UsageError, ValueError, lambda: self.model.logits([])),
                     (qvl.MachineError, RuntimeError, lambda: self.model.write_trace("/nowhere/trace.json"))]
            for error, builtin, call in cases:
                with self.subTest(error.__name__):
                    with self.assertRaises(error) as caught:
                        call()
                    self.assertIsInstance(caught.exception, builtin)
                    self.assertIsInstance(caught.exception, qvl.Error)
                    self.assertNotIn("\n", str(caught.exception))
            with self.assertRaises(qvl.MediaError) as caught:
                self.model.pixels(bad)
            self.assertTrue(str(caught.exception).startswith(f"{bad}: "), caught.exception)
        self.assertEqual(str(pickle.loads(pickle.dumps(caught.exception))), str(caught.exception))

    def test_a_conversation_is_as_before_after_an_error(self):
        conversation = qvl.Conversation(self.model)
        conversation.ask("Describe this picture.", [PICTURE])
        with self.assertRaises(qvl.MediaError):
            conversation.ask("And this?", [SOURCE / "no such picture.png"])
        self.assertEqual(conversation.ask("How many objects are there?").text, "Four.")

    def test_logits_of_a_prompt_and_of_its_ids_are_the_same(self):
        ids = self.model.tokenizer.tokenize("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "parsed")
        of_ids = self.model.logits(ids)
        self.assertEqual((of_ids.shape, of_ids.dtype), ((len(ids), self.model.vocabulary), numpy.float32))
        numpy.testing.assert_array_equal(self.model.logits("Hi"), of_ids)
        numpy.testing.assert_array_equal(
            self.model.logits("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", form="raw", chunk=3), of_ids)

    def test_a_missing_vision_file_is_called_by_its_argument(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "text.gguf"
            write_text_gguf(MODEL, path)
            conversation = qvl.Conversation(qvl.load_model(path, cache_folder=""))
            with self.assertRaises(qvl.MediaError) as caught:
                conversation.ask("x", [PICTURE])
            self.assertEqual(str(caught.exception), f"{PICTURE}: the model was loaded without its vision file; give it with mmproj")

    def test_loading_and_planning_obey_a_memory_limit_and_passes_left_out(self):
        chosen = {name: choice["value"] for name, choice in qvl.plan(MODEL, kv="int16", cache_folder="")["choices"].items()}
        self.assertEqual(chosen["keys and values"], "16")
        plan = qvl.plan(MODEL, disabled_passes=["kv_16_bit", "vision_8_bit"], memory_limit="64MiB", cache_folder="")
        self.assertEqual((plan["choices"]["keys and values"]["value"], plan["choices"]["vision weights"]["value"]),
                         ("f32", "f32"))
        self.assertEqual(plan["memory_cap_bytes"], 64 << 20)
        self.assertLessEqual(plan["memory_bytes"], 64 << 20)
        with self.assertRaises(qvl.LimitError) as caught:
            qvl.load_model(MODEL, memory_limit=17 << 20)
        self.assertTrue(str(caught.exception).endswith(" are free of the limit of 17.00 MiB (memory_limit)"), caught.exception)
        with self.assertRaises(qvl.LimitError) as caught:
            qvl.plan(MODEL, memory_limit=16 << 20)
        self.assertTrue(str(caught.exception).endswith("), the cap is 16.0 MiB (memory_limit)"), caught.exception)
        for load in (qvl.load_model, qvl.plan):
            for least in (0, (16 << 20) - 1):
                with self.assertRaises(qvl.UsageError) as caught:
                    load(MODEL, memory_limit=least)
                self.assertEqual(str(caught.exception), f"memory_limit: found {least}, expected at least 16.0 MiB")
        with self.assertRaises(ValueError) as caught:
            qvl.load_model(MODEL, disabled_passes=["x"])
        self.assertTrue(str(caught.exception).startswith('disabled_passes: found "x", expected one of disk_feature_cache, '))
        model = qvl.load_model(MODEL, memory_limit="512MiB", disabled_passes=["feature_cache"], cache_folder="")
        with qvl.OptimizedInferencePipeline(model) as pipeline:
            for _ in range(2):
                answer = pipeline.run_inference("What is this?", images=[PICTURE], max_tokens=1)
            self.assertEqual([medium.features for medium in answer.media], ["computed"])
            report = pipeline.get_performance_metrics()["system_optimization_report"]
        self.assertEqual(report["memory_efficiency"]["cap_bytes"], 512 << 20)

    def test_planning_measures_what_is_missing_where_it_is_told_to(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertIn("assumed", qvl.plan(MODEL, cache_folder=folder)["machine"]["reads"])
            self.assertEqual(os.listdir(folder), [])
            self.assertIn("measured", qvl.plan(MODEL, cache_folder=folder, measure="missing")["machine"]["reads"])
            self.assertEqual(os.listdir(folder), ["machine.json"])
            self.assertIn("measured", qvl.plan(MODEL, cache_folder=folder)["machine"]["reads"])

    def test_tokenizes_text_and_control_tokens(self):
        tokenizer = qvl.load_tokenizer(MODEL)
        self.assertEqual(tokenizer.tokenize("Describe <|im_start|>"),
                         [452, 220, 27, 91, 72, 76, 62, 385, 327, 91, 29])
        self.assertEqual(tokenizer.tokenize("Describe <|im_start|>", control="parsed"), [452, 220, 743])
        self.assertEqual(tokenizer.detokenize([452, 220, 743]), "Describe <|im_start|>")

    def test_pixels_are_patches_with_their_grid(self):
        values, grid = self.model.pixels(PICTURE)
        self.assertEqual((values.shape, grid), ((96, 1536), (1, 8, 12)))

    def test_tells_of_itself(self):
        model = qvl.load_model(MODEL, threads=1, weights="f32", vision_weights="f32", kv="f32", isa="scalar",
                               cache_folder="", trace=True)
        self.assertEqual((model.threads, model.isa, model.from_cache, model.warnings), (1, "scalar", False, []))
        self.assertGreater(model.load_seconds, 0)
        model.logits("Hi")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.json"
            model.write_trace(path)
            self.assertIn("traceEvents", json.loads(path.read_text(encoding="utf-8")))

    def test_plans_without_loading(self):
        plan = qvl.plan(MODEL, config=qvl.SystemOptimizationConfig(optimization_level=0))
        self.assertEqual(plan["level"], 0)
        self.assertTrue(plan["choices"])

    def test_threads_share_a_model_and_others_run_meanwhile(self):
        answers = [None] * 4

        def ask(n):
            answers[n] = qvl.Conversation(self.model).ask("Describe this picture.", [PICTURE]).text

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, [ANSWER] * 4)

    def test_releases_the_lock_while_it_computes(self):
        reached, seen = threading.Event(), threading.Event()

        def other():
            reached.wait()
            seen.set()

        thread = threading.Thread(target=other)
        thread.start()

        def on_text(piece):
            reached.set()
            seen.wait()

        self.assertEqual(qvl.Conversation(self.model).ask("Describe this picture.", [PICTURE], on_text=on_text).text, ANSWER)
        thread.join()

    def test_what_a_listener_raises_ends_the_answer(self):
        class Enough(Exception):
            pass

        pieces = []

        def on_text(piece):
            pieces.append(piece)
            if len(pieces) == 3:
                raise Enough

        def enough(stage, fraction):
            raise Enough

        conversation = qvl.Conversation(self.model)
        with self.assertRaises(Enough):
            conversation.ask("Describe this picture.", [PICTURE], on_text=on_text)
        self.assertEqual(len(pieces), 3)
        with self.assertRaises(Enough):
            qvl.load_model(MODEL, cache_folder="", on_progress=enough)
        self.assertEqual(qvl.Conversation(self.model).ask("Describe this picture.", [PICTURE]).text, ANSWER)

    def test_a_listener_cannot_ask_the_model_that_calls_it(self):
        messages = []

        def on_text(piece):
            try:
                qvl.Conversation(self.model).ask("x")
            except qvl.UsageError as error:
                messages.append(str(error))

        qvl.Conversation(self.model).ask("Describe this picture.", [PICTURE], on_text=on_text, max_tokens=1)
        self.assertEqual(messages, ["model: a listener asked the model that is calling it"])

    def test_an_interrupt_ends_an_answer(self):
        program = f"""
import qvl
conversation = qvl.Conversation(qvl.load_model({str(MODEL)!r}, cache_folder=""))
try:
    print("asking", flush=True)
    while True:
        conversation = qvl.Conversation(qvl.load_model({str(MODEL)!r}, cache_folder=""))
        conversation.ask("Describe this picture.", [{str(PICTURE)!r}])
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
        process = subprocess.Popen([sys.executable, "-B", "-c", program], stdout=subprocess.PIPE, text=True)
        self.assertEqual(process.stdout.readline(), "asking\n")
        process.send_signal(signal.SIGINT)
        self.assertEqual((process.communicate()[0], process.returncode), ("interrupted\n", 0))

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_forked_child_leaves_its_parents_model_alone(self):
        program = f"""
import os, sys, warnings
import qvl
warnings.simplefilter("ignore")
model = qvl.load_model({str(MODEL)!r}, cache_folder="")
child = os.fork()
if child == 0:
    try:
        model.logits("Hi")
    except qvl.MachineError as error:
        print(error, flush=True)
    del model
    sys.exit(5)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
        done = subprocess.run([sys.executable, "-B", "-c", program], capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, "Model: made before this process was forked, make a new one here\n5\n")


if __name__ == "__main__":
    unittest.main()
