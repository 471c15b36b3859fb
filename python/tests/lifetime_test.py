"""Threads at the end of the interpreter and after a fork. Each case is a process of its own, which must end by itself."""
import signal
import subprocess
import sys
import unittest

PRELUDE = """
import atexit, os, sys, threading, time
import qvl
one_each = qvl.SystemOptimizationConfig(num_compute_threads=1, num_io_threads=1, num_preprocess_threads=1)
def block(running, may_end):
    running.set()
    may_end.wait()
    print("finished", flush=True)
"""


def run(body, *, interrupt_after=None, once=True):
    """(exit status, output lines, error output) of a program; an interrupt when it has printed that line, or one after
    the other until it ends."""
    process = subprocess.Popen([sys.executable, "-B", "-c", PRELUDE + body], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    lines = []
    if interrupt_after is not None:
        while not lines or lines[-1] != interrupt_after:
            lines.append(process.stdout.readline().rstrip("\n"))
            if lines[-1] == "":
                break
        process.send_signal(signal.SIGINT)
        while not once:
            try:
                process.wait(0.1)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    return process.returncode, lines + out.splitlines(), err


class LifetimeTest(unittest.TestCase):
    def test_the_end_finishes_what_runs_and_cancels_what_waits(self):
        self.assertEqual(run("""
manager = qvl.ThreadManager(one_each)
running, may_end = threading.Event(), threading.Event()
manager.submit_io_task(block, running, may_end)
running.wait()
waiting = manager.submit_io_task(print, "never")
waiting.add_done_callback(lambda future: (print("cancelled", future.cancelled(), flush=True), may_end.set()))
"""), (0, ["cancelled True", "finished"], ""))

    def test_a_task_may_wait_for_another_that_the_end_cancels(self):
        self.assertEqual(run("""
manager = qvl.ThreadManager(one_each)
def outer():
    inner = manager.submit_io_task(print, "never")
    running.set()
    try:
        inner.result()
    except BaseException as error:
        print(type(error).__name__, flush=True)
running = threading.Event()
manager.submit_io_task(outer)
running.wait()
"""), (0, ["CancelledError"], ""))

    def test_the_end_waits_for_pools_whose_manager_is_gone(self):
        self.assertEqual(run("""
running = threading.Event()
may_end = threading.Event()
qvl.ThreadManager(one_each).submit_io_task(block, running, may_end)
running.wait()
threading.Timer(0.05, may_end.set).start()
"""), (0, ["finished"], ""))

    def test_nothing_starts_once_the_interpreter_ends(self):
        code, out, err = run("""
def late():
    for attempt in (lambda: manager.submit_io_task(int), lambda: qvl.ThreadManager(one_each),
                    lambda: qvl.SystemProfiler(one_each)):
        try:
            attempt()
        except RuntimeError as error:
            print(error, flush=True)
atexit.unregister(qvl._core.end_threads)
atexit.register(late)
atexit.register(qvl._core.end_threads)
manager = qvl.ThreadManager(one_each)
""")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out, ["io task: the thread manager is shut down",
                               "threads: the interpreter is ending, none are started",
                               "threads: the interpreter is ending, none are started"])

    def test_an_exception_that_ends_the_program_ends_its_pools(self):
        code, out, err = run("""
manager = qvl.ThreadManager(one_each)
running, may_end = threading.Event(), threading.Event()
manager.submit_compute_task(block, running, may_end)
running.wait()
may_end.set()
raise ValueError("over")
""")
        self.assertEqual((code, out), (1, ["finished"]))
        self.assertTrue(err.endswith("ValueError: over\n"), err)

    def test_an_interrupt_during_the_end_leaves_a_task_that_never_ends(self):
        code, out, _ = run("""
manager = qvl.ThreadManager(one_each)
running = threading.Event()
def forever():
    running.set()
    while True: time.sleep(0.01)
manager.submit_io_task(forever)
running.wait()
atexit.register(print, "ending", flush=True)
""", interrupt_after="ending", once=False)
        self.assertEqual((code, out), (-signal.SIGINT, ["ending"]))

    def test_an_interrupt_ends_waiting_for_a_result_and_for_a_shutdown(self):
        for wait in ("future.result()", "manager.shutdown()"):
            with self.subTest(wait):
                code, out, err = run(f"""
manager = qvl.ThreadManager(one_each)
running, may_end = threading.Event(), threading.Event()
future = manager.submit_io_task(block, running, may_end)
running.wait()
try:
    print("waiting", flush=True)
    {wait}
except KeyboardInterrupt:
    print("interrupted", flush=True)
may_end.set()
""", interrupt_after="waiting")
                self.assertEqual((code, out, err), (0, ["waiting", "interrupted", "finished"], ""))

    def test_an_exception_in_del_and_in_a_callback_harms_no_pool(self):
        code, out, err = run("""
class Bad:
    def __del__(self):
        raise ValueError("in del")
manager = qvl.ThreadManager(one_each)
print(manager.submit_io_task(lambda it: 1, Bad()).result(), flush=True)
print(manager.submit_io_task(int, "2").result(), flush=True)
""")
        self.assertEqual((code, out), (0, ["1", "2"]))
        self.assertIn("ValueError: in del", err)

    def test_running_profilers_and_optimizers_end(self):
        self.assertEqual(run("""
profiler = qvl.SystemProfiler(qvl.SystemOptimizationConfig(profile_interval=0.05))
profiler.start_profiling()
optimizer = qvl.SystemOptimizer(one_each)
optimizer.execute_compute_async(int).result()
keep = [profiler, optimizer]
keep.append(keep)
"""), (0, [], ""))

    def test_a_forked_child_leaves_its_parents_threads_alone(self):
        code, out, err = run("""
import warnings
warnings.simplefilter("ignore")
manager = qvl.ThreadManager(one_each)
profiler = qvl.SystemProfiler(one_each)
profiler.start_profiling()
gone = qvl.ThreadManager(one_each)
running, may_end = threading.Event(), threading.Event()
gone.submit_io_task(block, running, may_end)
running.wait()
del gone
child = os.fork()
if child == 0:
    for attempt in (lambda: manager.submit_io_task(int), profiler.get_current_profile):
        try:
            attempt()
        except RuntimeError as error:
            print(error, flush=True)
    with qvl.ThreadManager(one_each) as own:
        print("own", own.submit_io_task(int, "3").result(), flush=True)
    del manager, profiler
    sys.exit(5)
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
print("parent", manager.submit_io_task(int, "4").result(), flush=True)
may_end.set()
""")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out, [
            "ThreadManager: made before this process was forked, make a new one here",
            "SystemProfiler: made before this process was forked, make a new one here",
            "own 3", "child 5", "parent 4", "finished"])


if __name__ == "__main__":
    unittest.main()
