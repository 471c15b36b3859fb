"""Any callable in a pipeline: called as it is, one at a time, in order, within memory, counted."""
import threading
import unittest

import numpy

import qvl


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
        with self.assertRaises(KeyError):
            pipeline.run_batch_inference(["y", "z"])
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
        self.assertEqual(sorted(report), ["config", "hardware_info", "memory_efficiency", "operation_count", "resource_status",
                                          "system_summary", "uptime"])

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
        with self.assertRaises(ValueError) as caught:
            pipeline.run_inference(1)
        self.assertEqual(str(caught.exception), "pipeline: it was cleaned up, and takes no more requests")


if __name__ == "__main__":
    unittest.main()
