"""Any callable in a pipeline: called as it is, one at a time, in order, within memory, counted."""
import os
import sys
import threading
import types
import unittest
from unittest import mock

import numpy

import qvl
from qvl._durations import Durations

MODEL = os.path.join(os.environ["QVL_SOURCE_DIR"], "models", "shapes")


class Model:
    """What a model of somebody else looks like."""

    def __init__(self):
        self.together, self.most_together, self.calls = 0, 0, []

    def __call__(self, x, scale=1):
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        self.calls.append(threading.current_thread())
        result = x * scale
        self.together -= 1
        return result


def fails(x):
    raise KeyError(x)


class CallablesTest(unittest.TestCase):
    def pipeline(self, model, **fields):
        pipeline = qvl.OptimizedInferencePipeline(model, qvl.SystemOptimizationConfig(**fields))
        self.addCleanup(pipeline.cleanup)
        return pipeline

    def test_a_batch_is_a_list_of_requests(self):
        with qvl.OptimizedInferencePipeline(len) as pipeline:
            for wrong in ("Hi", {"prompt": "Hi"}, 5):
                with self.assertRaises(ValueError) as caught:
                    pipeline.run_batch_inference(wrong)
                self.assertEqual(str(caught.exception), f"batch: found {wrong!r}, expected a list of requests")

    def test_is_called_with_the_input_or_by_keyword(self):
        model = Model()
        pipeline = self.pipeline(model)
        self.assertEqual(pipeline.run_inference(3), 3)
        self.assertEqual(pipeline.run_inference({"x": 3, "scale": 2}), 6)
        self.assertEqual(pipeline.run_inference({"x": 3}, scale=4), 12)
        self.assertEqual(pipeline.run_inference(x=5), 5)
        numpy.testing.assert_array_equal(pipeline.run_inference(numpy.ones(3)), numpy.ones(3))
        self.assertNotIn(threading.current_thread(), model.calls)

    def test_a_batch_is_in_order_and_one_call_at_a_time(self):
        model = Model()
        results = self.pipeline(model, num_compute_threads=4).run_batch_inference(range(100))
        self.assertEqual((results, model.most_together), (list(range(100)), 1))

    def test_the_most_urgent_is_next_under_priority(self):
        begun, go, order = threading.Event(), threading.Event(), []

        def model(name):
            if name == "first":
                begun.set()
                go.wait()
            order.append(name)

        pipeline = self.pipeline(model, scheduling_algorithm="priority")
        streams = [pipeline.submit("first")]
        begun.wait()
        streams += [pipeline.submit(name, request_class=name) for name in ("background", "normal", "interactive")]
        go.set()
        for stream in streams:
            stream.result()
        self.assertEqual(order, ["first", "interactive", "normal", "background"])

    def test_what_it_raises_comes_out_of_the_result(self):
        pipeline = self.pipeline(fails)
        stream = pipeline.submit("x")
        with self.assertRaises(KeyError):
            stream.result()
        with self.assertRaises(KeyError) as caught:
            pipeline.run_batch_inference(["y", "z"])
        self.assertEqual(getattr(caught.exception, "__notes__", ["request 0 of the batch"]), ["request 0 of the batch"])
        metrics = pipeline.get_performance_metrics()
        self.assertEqual((metrics["total_inferences"], metrics["failed_inferences"]), (0, 3))

    def test_a_call_that_waits_can_be_cancelled_one_that_runs_is_finished(self):
        begun, go = threading.Event(), threading.Event()

        def model(x):
            begun.set()
            go.wait()
            return x

        pipeline = self.pipeline(model)
        running, waiting = pipeline.submit(1), pipeline.submit(2)
        begun.wait()
        with self.assertRaises(TimeoutError):
            running.result(timeout=0.01)
        running.cancel()
        waiting.cancel()
        go.set()
        self.assertEqual(running.result(), 1)
        with self.assertRaises(qvl.CancelledError) as caught:
            waiting.result()
        self.assertEqual(str(caught.exception), "request: it was cancelled before its turn")
        self.assertEqual(pipeline.run_inference(3), 3)
        self.assertEqual(pipeline.get_performance_metrics()["cancelled_inferences"], 1)

    def test_refuses_inputs_that_leave_no_memory(self):
        class Huge:
            nbytes = 1 << 60

        with self.assertRaises(qvl.LimitError) as caught:
            self.pipeline(Model()).run_inference({"x": [Huge()]})
        self.assertEqual(str(caught.exception), "request: its inputs have 1152921504606846976 bytes, and no room for as many "
                         "more is left below the limit")

    def test_metrics_have_the_documented_names(self):
        pipeline = self.pipeline(Model())
        self.assertEqual(pipeline.get_performance_metrics()["avg_inference_time"], 0)
        pipeline.run_batch_inference([1, 2, 3])
        metrics = pipeline.get_performance_metrics()
        self.assertEqual(metrics["total_inferences"], 3)
        self.assertLessEqual(metrics["min_inference_time"], metrics["avg_inference_time"])
        self.assertLessEqual(metrics["avg_inference_time"], metrics["max_inference_time"])
        self.assertGreater(metrics["throughput_ips"], 0)
        self.assertEqual((metrics["stages"]["queue"]["count"], metrics["stages"]["compute"]["count"]), (3, 3))
        report = metrics["system_optimization_report"]
        self.assertEqual(report["operation_count"], 3)
        self.assertEqual(report["resource_status"]["resource_usage"]["compute"]["held"], 0)
        self.assertEqual(report["resource_status"]["requests"], {"arrived": 0, "preparing": 0, "prepared": 0, "granted": 0})
        self.assertGreater(metrics["compute_time"], 0)
        self.assertEqual((metrics["avg_time_to_first_token"], metrics["tokens_per_second"], report["followed"]), (None,) * 3)

    def test_metrics_have_the_keys_of_a_checkpoint(self):
        def keys(metrics):
            report, stage = metrics["system_optimization_report"], next(iter(metrics["stages"].values()))
            parts = {"": metrics, "caches": metrics["caches"], "report": report, "stage": stage, "bucket": stage["histogram"][0]}
            parts |= {name: report[name] for name in ("system_summary", "hardware_info", "memory_efficiency",
                                                      "resource_status", "config")}
            parts |= {f"resource_status.{name}": part for name, part in report["resource_status"].items()
                      if isinstance(part, dict)}
            return {name: sorted(part) for name, part in parts.items()}

        pipeline = self.pipeline(Model())
        pipeline.run_inference(1)
        with qvl.OptimizedInferencePipeline(MODEL, cache_folder="") as checkpoint:
            checkpoint.run_inference("Hi", max_tokens=1)
            expected = keys(checkpoint.get_performance_metrics())
        self.assertEqual(keys(pipeline.get_performance_metrics()), expected)

    def test_tells_how_many_calls_wait_and_run(self):
        begun, go = threading.Event(), threading.Event()

        def model(_):
            begun.set()
            go.wait()

        pipeline = self.pipeline(model)
        streams = [pipeline.submit(number) for number in range(3)]
        begun.wait()
        report = pipeline.get_performance_metrics()["system_optimization_report"]
        self.assertEqual(report["resource_status"]["requests"], {"arrived": 0, "preparing": 0, "prepared": 2, "granted": 1})
        go.set()
        for stream in streams:
            stream.result()

    def test_names_what_is_wrong(self):
        pipeline = self.pipeline(Model())
        for call, message in [
            (lambda: pipeline.run_inference(1, scale=2), "scale: by keyword beside an input that is no mapping"),
            (lambda: pipeline.run_inference(1, request_class="urgent"),
             "request_class: found 'urgent', expected one of interactive, normal, background"),
            (lambda: pipeline.plan(1), "plan: a callable has none"),
            (lambda: next(iter(pipeline.submit(1))),
             "stream: a callable tells nothing before its end, wait for its result"),
            (lambda: qvl.OptimizedInferencePipeline(Model(), weights="q8"),
             "weights: an option of loading, and the model is loaded already"),
        ]:
            with self.assertRaises(ValueError) as caught:
                call()
            self.assertEqual(str(caught.exception), message)
        pipeline.cleanup()
        pipeline.cleanup()
        for call in (pipeline.run_inference, pipeline.plan, lambda _: pipeline._engine.submit(1, {})):
            with self.assertRaises(RuntimeError) as caught:
                call(1)
            self.assertEqual(str(caught.exception), "pipeline: it was cleaned up, and takes no more requests")


class DurationsTest(unittest.TestCase):
    def test_of_nothing_are_nothing(self):
        self.assertEqual(Durations().stage(), {"count": 0, "mean_ms": 0, "p50_ms": 0, "p90_ms": 0, "p99_ms": 0, "max_ms": 0,
                                               "histogram": []})

    def test_are_counted_in_sixteen_buckets_for_each_power_of_two(self):
        durations = Durations()
        for ns in (3, 3, 1025, 1087):
            durations.add(ns * 1e-9)
        self.assertEqual(durations.stage()["histogram"], [
            {"from_ms": 3e-6, "below_ms": 4e-6, "count": 2}, {"from_ms": 1024e-6, "below_ms": 1088e-6, "count": 2}])

    def test_have_percentiles_within_a_bucket(self):
        durations = Durations()
        for ms in range(1, 101):
            durations.add(ms / 1e3)
        stage = durations.stage()
        self.assertEqual((stage["count"], stage["max_ms"]), (100, 100))
        self.assertAlmostEqual(stage["mean_ms"], 50.5)
        for name, exact in (("p50_ms", 50), ("p90_ms", 90), ("p99_ms", 99)):
            self.assertLess(abs(stage[name] / exact - 1), 0.032)


class TorchThreadsTest(unittest.TestCase):
    """With a stand-in for torch: one number of threads for the process, or as torch over OpenMP one for each thread, which
    begins with what was set last."""

    def torch(self, each_thread):
        own, last = threading.local(), [8]

        def set_num_threads(number):
            own.number = last[0] = number

        def get_num_threads():
            if not each_thread:
                return last[0]
            if not hasattr(own, "number"):
                own.number = last[0]
            return own.number

        fake = types.SimpleNamespace(Tensor=type("Tensor", (), {}), get_num_threads=get_num_threads,
                                     set_num_threads=set_num_threads)
        patch = mock.patch.dict(sys.modules, {"torch": fake})
        patch.start()
        self.addCleanup(patch.stop)
        return fake

    def test_are_put_back_after_the_call_and_after_one_that_fails(self):
        torch = self.torch(each_thread=False)
        with qvl.OptimizedInferencePipeline(lambda _: torch.get_num_threads(),
                                            qvl.SystemOptimizationConfig(num_compute_threads=2)) as pipeline:
            self.assertEqual(pipeline.run_inference(1), 2)
            self.assertEqual(torch.get_num_threads(), 8)
        with qvl.OptimizedInferencePipeline(fails, qvl.SystemOptimizationConfig(num_compute_threads=2)) as pipeline:
            with self.assertRaises(KeyError):
                pipeline.run_inference("x")
        self.assertEqual(torch.get_num_threads(), 8)

    def test_are_not_raised(self):
        torch = self.torch(each_thread=False)
        torch.set_num_threads(1)
        with qvl.OptimizedInferencePipeline(lambda _: torch.get_num_threads(),
                                            qvl.SystemOptimizationConfig(num_compute_threads=2)) as pipeline:
            self.assertEqual(pipeline.run_inference(1), 1)
        self.assertEqual(torch.get_num_threads(), 1)

    def test_are_the_least_of_those_who_compute_at_the_same_time_and_put_back_by_the_last(self):
        for each_thread in (False, True):
            torch = self.torch(each_thread)
            begun, go = threading.Event(), threading.Event()

            def waits(_):
                begun.set()
                go.wait()
                return torch.get_num_threads()

            pipelines = [qvl.OptimizedInferencePipeline(model, qvl.SystemOptimizationConfig(num_compute_threads=threads))
                         for model, threads in ((waits, 3), (lambda _: torch.get_num_threads(), 2))]
            with self.subTest(each_thread), pipelines[0] as longer, pipelines[1] as shorter:
                running = longer.submit(1)
                begun.wait()
                self.assertEqual(shorter.run_inference(1), 2)
                go.set()
                self.assertEqual(running.result(), 3)
                self.assertEqual(shorter.run_inference(1), 2)
                seen = []
                after = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
                after.start()
                after.join()
                self.assertEqual((seen, torch.get_num_threads()), ([8], 8))


if __name__ == "__main__":
    unittest.main()
