"""Models of other kinds: any callable, run as it is within the system layer."""
from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import Future
from typing import Any, Callable, Mapping

from ._core import SystemOptimizationConfig
from ._errors import CancelledError, Error, LimitError, UsageError
from ._optimizer import SystemOptimizer
from ._tensors import is_torch

_PRIORITIES = {"interactive": 9, "normal": 5, "background": 0}


def sized_bytes(value: Any) -> int:
    """Bytes of the arrays and tensors in a value, as far as they tell their size."""
    if isinstance(value, Mapping):
        return sum(sized_bytes(each) for each in value.values())
    if isinstance(value, (list, tuple)):
        return sum(sized_bytes(each) for each in value)
    if is_torch(value):
        return value.numel() * value.element_size()
    size = getattr(value, "nbytes", 0)
    return size if isinstance(size, int) else 0


class _CallableRun:
    """One call, from its submission to its end."""

    def __init__(self, number: int, inputs: Any, cancel: Callable[[_CallableRun], None]):
        self.id, self.inputs, self.submitted, self.future = number, inputs, time.monotonic(), Future()
        self._cancel = cancel

    def next(self):
        raise UsageError("stream: a callable tells nothing before its end, wait for its result")

    def wait(self, seconds: float | None) -> bool:
        try:
            self.future.exception(seconds)
        except TimeoutError:
            return self.future.done()
        return True

    def result(self) -> Any:
        return self.future.result()

    def done(self) -> bool:
        return self.future.done()

    def cancel(self) -> None:
        self._cancel(self)


class _Durations:
    """How long a stage took, over the life of a pipeline."""

    def __init__(self):
        self.count, self.sum, self.least, self.most = 0, 0.0, 0.0, 0.0

    def add(self, seconds: float) -> None:
        self.least = min(self.least, seconds) if self.count else seconds
        self.most = max(self.most, seconds)
        self.count, self.sum = self.count + 1, self.sum + seconds

    @property
    def mean(self) -> float:
        return self.sum / self.count if self.count else 0.0

    def stage(self) -> dict[str, Any]:
        return {"count": self.count, "mean_ms": self.mean * 1e3, "max_ms": self.most * 1e3}


class CallableEngine:
    """Calls a function once at a time: in the order of the resource scheduler, on a compute thread, within memory. Thread-safe."""

    def __init__(self, function: Callable[..., Any], config: SystemOptimizationConfig):
        self._function, self._system = function, SystemOptimizer(config)
        self._all = self._system.resource_scheduler.get_resource_status()["resource_usage"]["compute"]["limit"]
        self._lock = threading.Lock()
        self._waiting: dict[int, _CallableRun] = {}  # by ticket
        self._closed, self._submitted, self._ended_at = False, 0, 0.0
        self._begin: float | None = None
        self._total, self._queued, self._computed = _Durations(), _Durations(), _Durations()
        self._failed, self._cancelled, self._memory_percent = 0, 0, 0.0

    def submit(self, inputs: Any, fields: Mapping[str, Any]) -> _CallableRun:
        return self.start(inputs, fields)

    def start(self, inputs: Any, fields: Mapping[str, Any], request_class: str = "normal") -> _CallableRun:
        """Raises LimitError where the inputs leave no memory, or too many calls wait."""
        fields = dict(fields)
        request_class = fields.pop("request_class", request_class)
        if isinstance(inputs, Mapping) or (inputs is None and fields):
            inputs = {**(inputs or {}), **fields}
        elif fields:
            raise UsageError(f"{next(iter(fields))}: by keyword beside an input that is no mapping")
        if request_class not in _PRIORITIES:
            raise UsageError(f"request_class: found {request_class!r}, expected one of {', '.join(_PRIORITIES)}")
        size = sized_bytes(inputs)
        if not self._system.memory_manager.is_memory_available(size):
            raise LimitError(f"request: its inputs have {size} bytes, and no room for as many more is left below the limit")
        with self._lock:
            if self._closed:
                raise UsageError("pipeline: it was cleaned up, and takes no more requests")
            ticket = self._system.resource_scheduler.request_resources("compute", self._all, _PRIORITIES[request_class])
            self._submitted += 1
            run = _CallableRun(self._submitted, inputs, self._cancel)
            self._waiting[ticket] = run
            self._begin = run.submitted if self._begin is None else self._begin
        self._start_next()
        return run

    def plan(self, inputs: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
        raise UsageError("plan: a callable has none")

    def metrics(self) -> dict[str, Any]:
        report = self._system.get_system_optimization_report()
        with self._lock:
            total, elapsed = self._total, self._ended_at - (self._begin or 0.0)
            report["operation_count"] = total.count
            return {
                "avg_inference_time": total.mean, "min_inference_time": total.least, "max_inference_time": total.most,
                "total_inferences": total.count, "cancelled_inferences": self._cancelled, "failed_inferences": self._failed,
                "throughput_ips": total.count / elapsed if total.count and elapsed > 0 else 0.0,
                "avg_memory_percent": self._memory_percent / total.count if total.count else 0.0,
                "avg_gpu_memory_allocated_mb": report["system_summary"].get("avg_gpu_memory_allocated_mb") or 0.0,
                "stages": {"queue": self._queued.stage(), "compute": self._computed.stage()},
                "system_optimization_report": report}

    def cleanup(self) -> None:
        with self._lock:
            self._closed = True
            waiting = list(self._waiting.values())
        for run in waiting:
            self._cancel(run)
        self._system.cleanup_resources()

    def _cancel(self, run):
        """Ends a call that waits; one that runs is finished."""
        with self._lock:
            ticket = next((ticket for ticket, each in self._waiting.items() if each is run), None)
            if ticket is None or not self._system.resource_scheduler.cancel_request(ticket):
                return
            del self._waiting[ticket]
            self._cancelled += 1
        run.future.set_exception(CancelledError("request: it was cancelled before its turn"))

    def _start_next(self):
        with self._lock:
            grant = self._system.resource_scheduler._next_grant()
            if grant is None:
                return
            run = self._waiting.pop(grant[0])
        try:
            self._system.execute_compute_async(self._run, run)
        except Error as error:  # cleaned up meanwhile
            self._system.resource_scheduler.release_resources("compute", self._all)
            run.future.set_exception(error)

    def _run(self, run):
        began = time.monotonic()
        result, error = None, None
        try:
            result = self._call(run.inputs)
        except BaseException as raised:
            error = raised
        self._record(run, began, error is not None)
        self._system.resource_scheduler.release_resources("compute", self._all)
        self._start_next()
        if error is None:
            run.future.set_result(result)
        else:
            run.future.set_exception(error)
        run = error = None  # the traceback holds this frame: no cycle through the future

    def _call(self, inputs):
        torch, threads = sys.modules.get("torch"), self._system.config.num_compute_threads
        if torch is not None and torch.get_num_threads() > threads:
            torch.set_num_threads(threads)
        return self._function(**inputs) if isinstance(inputs, Mapping) else self._function(inputs)

    def _record(self, run, began, failed):
        now = time.monotonic()
        percent = self._system.memory_manager.get_memory_usage()["percent_used"] or 0.0
        with self._lock:
            self._ended_at = now
            self._queued.add(began - run.submitted)
            self._computed.add(now - began)
            if failed:
                self._failed += 1
            else:
                self._total.add(now - run.submitted)
                self._memory_percent += percent
