"""Three pools of threads for callables."""
from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Callable, TypeVar

from . import _core
from ._core import SystemOptimizationConfig
from ._errors import MachineError

Result = TypeVar("Result")


class _Task:
    """What a pool of C++ runs or cancels, once, with the interpreter's lock held."""
    __slots__ = ("future", "function", "args", "kwargs")

    def __init__(self, function, args, kwargs):
        self.future, self.function, self.args, self.kwargs = Future(), function, args, kwargs

    def run(self):
        """Whether the function returned, or was not to be called any more."""
        if not self.future.set_running_or_notify_cancel():
            return True
        try:
            result = self.function(*self.args, **self.kwargs)
        except BaseException as error:
            self.future.set_exception(error)
            self = None  # the traceback holds this frame: no cycle through the future
            return False
        self.future.set_result(result)
        return True

    def cancel(self):
        if self.future.cancel():
            self.future.set_running_or_notify_cancel()


class ThreadManager:
    """Pools for computing, for reading and writing, and for preprocessing, sized by the configuration and by what this
    process may use of the machine. Python's own code still runs one thread at a time; what releases the interpreter's
    lock (NumPy, reading files, qvl) runs at the same time.

    Submitting waits while 1,024 tasks of the pool wait already; within a task it raises LimitError instead. A pool
    whose manager is gone still does what it was given. When the interpreter ends, waiting tasks are cancelled and
    running ones finished. Thread-safe. In a forked child it raises MachineError: make a new one there.
    """

    def __init__(self, config: SystemOptimizationConfig | None = None):
        """Raises UsageError for a mask without a usable processor, MachineError where no thread can be started."""
        self._pools = _core.ThreadPools(config)

    def submit_compute_task(self, function: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """Calls function(*args, **kwargs) on a compute thread; the future has what it returns or raises."""
        return self._submit("compute", function, args, kwargs)

    def submit_io_task(self, function: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """The same on a thread for reading and writing."""
        return self._submit("io", function, args, kwargs)

    def submit_preprocess_task(self, function: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """The same on a thread for preprocessing."""
        return self._submit("preprocess", function, args, kwargs)

    def get_thread_status(self) -> dict[str, Any]:
        """closed, cpu_budget_threads, cpu_budget_cause, problems, and for each pool (compute, io, preprocess) threads,
        waiting, running, submitted, completed, failed (they raised), cancelled, refused."""
        return self._pools.status()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no further task; what waits is done, or cancelled, what runs is finished. Waits for that unless told
        not to. May be called again. Within a task only with wait=False."""
        self._pools.shutdown(bool(wait), bool(cancel_futures))

    def __enter__(self) -> ThreadManager:
        if self._pools.closed:
            raise MachineError("the thread manager is shut down")
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()

    def _submit(self, pool, function, args, kwargs):
        if not callable(function):
            raise TypeError(f"{pool} task: found {type(function).__name__}, expected a callable")
        if self._pools.closed:
            raise MachineError(f"{pool} task: the thread manager is shut down")
        task = _Task(function, args, kwargs)
        future = task.future
        self._pools.submit(pool, task)
        return future
