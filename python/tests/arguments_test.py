"""What public functions say of arguments of a wrong type: one line with the argument, what was found and what was expected."""
import ast
import inspect
import os
import threading
import unittest
from pathlib import Path
from typing import Any, Callable, Iterable, Literal, Sequence

import numpy
import qvl
from qvl import _arguments, _core, _signatures
from qvl._arguments import check, kind_of

SOURCE = Path(os.environ["QVL_SOURCE_DIR"])
MODEL = str(SOURCE / "models" / "shapes")
HALF = "\ud800"  # of a character, which has no form in UTF-8
HALVES = "without halves of characters (surrogates)"


class ArgumentsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = qvl.load_model(MODEL, cache_folder="")
        cls.pipeline = qvl.OptimizedInferencePipeline(cls.model)

    @classmethod
    def tearDownClass(cls):
        cls.pipeline.cleanup()

    def refuses(self, cases, error=ValueError):
        for call, message in cases:
            with self.subTest(message):
                with self.assertRaises(error) as caught:
                    call()
                self.assertEqual(str(caught.exception), message)

    def test_of_loading(self):
        config = "a SystemOptimizationConfig or None"
        self.refuses([
            (lambda: qvl.load_model(5), "path: found 5, expected a path"),
            (lambda: qvl.load_model(b"x"), "path: found b'x', expected a path"),
            (lambda: qvl.load_model("a\0b"), r"path: found 'a\x00b', expected a path"),
            (lambda: qvl.load_model(MODEL, config={}), f"config: found {{}}, expected {config}"),
            (lambda: qvl.load_model(MODEL, mmproj=5), "mmproj: found 5, expected a path or None"),
            (lambda: qvl.load_model(MODEL, threads="a"), "threads: found 'a', expected an integer or None"),
            (lambda: qvl.load_model(MODEL, weights=4), "weights: found 4, expected one of auto, f32, bf16, q8, q4"),
            (lambda: qvl.load_model(MODEL, isa=2), "isa: found 2, expected a text or None"),
            (lambda: qvl.load_model(MODEL, cache_folder=1), "cache_folder: found 1, expected a path or None"),
            (lambda: qvl.load_model(MODEL, memory_limit=1.5), "memory_limit: found 1.5, expected an integer or a text or None"),
            (lambda: qvl.load_model(MODEL, memory_limit=2 ** 70),
             f"memory_limit: found {2 ** 70}, which is out of range, expected an integer or None"),
            (lambda: qvl.load_model(MODEL, disabled_passes=5), "disabled_passes: found 5, expected a list of texts"),
            (lambda: qvl.load_model(MODEL, disabled_passes=[5]), "disabled_passes[0]: found 5, expected a text"),
            (lambda: qvl.load_model(MODEL, disabled_passes=iter([5])), "disabled_passes[0]: found 5, expected a text"),
            (lambda: qvl.load_model(MODEL, trace="yes"), "trace: found 'yes', expected True or False"),
            (lambda: qvl.load_model(MODEL, on_progress=5), "on_progress: found 5, expected a callable or None"),
            (lambda: qvl.load_tokenizer(5), "path: found 5, expected a path"),
            (lambda: qvl.plan(5), "path: found 5, expected a path"),
            (lambda: qvl.plan(MODEL, config=5), f"config: found 5, expected {config}"),
            (lambda: qvl.plan(MODEL, threads=None, kv=5), "kv: found 5, expected one of f32, int16, int8"),
            (lambda: qvl.from_transformers(5), "model: found int, expected a Qwen3VLForConditionalGeneration of transformers"),
        ])

    def test_of_a_model_and_a_conversation(self):
        talk, tokenizer = qvl.Conversation(self.model), self.model.tokenizer
        self.refuses([
            (lambda: self.model.pixels(5), "image: found 5, expected a path"),
            (lambda: self.model.logits(5), "prompt: found 5, expected a text or a list of integers"),
            (lambda: self.model.logits([1, "a"]), "prompt[1]: found 'a', expected an integer"),
            (lambda: self.model.logits(numpy.array([1.5])), f"prompt[0]: found {numpy.float64(1.5)!r}, expected an integer"),
            (lambda: self.model.logits([2 ** 40]), f"tokens: found [{2 ** 40}], which is out of range, expected a list of integers"),
            (lambda: self.model.logits("x", chunk="a"), "chunk: found 'a', expected an integer"),
            (lambda: self.model.logits("x", images=[5]), "images[0]: found 5, expected a path"),
            (lambda: self.model.logits("x", form=5), "form: found 5, expected one of chat, raw"),
            (lambda: self.model.logits(HALF), rf"prompt: found '\ud800', expected a text or a list of integers {HALVES}"),
            (lambda: self.model.resume(5), "path: found 5, expected a path"),
            (lambda: self.model.write_trace(5), "path: found 5, expected a path"),
            (lambda: qvl.Conversation(5), "model: found 5, expected a Model"),
            (lambda: qvl.Conversation(self.model, system=5), "system: found 5, expected a text"),
            (lambda: qvl.Conversation(self.model, tools="{}"), "tools: found '{}', expected a list of texts"),
            (lambda: talk.ask(5), "text: found 5, expected a text"),
            (lambda: talk.ask(HALF), rf"text: found '\ud800', expected a text {HALVES}"),
            (lambda: talk.ask("x", 5), "images: found 5, expected a list of paths"),
            (lambda: talk.ask("x", [], [5]), "videos[0]: found 5, expected a path"),
            (lambda: talk.ask("x", on_text=5), "on_text: found 5, expected a callable or None"),
            (lambda: talk.ask("x", max_image_tokens="a"), "max_image_tokens: found 'a', expected an integer or None"),
            (lambda: talk.ask("x", temperature="warm"), "temperature: found 'warm', expected a number or None"),
            (lambda: talk.ask("x", seed=-1), "seed: found -1, which is out of range, expected an integer or None"),
            (lambda: talk.ask("x", stop="a"), "stop: found 'a', expected a list of texts"),
            (lambda: talk.ask("x", stop=5), "stop: found 5, expected a list of texts"),
            (lambda: talk.ask("x", stop=[HALF]), rf"stop[0]: found '\ud800', expected a text {HALVES}"),
            (lambda: talk.tool_results("x"), "results: found 'x', expected a list of texts"),
            (lambda: talk.tool_results([5]), "results[0]: found 5, expected a text"),
            (lambda: talk.save(5), "path: found 5, expected a path"),
            (lambda: tokenizer.tokenize(5), "text: found 5, expected a text"),
            (lambda: tokenizer.tokenize(HALF), rf"text: found '\ud800', expected a text {HALVES}"),
            (lambda: tokenizer.detokenize("a"), "tokens: found 'a', expected a list of integers"),
            (lambda: tokenizer.detokenize([2 ** 40]), f"tokens: found [{2 ** 40}], which is out of range, expected a list of integers"),
        ])
        self.assertEqual(tokenizer.detokenize(tokenizer.tokenize("heart")), "heart")

    def test_of_a_pipeline(self):
        pipeline = self.pipeline
        for call in (pipeline.submit, pipeline.run_inference, pipeline.plan):
            self.refuses([
                (lambda: call(5), "inputs: found int, expected a text or a mapping of fields"),
                (lambda: call(HALF), rf"prompt: found '\ud800', expected a text {HALVES}"),
                (lambda: call("x", system=HALF), rf"system: found '\ud800', expected a text {HALVES}"),
                (lambda: call("x", images=5), "images: found 5, expected a list"),
                (lambda: call("x", images=[HALF]), rf"images[0]: found '\ud800', expected a path {HALVES}"),
                (lambda: call("x", videos=[5]), "videos[0]: found 5, expected a path"),
                (lambda: call("x", client="me"), "client: found 'me', expected an integer"),
                (lambda: call("x", deadline_ms="soon"), "deadline_ms: found 'soon', expected an integer or None"),
                (lambda: call("x", max_tokens=2 ** 70), f"max_tokens: found {2 ** 70}, which is out of range, expected an integer"),
            ])
        self.refuses([
            (lambda: qvl.OptimizedInferencePipeline(self.model, 5), "config: found 5, expected a SystemOptimizationConfig or None"),
        ])
        with qvl.OptimizedInferencePipeline(lambda **_: None) as called:
            self.refuses([(lambda: called.submit({"x": 1}, request_class=[]),
                           "request_class: found [], expected one of interactive, normal, background")])

    def test_of_waiting_for_a_result(self):
        stream = self.pipeline.submit("x", max_tokens=1)
        text = str(stream.result())
        with qvl.OptimizedInferencePipeline(lambda x: x) as called:
            for waited, expected in ((stream, text), (called.submit(text), text)):
                for endless in (None, float("inf"), 1e300, numpy.float64(1e20), threading.TIMEOUT_MAX * 2, 10 ** 400, 2 ** 63):
                    self.assertEqual(str(waited.result(endless)), expected)
                seconds = "seconds of 0 or more, or None"
                self.refuses([
                    (lambda: waited.result("a"), "timeout: found 'a', expected a number or None"),
                    (lambda: waited.result(numpy.zeros(2)), "timeout: found array([0., 0.]), expected a number or None"),
                    (lambda: waited.result(float("nan")), f"timeout: found nan, expected {seconds}"),
                    (lambda: waited.result(-1), f"timeout: found -1, expected {seconds}"),
                    (lambda: waited.result(-0.5), f"timeout: found -0.5, expected {seconds}"),
                    (lambda: waited.result(float("-inf")), f"timeout: found -inf, expected {seconds}"),
                    (lambda: waited.result(-10 ** 70), f"timeout: found -1{'0' * 58}..., expected {seconds}"),
                ])

    def test_waiting_without_end_is_of_a_result_that_comes_later_too(self):
        release = threading.Event()
        with qvl.OptimizedInferencePipeline(lambda x: release.wait() and x) as called:
            stream = called.submit(5)
            with self.assertRaises(TimeoutError):
                stream.result(0)
            results = []
            waiting = threading.Thread(target=lambda: results.append(stream.result(float("inf"))))
            waiting.start()
            release.set()
            waiting.join()
            self.assertEqual(results, [5])

    def test_of_components(self):
        memory, scheduler = qvl.MemoryManager(), qvl.ResourceScheduler()
        kinds = "one of compute, memory, io, gpu_memory"
        self.refuses([
            (lambda: memory.allocate_tensor("x"), "shape: found 'x', expected an integer or a list of integers"),
            (lambda: memory.is_memory_available("a"), "bytes: found 'a', expected an integer"),
            (lambda: memory.is_memory_available(1.5), "bytes: found 1.5, expected an integer"),
            (lambda: qvl.MemoryManager(5), "config: found 5, expected a SystemOptimizationConfig or None"),
            (lambda: qvl.ThreadManager({}), "config: found {}, expected a SystemOptimizationConfig or None"),
            (lambda: qvl.SystemProfiler("x"), "config: found 'x', expected a SystemOptimizationConfig or None"),
            (lambda: qvl.SystemOptimizer(5), "config: found 5, expected a SystemOptimizationConfig or None"),
            (lambda: qvl.ResourceScheduler(None, 5), "capacities: found 5, expected a dict"),
            (lambda: qvl.ResourceScheduler(None, {5: 1}), 'capacities: found "5", expected compute, memory, io or gpu_memory'),
            (lambda: qvl.ResourceScheduler(None, {"io": "a"}), "capacities: io: found 'a', expected an integer from 0 to 2^64 - 1"),
            (lambda: scheduler.request_resources("memory", "a"), "amount: found 'a', expected an integer"),
            (lambda: scheduler.request_resources(5, 1), f"kind: found 5, expected {kinds}"),
            (lambda: scheduler.request_resources("memory", 1, "high"), "priority: found 'high', expected an integer"),
            (lambda: scheduler.request_resources("memory", 1, 2 ** 40),
             f"priority: found {2 ** 40}, expected 0 to 9"),
            (lambda: scheduler.release_resources("memory", None), "amount: found None, expected an integer"),
            (lambda: scheduler.cancel_request("a"), "ticket: found 'a', expected an integer"),
            (lambda: scheduler.cancel_request(-1), "ticket: found -1, which is out of range, expected an integer"),
        ])
        self.assertEqual(scheduler.get_resource_status()["queue_sizes"]["memory"], 0)

    def test_of_a_configuration(self):
        config = qvl.SystemOptimizationConfig
        policies = "one of performance, balanced, power_save"
        self.refuses([
            (lambda: config(num_compute_threads="a"), "num_compute_threads: found 'a', expected an integer from 1 to 1024"),
            (lambda: config(scheduler_policy=HALF), rf"scheduler_policy: found '\ud800', expected {policies}"),
            (lambda: config(cpu_affinity_mask=HALF), r"cpu_affinity_mask: found '\ud800', expected a mask of at least one processor, "
             "like 0xff, of at most 8192 bits, or none"),
            (lambda: config(scheduler_policy="é" * 100), f"scheduler_policy: found '{'é' * 59}..., expected {policies}"),
            (lambda: config().replace(optimization_level=numpy.zeros((2, 2))),
             "optimization_level: found array([[0., 0.], [0., 0.]]), expected an integer from 0 to 3"),
            (lambda: config.from_dict(5), "values: found 5, expected a dict"),
            (lambda: config.from_json(5), "text: found 5, expected a text"),
            (lambda: config.from_json(HALF), rf"text: found '\ud800', expected a text {HALVES}"),
            (lambda: config.from_file(5), "path: found 5, expected a path"),
        ])
        with self.assertRaisesRegex(ValueError, r"\A'\\ud800': unknown field, expected one of "):
            config.from_dict({HALF: 1})

    def test_too_many_and_unknown_arguments_are_one_line(self):
        self.refuses([
            (lambda: qvl.SystemOptimizationConfig(1), "SystemOptimizationConfig: found 1 arguments without a name, expected none"),
            (lambda: qvl.SystemProfiler(None, 1), "SystemProfiler: found 2 arguments without a name, expected config"),
            (lambda: qvl.SystemProfiler(configuration=None), "SystemProfiler: found argument 'configuration', expected config"),
            (lambda: qvl.ResourceScheduler(None, config=None), "ResourceScheduler: found config twice"),
            (lambda: qvl.EnergyMeter(1), "EnergyMeter: found 1 arguments without a name, expected none"),
        ], TypeError)
        for call in (lambda: qvl.hardware_info(5), lambda: qvl.SystemOptimizationConfig().to_dict(5), lambda: qvl.EnergyMeter().joules(5),
                     lambda: qvl.ResourceScheduler().request_resources("memory"), lambda: qvl.load_model()):
            with self.assertRaises(TypeError) as caught:
                call()
            self.assertNotIn("\n", str(caught.exception))

    def test_methods_of_the_module_have_the_arguments_of_the_stub(self):
        stub = ast.parse((SOURCE / "python" / "qvl" / "_core.pyi").read_text(encoding="utf-8"))
        for node in stub.body:
            if not isinstance(node, ast.ClassDef) or getattr(qvl, node.name, None) is not getattr(_core, node.name):
                continue
            methods = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef) and not each.name.startswith("__")
                       and not any(isinstance(mark, (ast.Attribute, ast.Name)) and ast.unparse(mark) not in ("staticmethod",)
                                   for mark in each.decorator_list)}
            listed = getattr(_signatures, node.name, None)
            with self.subTest(node.name):
                self.assertEqual(set(methods), {name for name in vars(listed) if not name.startswith("__")} if listed else set())
            for name, method in methods.items():
                with self.subTest(f"{node.name}.{name}"):
                    signature = inspect.signature(getattr(getattr(qvl, node.name), name))
                    arguments = method.args
                    expected = [each.arg for each in arguments.args + ([arguments.kwarg] if arguments.kwarg else [])]
                    self.assertEqual(list(signature.parameters), expected)


class KindsTest(unittest.TestCase):
    def test_what_fits_an_annotation(self):
        for annotation, fitting, others in (
                (int, [0, numpy.int64(3)], [True, 1.0, "1", None]), (float, [1, 1.5, numpy.float32(1)], [False, "1", None]),
                (bool, [True], [1, None]), (str, ["", "é"], [b"", HALF, 5]), (str | os.PathLike[str], ["a", Path("a")], [b"a", "\0", 5]),
                (Literal["a", "b"], ["a"], ["c", 5, []]), (Sequence[str], [[], ("a",), iter("ab")], ["a", {}, 5]),
                (Callable[[str], object] | None, [print, None], [5]), (Iterable[str] | int, [[], 5], ["a", None]),
                (dict[str, Any], [{}], [[], None]), (Path, [Path()], ["a"])):
            for value in fitting:
                check("x", value, kind_of(annotation))
            for value in others:
                with self.subTest(annotation=annotation, value=value), self.assertRaises(qvl.UsageError):
                    check("x", value, kind_of(annotation))
        self.assertIsNone(kind_of(Any))

    def test_values_are_shown_on_one_line_and_not_endless(self):
        self.assertEqual(_arguments.shown("a\nb"), r"'a\nb'")
        self.assertEqual(_arguments.shown(numpy.zeros((2, 2))), "array([[0., 0.], [0., 0.]])")
        self.assertEqual(_arguments.shown("x" * 70), "'" + "x" * 59 + "...")

    def test_names_stay(self):
        self.assertEqual(qvl.load_model.__name__, "load_model")
        self.assertEqual(qvl.ResourceScheduler.request_resources.__qualname__, "ResourceScheduler.request_resources")


if __name__ == "__main__":
    unittest.main()
