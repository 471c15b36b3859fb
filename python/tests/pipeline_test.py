"""The pipeline over the small model that ships: the answers of single conversations, streams, errors, metrics, interrupts."""
import json
import os
import signal
import subprocess
import sys
import threading
import unittest
from pathlib import Path

import numpy

import qvl

SOURCE = Path(os.environ["QVL_SOURCE_DIR"])
MODEL = SOURCE / "models" / "shapes"
HEART, CROSS = SOURCE / "examples" / "blue-heart.png", SOURCE / "examples" / "white-cross.webp"
QUESTION = "Describe this picture."
HEART_ANSWER, CROSS_ANSWER = "A blue heart on a black background.", "A white cross on a black background."
REPORT_KEYS = ["system_summary", "hardware_info", "memory_efficiency", "resource_status", "operation_count", "uptime",
               "config", "followed"]


class PipelineTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = qvl.load_model(MODEL, cache_folder="")

    def setUp(self):
        self.pipeline = qvl.OptimizedInferencePipeline(self.model)
        self.addCleanup(self.pipeline.cleanup)

    def test_answers_as_a_conversation_does(self):
        alone = qvl.Conversation(self.model).ask(QUESTION, [HEART])
        answer = self.pipeline.run_inference(prompt=QUESTION, images=[HEART])
        self.assertEqual((answer.text, answer.tokens, answer.finish_reason), (HEART_ANSWER, alone.tokens, "stop"))
        self.assertEqual(answer.usage.image_tokens, alone.usage.image_tokens)
        self.assertEqual(str(self.pipeline.run_inference({"prompt": QUESTION, "images": [str(CROSS)]})), CROSS_ANSWER)
        self.assertEqual(str(self.pipeline.run_inference(QUESTION, images=[CROSS], max_tokens=2)), "A white")

    def test_loads_a_path_with_the_options_of_loading(self):
        with qvl.apply_system_level_optimizations(MODEL, qvl.SystemOptimizationConfig(num_compute_threads=1),
                                                  cache_folder="", weights="f32") as pipeline:
            self.assertEqual(pipeline.config.num_compute_threads, 1)
            self.assertEqual(str(pipeline.run_inference(QUESTION, images=[HEART])), HEART_ANSWER)

    def test_a_batch_has_its_answers_in_order(self):
        batch = [{"prompt": QUESTION, "images": [path]} for path in (HEART, CROSS) * 40]  # more than are under way at once
        answers = self.pipeline.run_batch_inference(batch)
        self.assertEqual([str(answer) for answer in answers], [HEART_ANSWER, CROSS_ANSWER] * 40)
        self.assertEqual(self.pipeline.run_batch_inference([]), [])

    def test_one_failure_of_a_batch_is_raised_after_all_have_ended(self):
        missing = SOURCE / "no such picture.png"
        with self.assertRaises(qvl.MediaError) as caught:
            self.pipeline.run_batch_inference([{"prompt": QUESTION, "images": [HEART]}, {"prompt": "x", "images": [missing]},
                                               {"prompt": QUESTION, "images": [CROSS]}])
        self.assertEqual(str(caught.exception), f"request 1: {missing}: cannot open: No such file or directory")
        metrics = self.pipeline.get_performance_metrics()
        self.assertEqual((metrics["total_inferences"], metrics["failed_inferences"]), (2, 1))

    def test_a_wrong_field_of_a_batch_is_raised_with_the_place_of_its_request(self):
        for wrong, message in (({"prompt": "x", "max_tokens": 0}, "max_tokens: found 0, expected 1 to 16777216"),
                               ({"promt": "x"}, "promt: unknown field, expected one of prompt, images, "),
                               (5, "inputs: found int, expected a text or a mapping of fields"),
                               ({"input_ids": [[1]], "max_new_tokens": 0}, "max_new_tokens: found 0, expected 1 to 16777216")):
            with self.subTest(message), self.assertRaises(qvl.UsageError) as caught:
                self.pipeline.run_batch_inference(iter([*["x"] * 70, wrong]))
            self.assertTrue(str(caught.exception).startswith(f"request 70: {message}"), caught.exception)
            self.assertNotIn("\n", str(caught.exception))

    def test_a_stream_tells_the_answer_piece_by_piece(self):
        stream = self.pipeline.submit(QUESTION, images=[HEART])
        events = list(stream)
        self.assertEqual(events[0].kind, "admitted")
        self.assertEqual((events[-1].kind, events[-1].text), ("finished", ""))
        self.assertEqual("".join(event.text for event in events), HEART_ANSWER)
        self.assertEqual(max(event.tokens for event in events), len(stream.result().tokens))
        self.assertTrue(stream.done())
        self.assertEqual(list(stream), [])
        self.assertNotEqual(stream.id, self.pipeline.submit("x", max_tokens=1).id)

    def test_a_cancelled_request_is_over_with_what_it_has(self):
        stream = self.pipeline.submit("x", images=[HEART], max_tokens=60000, stop=[])
        stream.cancel()
        answer = stream.result()
        self.assertEqual(answer.finish_reason, "cancelled")
        self.assertEqual(self.pipeline.get_performance_metrics()["cancelled_inferences"], 1)

    def test_a_deadline_ends_a_request_with_what_it_has(self):
        whole = self.pipeline.run_inference(QUESTION, images=[HEART]).tokens
        answer = self.pipeline.run_inference(QUESTION, images=[HEART], deadline_ms=1)
        self.assertIn(answer.finish_reason, ("deadline", "stop"))
        self.assertEqual(answer.tokens, whole[:len(answer.tokens)])
        if answer.finish_reason == "stop":
            self.assertEqual(answer.tokens, whole)
        overdue = int(answer.finish_reason == "deadline")
        self.assertEqual(self.pipeline.get_performance_metrics()["overdue_inferences"], overdue)

    def test_a_picture_takes_no_more_tokens_than_it_may(self):
        answer = self.pipeline.run_inference(QUESTION, images=[HEART], max_image_tokens=20)
        self.assertEqual(answer.usage.image_tokens, 15)  # 128 x 224 pixels become 96 x 160
        talk = qvl.Conversation(self.model).ask(QUESTION, [HEART], max_image_tokens=20)
        self.assertEqual((talk.usage.image_tokens, talk.tokens), (15, answer.tokens))
        with self.assertRaises(qvl.UsageError) as caught:
            self.pipeline.run_inference(QUESTION, images=[HEART], max_image_tokens=15)
        self.assertEqual(str(caught.exception), f"{HEART}: max_image_tokens: found 15, expected 16 or more (min_pixels of "
                                                "the checkpoint is 16384)")
        with self.assertRaises(qvl.UsageError) as caught:
            self.pipeline.plan(QUESTION, images=[HEART.read_bytes()], max_image_tokens=15)
        self.assertTrue(str(caught.exception).startswith("images[0]: max_image_tokens: found 15, "), caught.exception)

    def test_a_plan_tells_what_a_request_then_takes(self):
        plan = self.pipeline.plan(QUESTION, images=[HEART], max_tokens=7)
        self.assertEqual(plan["media"], [{
            "path": str(HEART), "kind": "image", "size": {"width": 128, "height": 224}, "resized": {"width": 128, "height": 224},
            "grid": {"t": 1, "h": 14, "w": 8}, "tokens": 28, "kept": plan["media"][0]["kept"]}])
        usage = self.pipeline.run_inference(QUESTION, images=[HEART], max_tokens=7).usage
        self.assertEqual((plan["prompt_tokens"], plan["image_tokens"], plan["answer_tokens"]),
                         (usage.prompt_tokens, usage.image_tokens, 7))
        self.assertEqual(self.pipeline.plan(QUESTION, images=[HEART.read_bytes()])["media"][0]["path"], "images[0]")
        self.assertEqual(plan["memory_bytes"], sum(plan["memory"].values()))
        self.assertIs(plan["fits"], True)
        self.assertEqual(list(plan["seconds"]), ["prepare", "encode", "prefill", "decode", "first_token"])
        self.assertEqual(self.pipeline.get_performance_metrics()["total_inferences"], 1)

    def test_a_plan_refuses_what_the_request_would_be_refused_for(self):
        wrong = [(qvl.LimitError, dict(prompt="word " * 5000)), (qvl.MediaError, dict(prompt="x", images=[b"no picture"])),
                 (qvl.UsageError, dict(prompt=""))]
        for kind, fields in wrong:
            messages = []
            for call in (self.pipeline.plan, self.pipeline.run_inference):
                with self.subTest(kind), self.assertRaises(kind) as caught:
                    call(fields)
                messages.append(str(caught.exception))
            self.assertEqual(messages[0], messages[1])
        with self.assertRaises(qvl.UsageError) as caught:
            self.pipeline.plan(input_ids=numpy.zeros((1, 4), numpy.int64))
        self.assertEqual(str(caught.exception), "input_ids: found tensors, expected a text, pictures or videos to plan for")

    def test_waiting_for_a_result_has_an_end(self):
        hold = threading.Event()
        conversation = threading.Thread(
            target=lambda: qvl.Conversation(self.model).ask(QUESTION, [HEART], on_text=lambda text: hold.wait()))
        conversation.start()
        stream = None
        try:
            while not hold.is_set():  # the conversation keeps the model until it is let go
                stream = self.pipeline.submit(QUESTION, images=[HEART])
                try:
                    stream.result(timeout=0.05)
                except TimeoutError as error:
                    self.assertEqual(str(error), f"request {stream.id}: no result within 0.05 s")
                    self.assertFalse(stream.done())
                    hold.set()
        finally:
            hold.set()
            conversation.join()
        self.assertEqual(str(stream.result()), HEART_ANSWER)

    def test_pictures_need_no_files(self):
        pixels = numpy.zeros((64, 96, 3), numpy.uint8)
        pixels[:, :, 2] = numpy.arange(96)
        from_bytes = self.pipeline.submit(QUESTION, images=[HEART.read_bytes()])
        from_array = self.pipeline.submit(QUESTION, images=[pixels])
        broken = self.pipeline.submit(QUESTION, images=[HEART, b"no picture"])
        self.assertEqual(str(from_bytes.result()), HEART_ANSWER)
        with self.assertRaises(qvl.MediaError) as caught:
            broken.result()
        self.assertTrue(str(caught.exception).startswith("images[1]: "), caught.exception)
        self.assertEqual(from_array.result().usage.image_tokens, 20)  # enlarged to 160 x 128, a token for 32 x 32

    def test_names_what_is_wrong_with_a_request(self):
        wrong = [
            (dict(colour=1), "colour: unknown field, expected one of prompt, images, videos, system, video_prompt, "
             "request_class, client, max_image_tokens, deadline_ms, max_tokens, temperature, top_k, top_p, "
             "repetition_penalty, presence_penalty, seed, stop, prefill_chunk"),
            (dict(prompt=3), "prompt: found 3, expected a text"),
            (dict(prompt="x", client=-1), "client: found -1, which is out of range, expected an integer"),
            (dict(prompt="x", max_tokens=0), "max_tokens: found 0, expected 1 to 16777216"),
            (dict(prompt="x", max_image_tokens=0), "max_image_tokens: found 0, expected 1 to 16777216"),
            (dict(prompt="x", max_image_tokens="few"), "max_image_tokens: found 'few', expected an integer or None"),
            (dict(prompt="x", deadline_ms=-5), "deadline_ms: found -5, expected 1 to 2147483647"),
            (dict(prompt="x", request_class="urgent"),
             "request_class: found 'urgent', expected one of interactive, normal, background"),
            (dict(prompt="x", images="a.png"), "images: found one picture, expected a list of them"),
            (dict(prompt="x", videos="a.mp4"), "videos: found 'a.mp4', expected a list of paths"),
            (dict(prompt="x", images=[3]), "images[0]: found int, expected a path, the bytes of a file, a picture of PIL or "
             "an array of NumPy"),
            (dict(prompt="x", images=[numpy.zeros((4, 4, 1), numpy.uint8)]),
             "images[0]: found an array of uint8 [4, 4, 1], expected uint8 [height, width, 3 or 4]"),
            ({}, "prompt: it is empty, expected a text, a picture or a video"),
        ]
        for fields, message in wrong:
            with self.subTest(message), self.assertRaises(ValueError) as caught:
                self.pipeline.submit(fields)
            self.assertEqual(str(caught.exception), message)
        with self.assertRaises(ValueError) as caught:
            self.pipeline.submit("x", prompt="y")
        self.assertEqual(str(caught.exception), "prompt: given twice, among the inputs and by keyword")
        with self.assertRaises(ValueError) as caught:
            self.pipeline.submit(3)
        self.assertEqual(str(caught.exception), "inputs: found int, expected a text or a mapping of fields")

    def test_names_what_is_wrong_with_a_model(self):
        with self.assertRaises(ValueError) as caught:
            qvl.OptimizedInferencePipeline(3)
        self.assertEqual(str(caught.exception), "model: found int, expected a path, a qvl.Model, an object of "
                         "transformers or a callable")
        with self.assertRaises(ValueError) as caught:
            qvl.OptimizedInferencePipeline(self.model, weights="q8")
        self.assertEqual(str(caught.exception), "weights: an option of loading, and the model is loaded already")

    def test_an_answer_says_where_features_came_from(self):
        model = qvl.load_model(MODEL, cache_folder="")
        with qvl.OptimizedInferencePipeline(model) as pipeline:
            first = pipeline.run_inference(QUESTION, images=[HEART, HEART.read_bytes()])
            second = pipeline.run_inference(QUESTION, images=[CROSS, HEART])
        self.assertEqual([(medium.path, medium.features) for medium in first.media],
                         [(str(HEART), "computed"), ("images[1]", "memory")])
        self.assertEqual([medium.features for medium in second.media], ["computed", "memory"])
        self.assertEqual(repr(first.media[1]), "MediumReport(path='images[1]', features='memory')")

    def test_metrics_have_the_documented_names(self):
        self.assertEqual(self.pipeline.get_performance_metrics()["total_inferences"], 0)
        self.pipeline.run_inference(QUESTION, images=[HEART])
        metrics = self.pipeline.get_performance_metrics()
        self.assertEqual(list(metrics), [
            "avg_inference_time", "min_inference_time", "max_inference_time", "total_inferences", "cancelled_inferences",
            "overdue_inferences", "failed_inferences", "throughput_ips", "avg_time_to_first_token", "tokens_per_second",
            "prompt_tokens", "cached_tokens", "guessed_tokens", "accepted_tokens", "compute_time", "preparation_wait_time",
            "avg_memory_percent", "avg_gpu_memory_allocated_mb", "energy_j", "stages", "caches", "system_optimization_report"])
        self.assertEqual(metrics["energy_j"] is None, qvl.EnergyMeter().joules() is None)
        self.assertEqual(metrics["total_inferences"], 1)
        self.assertGreater(metrics["avg_inference_time"], 0)
        self.assertEqual(metrics["avg_inference_time"], metrics["max_inference_time"])
        report = metrics["system_optimization_report"]
        self.assertEqual(sorted(report), sorted(REPORT_KEYS))
        self.assertEqual(report["operation_count"], 1)
        self.assertEqual(report["config"], self.pipeline.config.to_dict())
        self.assertEqual(report["hardware_info"]["cpu_count"], qvl.hardware_info()["cpu_count"])
        prefill = metrics["stages"]["prefill"]
        self.assertGreater(prefill["count"], 0)
        self.assertEqual(sum(bucket["count"] for bucket in prefill["histogram"]), prefill["count"])
        json.dumps(metrics)

    def test_takes_nothing_after_cleanup(self):
        self.pipeline.run_inference("x", max_tokens=1)
        self.pipeline.cleanup()
        self.pipeline.cleanup()
        for name, call in (
                ("submit", lambda: self.pipeline.submit("x")), ("run_inference", lambda: self.pipeline.run_inference("x")),
                ("run_batch_inference", lambda: self.pipeline.run_batch_inference([])), ("plan", lambda: self.pipeline.plan("x")),
                ("with", self.pipeline.__enter__), ("inside", lambda: self.pipeline._engine.submit("x", {}))):
            with self.subTest(name), self.assertRaises(RuntimeError) as caught:
                call()
            self.assertIsInstance(caught.exception, qvl.MachineError)
            self.assertEqual(str(caught.exception), "pipeline: it was cleaned up, and takes no more requests")
        self.assertEqual(self.pipeline.get_performance_metrics()["total_inferences"], 1)

    def test_a_listener_cannot_wait_for_the_model_that_calls_it(self):
        messages = []

        def on_text(text):
            try:
                self.pipeline.run_inference("x")
            except qvl.UsageError as error:
                messages.append(str(error))

        qvl.Conversation(self.model).ask(QUESTION, [HEART], on_text=on_text, max_tokens=1)
        self.assertEqual(messages, ["pipeline: a listener waited for the model that is calling it"])

    def test_an_interrupt_cancels_what_was_waited_for(self):
        program = f"""
import qvl
pipeline = qvl.OptimizedInferencePipeline({str(MODEL)!r}, cache_folder="")
try:
    print("asking", flush=True)
    while True:
        pipeline.run_batch_inference([{{"prompt": "Describe this picture.", "images": [{str(HEART)!r}]}}] * 100)
except KeyboardInterrupt:
    pipeline.cleanup()
    print("interrupted", flush=True)
"""
        process = subprocess.Popen([sys.executable, "-B", "-c", program], stdout=subprocess.PIPE, text=True)
        self.assertEqual(process.stdout.readline(), "asking\n")
        process.send_signal(signal.SIGINT)
        self.assertEqual((process.communicate()[0], process.returncode), ("interrupted\n", 0))

    def test_the_interpreter_may_end_while_requests_run(self):
        program = f"""
import qvl
pipeline = qvl.OptimizedInferencePipeline({str(MODEL)!r}, cache_folder="")
pipeline.itself = pipeline
streams = [pipeline.submit("Describe this picture.", images=[{str(HEART)!r}]) for _ in range(20)]
"""
        done = subprocess.run([sys.executable, "-B", "-c", program], capture_output=True, text=True)
        self.assertEqual((done.stderr, done.returncode), ("", 0))

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_forked_child_leaves_its_parents_pipeline_alone(self):
        program = f"""
import os, sys, warnings
import qvl
warnings.simplefilter("ignore")
pipeline = qvl.OptimizedInferencePipeline({str(MODEL)!r}, cache_folder="")
stream = pipeline.submit("x", max_tokens=1)
stream.result()
child = os.fork()
if child == 0:
    for call in (stream.result, pipeline.get_performance_metrics):
        try:
            call()
        except qvl.MachineError as error:
            print(error, flush=True)
    del pipeline, stream
    sys.exit(5)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
        done = subprocess.run([sys.executable, "-B", "-c", program], capture_output=True, text=True)
        self.assertEqual((done.stdout, done.stderr), (
            "Model: made before this process was forked, make a new one here\n"
            "OptimizedInferencePipeline: made before this process was forked, make a new one here\n5\n", ""))


if __name__ == "__main__":
    unittest.main()
