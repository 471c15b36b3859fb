"""SystemOptimizer: the components together."""
import os
import threading
import unittest

import numpy

import qvl

SOURCE = os.environ["QVL_SOURCE_DIR"]
CONFIG = qvl.SystemOptimizationConfig(num_compute_threads=1, profile_interval=0.05)


class SystemOptimizerTest(unittest.TestCase):
    def test_runs_callables_on_its_pools_and_counts_them(self):
        with qvl.SystemOptimizer(CONFIG) as optimizer:
            self.assertEqual(optimizer.preprocess_input_async(str.upper, "a").result(), "A")
            self.assertEqual(optimizer.execute_compute_async(sorted, [2, 1], reverse=True).result(), [2, 1])
            self.assertEqual(optimizer.get_system_optimization_report()["operation_count"], 2)
            status = optimizer.thread_manager.get_thread_status()
            self.assertEqual((status["preprocess"]["submitted"], status["compute"]["submitted"]), (1, 1))

    def test_and_its_components_take_a_configuration_or_none_and_nothing_else(self):
        expected = "expected a SystemOptimizationConfig or None"
        kinds = [qvl.SystemProfiler, qvl.ThreadManager, qvl.MemoryManager, qvl.ResourceScheduler, qvl.SystemOptimizer,
                 lambda config=None: qvl.OptimizedInferencePipeline(len, config)]
        for kind in kinds:
            for wrong in (5, "fast", {}):
                with self.assertRaises(ValueError) as caught:
                    kind(wrong)
                self.assertEqual(str(caught.exception), f"config: found {wrong!r}, {expected}")
            kind(None)
            kind()

    def test_copies_arrays_into_memory_of_the_pool(self):
        with qvl.SystemOptimizer(CONFIG) as optimizer:
            source = numpy.arange(12, dtype="i8").reshape(3, 4)
            copy = optimizer.transfer_data_async(source, "cpu").result()
            source[...] = 0
            self.assertEqual(copy.tolist(), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])
            pool = optimizer.memory_manager.get_memory_efficiency_report()["tensor_pool"]
            self.assertEqual(pool["in_use_blocks"], 1)
            self.assertEqual(optimizer.transfer_data_async([1.5]).result().tolist(), [1.5])
            with self.assertRaises(ValueError) as caught:
                optimizer.transfer_data_async(source, "cuda:0")
            self.assertEqual(str(caught.exception), "device: found 'cuda:0', expected 'cpu' for data that is no torch tensor")
            operations = optimizer.get_system_optimization_report()["operation_count"]
            with self.assertRaises(qvl.UsageError) as caught:
                optimizer.transfer_data_async(None, "cpu")
            self.assertEqual(str(caught.exception), "data: found None, expected a torch tensor or what NumPy takes as an array")
            self.assertEqual(optimizer.get_system_optimization_report()["operation_count"], operations)

    def test_loads_paths_and_leaves_models_as_they_are(self):
        with qvl.SystemOptimizer(CONFIG) as optimizer:
            model = optimizer.optimize_for_inference(os.path.join(SOURCE, "models", "shapes"))
            self.assertEqual(model.threads, 1)
            self.assertIs(optimizer.optimize_for_inference(model), model)
            self.assertIs(optimizer.optimize_for_inference(len), len)
            with self.assertRaises(qvl.UsageError) as caught:
                optimizer.optimize_for_inference(5)
            self.assertEqual(str(caught.exception), "model: found int, expected a path, a qvl.Model, an object of "
                             "transformers or a callable")
            conversation = qvl.Conversation(model)
            answer = optimizer.execute_compute_async(conversation.ask, "How many objects are there?", max_tokens=2)
            self.assertEqual(answer.result().usage.completion_tokens, 2)

    def test_report_has_its_parts(self):
        with qvl.SystemOptimizer(CONFIG) as optimizer:
            before = optimizer.get_system_optimization_report()
            self.assertEqual(list(before), ["system_summary", "hardware_info", "memory_efficiency", "resource_status",
                                            "operation_count", "uptime", "config"])
            self.assertEqual(before["config"], CONFIG.to_dict())
            self.assertTrue(before["system_summary"]["profiling"])
            self.assertEqual(before["hardware_info"]["cpu_count"], qvl.hardware_info()["cpu_count"])
            self.assertGreater(optimizer.get_system_optimization_report()["uptime"], before["uptime"])

    def test_without_a_configuration_it_has_that_of_the_machine(self):
        with qvl.SystemOptimizer() as optimizer:
            self.assertEqual(optimizer.config, qvl.SystemOptimizationConfig.for_this_machine())

    def test_cleaning_up_ends_pools_and_profiling_and_may_be_repeated(self):
        optimizer = qvl.SystemOptimizer(CONFIG)
        may_end = threading.Event()
        future = optimizer.execute_compute_async(may_end.wait)
        may_end.set()
        optimizer.cleanup_resources()
        self.assertTrue(future.done())
        self.assertFalse(optimizer.profiler.profiling)
        self.assertEqual(optimizer.memory_manager.get_memory_efficiency_report()["tensor_pool_size"], 0)
        operations = optimizer.get_system_optimization_report()["operation_count"]
        for call in (lambda: optimizer.execute_compute_async(int), lambda: optimizer.preprocess_input_async(int),
                     lambda: optimizer.transfer_data_async([1.5]), lambda: optimizer.optimize_for_inference(len),
                     lambda: optimizer.optimize_for_inference(os.path.join(SOURCE, "models", "shapes")), optimizer.__enter__):
            with self.assertRaises(RuntimeError) as caught:
                call()
            self.assertIsInstance(caught.exception, qvl.MachineError)
            self.assertEqual(str(caught.exception), "optimizer: it was cleaned up, and takes no more work")
        self.assertEqual(optimizer.get_system_optimization_report()["operation_count"], operations)
        optimizer.cleanup_resources()


if __name__ == "__main__":
    unittest.main()
