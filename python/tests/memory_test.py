"""MemoryManager: arrays from the pool, when their memory comes back, what is refused."""
import gc
import threading
import types
import unittest
from unittest import mock

import numpy

import qvl

MIB = 2 ** 20


def pool(manager):
    return manager.get_memory_efficiency_report()["tensor_pool"]


class MemoryManagerTest(unittest.TestCase):
    def setUp(self):
        self.manager = qvl.MemoryManager(qvl.SystemOptimizationConfig(memory_cleanup_interval=1_000_000))

    def test_tensors_have_shape_type_and_alignment(self):
        for shape, dtype in [((3, 5), "float32"), (7, numpy.int8), ((2, 1, 4), numpy.complex128), ([6], "<u2"), ((), "f8")]:
            with self.subTest(shape):
                tensor = self.manager.allocate_tensor(shape, dtype)
                expected = numpy.empty(shape, dtype)
                self.assertEqual((tensor.shape, tensor.dtype), (expected.shape, expected.dtype))
                self.assertEqual(tensor.ctypes.data % 64, 0)
                self.assertTrue(tensor.flags.c_contiguous and tensor.flags.writeable)
                tensor[...] = 3
                self.assertEqual(tensor.sum(), 3 * tensor.size)
        self.assertEqual(self.manager.allocate_tensor((2, 2)).dtype, numpy.float32)

    def test_memory_is_used_again_once_the_last_array_is_gone(self):
        tensor = self.manager.allocate_tensor((256, 1024))
        address = tensor.ctypes.data
        view = tensor[1:]
        tensor[...] = 1
        del tensor
        self.assertEqual(pool(self.manager)["in_use_blocks"], 1)
        self.assertEqual(view.sum(), 255 * 1024)
        del view
        self.assertEqual((pool(self.manager)["in_use_blocks"], pool(self.manager)["kept_blocks"]), (0, 1))
        again = self.manager.allocate_tensor((256, 1024))
        self.assertEqual(again.ctypes.data, address)
        self.assertEqual(pool(self.manager)["hits"], 1)

    def test_released_memory_is_never_handed_out_while_something_can_read_it(self):
        tensor = self.manager.allocate_tensor(1024, "u1")
        tensor[...] = 7
        look = memoryview(tensor)
        self.assertEqual(self.manager.get_memory_efficiency_report()["tensors_in_use"], 1)
        self.manager.release_tensor(tensor)
        self.assertEqual(self.manager.get_memory_efficiency_report()["tensors_in_use"], 0)
        other = self.manager.allocate_tensor(1024, "u1")
        other[...] = 9
        self.assertEqual(set(tensor), {7})
        del tensor
        self.assertEqual(look[1023], 7)
        look.release()
        del look
        self.assertEqual(pool(self.manager)["kept_blocks"], 1)

    def test_only_tensors_of_the_manager_are_released_and_once(self):
        tensor = self.manager.allocate_tensor(4)
        self.manager.release_tensor(tensor)
        for thing in (tensor, numpy.empty(4), tensor[:2], None, qvl.MemoryManager().allocate_tensor(4)):
            with self.assertRaises(qvl.UsageError) as caught:
                self.manager.release_tensor(thing)
            self.assertEqual(str(caught.exception), "release_tensor: found an object that is no tensor of this manager, "
                                                    "or was released before")

    def test_tensors_outlive_their_manager(self):
        tensor = self.manager.allocate_tensor(MIB, "u1")
        self.manager = None
        gc.collect()
        tensor[...] = 1
        self.assertEqual(tensor.sum(dtype="u8"), MIB)

    def test_empty_tensors_take_nothing(self):
        self.assertEqual(self.manager.allocate_tensor((0, 5)).shape, (0, 5))
        self.assertEqual(pool(self.manager)["misses"], 0)

    def test_tensors_have_as_many_dimensions_as_arrays_may(self):
        self.assertEqual(self.manager.allocate_tensor((1,) * 32).ndim, 32)

    def test_refuses_bad_shapes_types_and_devices(self):
        for arguments, message in [
            (((2, -1),), "shape: found (2, -1), expected sizes of 0 or more"),
            (((1,) * 70,), f"shape: found {str((1,) * 70)[:60]}..., expected one that an array can have"),
            (((0,) * 70,), f"shape: found {str((0,) * 70)[:60]}..., expected one that an array can have"),
            (((0, 2 ** 62, 2 ** 62),), f"shape: found {(0, 2 ** 62, 2 ** 62)}, expected one that an array can have"),
            (((2 ** 70, 0),), f"shape: found {(2 ** 70, 0)}, expected one that an array can have"),
            ((2.5,), "shape: found 2.5, expected an integer or a list of integers"),
            (("x",), "shape: found 'x', expected an integer or a list of integers"),
            (((2, "x"),), "shape[1]: found 'x', expected an integer"),
            ((2, "object"), "dtype: found object, expected one without Python objects"),
            ((2, "no type"), "dtype: found 'no type', expected one of NumPy or torch"),
            ((2, "f4", "cuda"), "device: found 'cuda', expected None or 'cpu' for a NumPy array"),
        ]:
            with self.assertRaises(ValueError) as caught:
                self.manager.allocate_tensor(*arguments)
            self.assertEqual(str(caught.exception), message)

    def test_refuses_what_does_not_fit_below_the_cap(self):
        cap = self.manager.get_memory_efficiency_report()["cap_bytes"]
        self.assertTrue(self.manager.is_memory_available(MIB))
        for count in (cap, 2 ** 62, 2 ** 63, 2 ** 200):
            self.assertFalse(self.manager.is_memory_available(count))
            with self.assertRaises(MemoryError) as caught:
                self.manager.allocate_tensor(count, "u1")
            self.assertIsInstance(caught.exception, qvl.LimitError)
            self.assertTrue(str(caught.exception).startswith("tensor: "))
        with self.assertRaises(qvl.UsageError):
            self.manager.is_memory_available(-1)

    def test_clean_up_gives_back_what_was_kept(self):
        self.manager.allocate_tensor(4 * MIB, "u1")
        self.assertGreaterEqual(self.manager.get_memory_efficiency_report()["tensor_pool_size"], 4 * MIB)
        cleaned = self.manager.cleanup_memory()
        self.assertGreaterEqual(cleaned["pool_bytes"], 4 * MIB)
        self.assertEqual(sorted(cleaned), ["cache_bytes", "description", "heap_bytes", "pool_bytes"])
        self.assertEqual(self.manager.get_memory_efficiency_report()["tensor_pool_size"], 0)

    def test_idle_blocks_go_at_the_interval(self):
        manager = qvl.MemoryManager(qvl.SystemOptimizationConfig(memory_cleanup_interval=2))
        manager.allocate_tensor(4 * MIB, "u1")
        for _ in range(6):
            manager.allocate_tensor(64, "u1")
        self.assertLess(manager.get_memory_efficiency_report()["tensor_pool_size"], MIB)

    def test_reports_have_their_keys(self):
        self.assertEqual(list(self.manager.get_memory_usage()), ["rss", "vms", "available", "total", "percent_used"])
        report = self.manager.get_memory_efficiency_report()
        for key in ("memory_utilization", "available_memory_mb", "total_memory_mb", "rss_memory_mb", "tensor_pool_size",
                    "tensor_pool_hit_rate", "cap_bytes", "by_part"):
            self.assertIn(key, report)
        self.assertGreater(report["rss_memory_mb"], 1)

    def test_many_threads_share_it(self):
        def work():
            for n in range(200):
                tensor = self.manager.allocate_tensor(1000 + n, "u1")
                tensor[...] = n % 256
                assert (tensor == n % 256).all()
                self.manager.release_tensor(tensor)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counts = pool(self.manager)
        self.assertEqual(counts["in_use_blocks"], 0)
        self.assertEqual(counts["hits"] + counts["misses"], 800)

    def test_torch_is_asked_only_for_its_own_types(self):
        """With a stand-in for torch, which wraps the array as torch.from_numpy() does."""
        class Tensor:
            def __init__(self, array):
                self.array, self.steps = array, []

            def view(self, dtype):
                self.steps.append(("view", dtype))
                return self

            def reshape(self, sizes):
                self.steps.append(("reshape", sizes))
                return self

        dtype = type("dtype", (), {"__module__": "torch", "itemsize": 2})()
        torch = types.SimpleNamespace(
            from_numpy=Tensor, device=lambda name: types.SimpleNamespace(type=name.partition(":")[0]),
            empty=mock.Mock(side_effect=lambda sizes, dtype, device=None: Tensor(None)))
        with mock.patch.dict("sys.modules", torch=torch):
            tensor = self.manager.allocate_tensor((3, 4), dtype, "cpu")
            self.assertEqual(tensor.array.shape, (24,))
            self.assertEqual(tensor.steps, [("view", dtype), ("reshape", (3, 4))])
            self.assertEqual(pool(self.manager)["in_use_blocks"], 1)
            self.manager.release_tensor(tensor)
            del tensor
            self.assertEqual(pool(self.manager)["in_use_blocks"], 0)
            self.manager.allocate_tensor(5, dtype, "cuda:1")
            torch.empty.assert_called_once_with((5,), dtype=dtype, device="cuda:1")


if __name__ == "__main__":
    unittest.main()
