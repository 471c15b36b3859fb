"""ThreadManager: values, exceptions, order, bounds and the end of pools."""
import concurrent.futures
import gc
import threading
import unittest
import weakref

import qvl

ONE_EACH = qvl.SystemOptimizationConfig(num_compute_threads=1, num_io_threads=1, num_preprocess_threads=1)
KINDS = ("compute", "io", "preprocess")


def submits(manager):
    return {kind: getattr(manager, f"submit_{kind}_task") for kind in KINDS}


class Blocker:
    """Keeps the only thread of a pool busy until it is told to go on."""

    def __init__(self, submit):
        self.running, self.may_end = threading.Event(), threading.Event()
        self.future = submit(self._block)
        self.running.wait()

    def _block(self):
        self.running.set()
        self.may_end.wait()
        return "done"


class ThreadManagerTest(unittest.TestCase):
    def test_calls_with_positional_and_keyword_arguments_on_other_threads(self):
        with qvl.ThreadManager(ONE_EACH) as manager:
            for kind, submit in submits(manager).items():
                with self.subTest(kind):
                    future = submit(lambda *args, **kwargs: (args, kwargs, threading.get_ident()), 1, 2, function=3, self=4)
                    args, kwargs, thread = future.result(timeout=None)
                    self.assertEqual((args, kwargs), ((1, 2), {"function": 3, "self": 4}))
                    self.assertNotEqual(thread, threading.get_ident())
                    self.assertTrue(future.done())
                    self.assertIsNone(future.exception())

    def test_exceptions_travel_through_the_future(self):
        class Special(BaseException):
            pass

        def fail(error):
            raise error

        with qvl.ThreadManager(ONE_EACH) as manager:
            for error in (KeyError("x"), Special("y"), SystemExit(3)):
                future = manager.submit_io_task(fail, error)
                self.assertIs(future.exception(), error)
                with self.assertRaises(type(error)):
                    future.result()
            self.assertEqual(manager.submit_io_task(int, "7").result(), 7)

    def test_pools_work_at_the_same_time(self):
        barrier = threading.Barrier(3)
        with qvl.ThreadManager(ONE_EACH) as manager:
            futures = [submit(barrier.wait) for submit in submits(manager).values()]
            self.assertEqual(sorted(future.result() for future in futures), [0, 1, 2])

    def test_result_waits_no_longer_than_its_timeout(self):
        with qvl.ThreadManager(ONE_EACH) as manager:
            blocker = Blocker(manager.submit_compute_task)
            with self.assertRaises(concurrent.futures.TimeoutError):
                blocker.future.result(timeout=0.01)
            self.assertFalse(blocker.future.done())
            blocker.may_end.set()
            self.assertEqual(blocker.future.result(), "done")

    def test_a_waiting_task_can_be_cancelled(self):
        with qvl.ThreadManager(ONE_EACH) as manager:
            blocker, called = Blocker(manager.submit_io_task), []
            future = manager.submit_io_task(called.append, 1)
            self.assertTrue(future.cancel())
            blocker.may_end.set()
            self.assertEqual(manager.submit_io_task(len, called).result(), 0)

    def test_shutdown_drains_and_takes_no_further_task(self):
        manager = qvl.ThreadManager(ONE_EACH)
        futures = [submit(pow, 2, n) for submit in submits(manager).values() for n in range(50)]
        manager.shutdown()
        self.assertTrue(all(future.done() for future in futures))
        self.assertEqual(sum(future.result() for future in futures), 3 * (2 ** 50 - 1))
        for kind, submit in submits(manager).items():
            with self.assertRaises(RuntimeError) as caught:
                submit(int)
            self.assertEqual(str(caught.exception), f"{kind} task: the thread manager is shut down")
        with self.assertRaises(qvl.MachineError) as caught:
            with manager:
                self.fail("entered")
        self.assertEqual(str(caught.exception), "the thread manager is shut down")
        manager.shutdown()
        self.assertTrue(manager.get_thread_status()["closed"])

    def test_shutdown_cancels_what_waits_and_finishes_what_runs(self):
        manager = qvl.ThreadManager(ONE_EACH)
        blocker = Blocker(manager.submit_io_task)
        waiting = [manager.submit_io_task(int) for _ in range(3)]
        manager.shutdown(wait=False, cancel_futures=True)
        self.assertTrue(all(future.cancelled() for future in waiting))
        with self.assertRaises(concurrent.futures.CancelledError):
            waiting[0].result()
        blocker.may_end.set()
        manager.shutdown()
        self.assertEqual(blocker.future.result(), "done")
        counts = manager.get_thread_status()["io"]
        self.assertEqual((counts["submitted"], counts["completed"], counts["cancelled"]), (4, 1, 3))

    def test_a_task_cannot_wait_for_its_own_end_but_can_ask_for_it(self):
        manager = qvl.ThreadManager(ONE_EACH)
        error = manager.submit_io_task(manager.shutdown).exception()
        self.assertEqual(str(error), "shutdown: a task cannot wait for its own end")
        self.assertIsInstance(error, qvl.MachineError)
        self.assertFalse(manager.get_thread_status()["closed"])
        manager.submit_io_task(manager.shutdown, wait=False).result()
        self.assertTrue(manager.get_thread_status()["closed"])

    def test_tasks_that_raise_are_counted_as_failed(self):
        with qvl.ThreadManager(ONE_EACH) as manager:
            futures = [manager.submit_compute_task(lambda n=n: 1 // n) for n in (0, 1, 0)]
            self.assertEqual([type(future.exception()) for future in futures], [ZeroDivisionError, type(None), ZeroDivisionError])
            manager.shutdown()
            compute = manager.get_thread_status()["compute"]
            self.assertEqual((compute["submitted"], compute["completed"], compute["failed"]), (3, 1, 2))

    def test_a_task_may_submit_tasks_until_the_queue_is_full(self):
        def fill(manager):
            futures = [manager.submit_io_task(int) for _ in range(1024)]
            try:
                manager.submit_io_task(int)
            except MemoryError as error:
                return str(error), futures
            return "no error", futures

        with qvl.ThreadManager(ONE_EACH) as manager:
            message, futures = manager.submit_io_task(fill, manager).result()
            self.assertEqual(message, "io pool: 1024 tasks wait already, and a task cannot wait for room")
            self.assertEqual(sum(future.result() for future in futures), 0)

    def test_others_wait_for_room(self):
        with qvl.ThreadManager(ONE_EACH) as manager:
            futures = [manager.submit_preprocess_task(lambda n=n: n) for n in range(3000)]
            self.assertEqual(sum(future.result() for future in futures), 3000 * 2999 // 2)

    def test_a_manager_that_is_gone_still_does_what_it_was_given(self):
        manager = qvl.ThreadManager(ONE_EACH)
        blocker = Blocker(manager.submit_compute_task)
        waiting = manager.submit_compute_task(int, "5")
        del manager
        gc.collect()
        self.assertFalse(waiting.done())
        blocker.may_end.set()
        self.assertEqual(waiting.result(), 5)

    def test_a_manager_may_end_on_a_thread_of_its_own(self):
        for _ in range(20):
            manager = qvl.ThreadManager(ONE_EACH)
            gone = threading.Event()
            weakref.finalize(manager, gone.set)
            start = threading.Event()

            def hold(last):
                start.wait()
                return id(last)

            manager.submit_compute_task(hold, manager)
            del manager
            start.set()
            gone.wait()

    def test_what_a_task_held_is_released(self):
        class Thing:
            pass

        thing, gone = Thing(), threading.Event()
        weakref.finalize(thing, gone.set)
        with qvl.ThreadManager(ONE_EACH) as manager:
            future = manager.submit_io_task(lambda it: None, thing)
            del thing
            gone.wait()
            self.assertIsNone(future.result())

    def test_refuses_what_is_no_callable_and_a_mask_without_a_processor(self):
        with qvl.ThreadManager(ONE_EACH) as manager:
            with self.assertRaises(TypeError) as caught:
                manager.submit_io_task(5)
            self.assertEqual(str(caught.exception), "io task: found int, expected a callable")
        with self.assertRaises(qvl.UsageError):
            qvl.ThreadManager(qvl.SystemOptimizationConfig(cpu_affinity_mask=1 << 8000))

    def test_many_threads_submit_while_it_is_shut_down(self):
        for _ in range(10):
            manager = qvl.ThreadManager(ONE_EACH)
            ready = threading.Barrier(5)
            futures, lock = [], threading.Lock()

            def work():
                ready.wait()
                for _ in range(200):
                    try:
                        future = manager.submit_io_task(int)
                    except RuntimeError:
                        return
                    with lock:
                        futures.append(future)

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            ready.wait()
            manager.shutdown(cancel_futures=True)
            for thread in threads:
                thread.join()
            done, waiting = concurrent.futures.wait(futures)
            self.assertEqual((len(done), len(waiting)), (len(futures), 0))


if __name__ == "__main__":
    unittest.main()
