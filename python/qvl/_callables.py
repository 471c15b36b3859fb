"""Models of other kinds: any callable, run as it is within the system layer."""
from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import Any, Callable, Literal, Mapping

from ._arguments import check, kind_of
from ._core import EnergyMeter, SystemOptimizationConfig
from ._durations import Durations
from ._errors import CancelledError, Error, LimitError, MachineError, UsageError
from ._optimizer import SystemOptimizer
from ._tensors import is_torch
from ._torch_threads import torch_threads

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


# What pictures, prompts and guesses spare: a callable has none of it.
_CACHES = {
    "feature_memory_hits": 0, "feature_disk_hits": 0, "feature_misses": 0, "feature_bytes": 0, "prefix_reused_tokens": 0,
    "prefix_disk_tokens": 0, "prefix_bytes": 0, "disk_lookups": 0, "disk_hits": 0, "feature_hit_rate": None,
    "disk_hit_rate": None, "prefix_hit_rate": None}


class CallableEngine:
    """Calls a function once at a time: in the order of the resource scheduler, on a compute thread, within memory. Thread-safe."""

    def __init__(self, function: Callable[..., Any], config: SystemOptimizationConfig):
        self._function, self._system = function, SystemOptimizer(config)
        self._all = self._system.resource_scheduler.get_resource_status()["resource_usage"]["compute"]["limit"]
        self._lock = threading.Lock()
        self._waiting: dict[int, _CallableRun] = {}  # by ticket
        self._closed, self._submitted, self._ended_at = False, 0, 0.0
        self._begin: float | None = None
        self._total, self._queued, self._computed = Durations(), Durations(), Durations()
        self._failed, self._cancelled, self._running, self._memory_percent = 0, 0, 0, 0.0
        self._energy = EnergyMeter()

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
        check("request_class", request_class, kind_of(Literal["interactive", "normal", "background"]))
        size = sized_bytes(inputs)
        if not self._system.memory_manager.is_memory_available(size):
            raise LimitError(f"request: its inputs have {size} bytes, and no room for as many more is left below the limit")
        with self._lock:
            if self._closed:
                raise MachineError("pipeline: it was cleaned up, and takes no more requests")
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
        """The keys of a checkpoint's metrics; None for what a callable cannot have: tokens, and what follows a configuration."""
        report = self._system.get_system_optimization_report()
        with self._lock:
            total, elapsed = self._total, self._ended_at - (self._begin or 0.0)
            report["operation_count"], report["followed"] = total.count, None
            report["resource_status"]["requests"] = {
                "arrived": 0, "preparing": 0, "prepared": len(self._waiting), "granted": self._running}
            return {
                "avg_inference_time": total.mean, "min_inference_time": total.least, "max_inference_time": total.most,
                "total_inferences": total.count, "cancelled_inferences": self._cancelled, "overdue_inferences": 0,
                "failed_inferences": self._failed,
                "throughput_ips": total.count / elapsed if total.count and elapsed > 0 else 0.0,
                "avg_time_to_first_token": None, "tokens_per_second": None, "prompt_tokens": 0, "cached_tokens": 0,
                "guessed_tokens": 0, "accepted_tokens": 0, "compute_time": self._computed.sum, "preparation_wait_time": 0.0,
                "avg_memory_percent": self._memory_percent / total.count if total.count else 0.0,
                "avg_gpu_memory_allocated_mb": report["system_summary"]["avg_own_gpu_memory_mb"] or 0.0,
                "energy_j": self._energy.joules(),
                "stages": {"queue": self._queued.stage(), "compute": self._computed.stage()},
                "caches": dict(_CACHES), "system_optimization_report": report}

    def cleanup(self) -> None:
        self._system.thread_manager._pools.check_may_wait()  # before anything is closed or cancelled
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
            self._running += 1
        try:
            self._system.execute_compute_async(self._run, run)
        except Error as error:  # cleaned up meanwhile
            with self._lock:
                self._running -= 1
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
        with torch_threads.at_most(self._system.config.num_compute_threads):
            return self._function(**inputs) if isinstance(inputs, Mapping) else self._function(inputs)

    def _record(self, run, began, failed):
        now = time.monotonic()
        self._energy.advance()
        percent = self._system.memory_manager.get_memory_usage()["percent_used"] or 0.0
        with self._lock:
            self._ended_at = now
            self._running -= 1
            self._queued.add(began - run.submitted)
            self._computed.add(now - began)
            if failed:
                self._failed += 1
            else:
                self._total.add(now - run.submitted)
                self._memory_percent += percent
