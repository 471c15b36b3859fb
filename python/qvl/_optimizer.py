"""The components of the system layer together."""
from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import Future
from typing import Any, Callable, TypeVar

from . import _core
from ._config import config_for
from ._core import ResourceScheduler, SystemOptimizationConfig, SystemProfiler
from ._errors import MachineError, UsageError
from ._memory import MemoryManager
from ._model import Model, load_model
from ._threads import ThreadManager
from ._transformers import from_transformers, is_transformers_model

Result = TypeVar("Result")


class SystemOptimizer:
    """Profiler, pools, memory and resources under one configuration, by default that of this machine. A context
    manager; thread-safe."""

    def __init__(self, config: SystemOptimizationConfig | None = None):
        self.config = config_for(config)
        self.profiler = SystemProfiler(self.config)
        self.thread_manager = ThreadManager(self.config)
        self.memory_manager = MemoryManager(self.config)
        self.resource_scheduler = ResourceScheduler(self.config)
        self._begin = time.monotonic()
        self._operations = 0
        self._count = threading.Lock()
        self._cleaned_up = False
        self.profiler.start_profiling()

    def optimize_for_inference(self, model: Any) -> Any:
        """Something that computes as the model does, under this configuration. A checkpoint's path is loaded: its threads,
        instruction sets and forms of numbers are those of the plan for this machine. A Qwen3VLForConditionalGeneration of
        transformers becomes a Model over the weights it holds, as by from_transformers(). A Model, or any callable, comes
        back as it is, and runs in execute_compute_async(). No model is modified."""
        self._operation()
        if isinstance(model, (str, os.PathLike)):
            return load_model(model, config=self.config)
        if is_transformers_model(model):
            return from_transformers(model, config=self.config)
        if isinstance(model, Model) or callable(model):
            return model
        raise UsageError(f"model: found {type(model).__name__}, expected a path, a qvl.Model, an object of transformers or a "
                         "callable")

    def preprocess_input_async(self, function: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """function(*args, **kwargs) on a preprocessing thread."""
        self._operation()
        return self.thread_manager.submit_preprocess_task(function, *args, **kwargs)

    def execute_compute_async(self, function: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """function(*args, **kwargs) on a compute thread."""
        self._operation()
        return self.thread_manager.submit_compute_task(function, *args, **kwargs)

    def transfer_data_async(self, data: Any, device: Any = "cpu") -> Future[Any]:
        """A copy of `data` on `device`, made by an I/O thread: of a torch tensor on any device of torch, of what NumPy
        takes as an array on "cpu", in memory of the pool."""
        if data is None:
            raise UsageError("data: found None, expected a torch tensor or what NumPy takes as an array")
        torch = sys.modules.get("torch")
        is_tensor = torch is not None and isinstance(data, torch.Tensor)
        if not is_tensor and str(device) != "cpu":
            raise UsageError(f"device: found {device!r}, expected 'cpu' for data that is no torch tensor")
        self._operation()
        if is_tensor:
            return self.thread_manager.submit_io_task(data.to, device, copy=True)
        return self.thread_manager.submit_io_task(self._copy, data)

    def get_system_optimization_report(self) -> dict[str, Any]:
        """system_summary, hardware_info, memory_efficiency, resource_status, operation_count, uptime (seconds), config."""
        return _core.system_optimization_report(
            self.profiler, self.memory_manager._memory, self.resource_scheduler, self.config, self._operations,
            time.monotonic() - self._begin)

    def cleanup_resources(self) -> None:
        """Ends the pools once their tasks are done, ends profiling, gives memory back. May be called again. Everything else
        but get_system_optimization_report() raises MachineError, a RuntimeError, from then on."""
        self.thread_manager.shutdown()
        self._cleaned_up = True
        self.profiler.stop_profiling()
        self.memory_manager.cleanup_memory()

    def __enter__(self) -> SystemOptimizer:
        self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup_resources()

    def _check_open(self):
        if self._cleaned_up:
            raise MachineError("optimizer: it was cleaned up, and takes no more work")

    def _operation(self):
        self._check_open()
        with self._count:
            self._operations += 1

    def _copy(self, data):
        import numpy
        source = numpy.asarray(data)
        copy = self.memory_manager.allocate_tensor(source.shape, source.dtype)
        copy[...] = source
        return copy
