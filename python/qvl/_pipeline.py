"""Many requests at once over one model."""
from __future__ import annotations

import os
import threading
from collections import deque
from typing import Any, Iterable, Iterator, Mapping

from . import _core
from ._core import Answer, InferenceEvent, SystemOptimizationConfig
from ._errors import MediaError, UsageError
from ._model import GENERATION_FIELDS, Model, choice, generation_options, load_model, paths_of, set_field
from ._pictures import Pictures

_BATCH_WINDOW = 64  # requests of a batch under way at a time: more would only take memory in queues
_REQUEST_FIELDS = ("prompt", "images", "videos", "system", "video_prompt", "request_class", "client")


class InferenceStream:
    """A request under way: iterate over its events, or wait for its result. It goes on when nobody looks. Thread-safe."""

    def __init__(self, running: Any):
        self._running = running

    @property
    def id(self) -> int:
        return self._running.id

    def __iter__(self) -> Iterator[InferenceEvent]:
        """Events as they come: "admitted", "text" with more of the answer, "finished" as the last one."""
        while (event := self._running.next()) is not None:
            yield event

    def result(self, timeout: float | None = None) -> Any:
        """Waits for the answer, at most `timeout` seconds; then TimeoutError. Raises what the request failed with. A
        cancelled one has the tokens so far."""
        if not self._running.wait(timeout):
            raise TimeoutError(f"request {self.id}: no result within {timeout} s")
        return self._running.result()

    def done(self) -> bool:
        """Whether result() would not wait."""
        return self._running.done()

    def cancel(self) -> None:
        """Ends the request after the current step; what it held is free then."""
        self._running.cancel()


def _inference_request(fields: Mapping[str, Any]):
    """The request that `fields` describe, and the pictures that must live as long as it runs."""
    request = _core.InferenceRequest()
    pictures = Pictures(fields.get("images", ()))
    request.images = pictures.paths
    for name, value in fields.items():
        if name == "videos":
            request.videos = paths_of(name, value)
        elif name == "video_prompt":
            request.video_prompt = choice(_core.VideoPrompt, name, value)
        elif name == "request_class":
            request.request_class = choice(_core.RequestClass, name, value)
        elif name in _REQUEST_FIELDS:
            if name != "images":
                set_field(request, name, value)
        elif name not in GENERATION_FIELDS:
            raise UsageError(f"{name}: unknown field, expected one of {', '.join(_REQUEST_FIELDS + GENERATION_FIELDS)}")
    request.generation = generation_options({name: value for name, value in fields.items() if name in GENERATION_FIELDS})
    return request, pictures


class _NativeRun:
    """A request of the engine with its pictures."""

    def __init__(self, stream, pictures: Pictures):
        self._stream, self._pictures = stream, pictures
        self.id, self.next, self.wait, self.done, self.cancel = stream.id, stream.next, stream.wait, stream.done, stream.cancel

    def result(self):
        try:
            return self._stream.result()
        except MediaError as error:
            raise MediaError(self._pictures.named(str(error))) from None


class _NativeEngine:
    """Runs requests on a loaded checkpoint."""

    def __init__(self, model: Model, config: SystemOptimizationConfig):
        self._pipeline = _core.Pipeline(model._loaded, config)
        self._lock = threading.Lock()
        self._under_way: list[_NativeRun] = []  # their pictures are there until they end

    def submit(self, fields: Mapping[str, Any]):
        request, pictures = _inference_request(fields)
        with self._lock:
            running = _NativeRun(self._pipeline.submit(request), pictures)
            self._under_way = [each for each in self._under_way if not each.done()] + [running]
        return running

    def metrics(self):
        return self._pipeline.metrics()

    def cleanup(self):
        self._pipeline.cleanup()
        with self._lock:
            self._under_way.clear()


def _engine_for(model, config, options):
    if isinstance(model, (str, os.PathLike)):
        return _NativeEngine(load_model(model, config=config, **options), config)
    if options:
        raise UsageError(f"{next(iter(options))}: an option of loading, and the model is loaded already")
    if isinstance(model, Model):
        return _NativeEngine(model, config)
    raise UsageError(f"model: found {type(model).__name__}, expected a path or a qvl.Model")


def _merged(inputs, fields):
    """The fields of one request, given as a text, as a mapping, by keyword, or by the last two together."""
    if isinstance(inputs, str):
        inputs = {"prompt": inputs}
    elif inputs is None:
        inputs = {}
    elif not isinstance(inputs, Mapping):
        raise UsageError(f"inputs: found {type(inputs).__name__}, expected a text or a mapping of fields")
    for name in fields:
        if name in inputs:
            raise UsageError(f"{name}: given twice, among the inputs and by keyword")
    return {**inputs, **fields}


class OptimizedInferencePipeline:
    """Runs any number of requests over one model: it prepares the pictures of the next while it computes others, and
    decodes all of them in one pass over the weights. A context manager; thread-safe.

    Fields of a request: prompt, images (paths, bytes of files, pictures of PIL, uint8 arrays [height, width, 3 or 4]),
    videos (paths), system, request_class ("interactive", "normal", "background"), client (whose it is), video_prompt,
    and the options of generation of Conversation.ask().
    """

    def __init__(self, model: Any, config: SystemOptimizationConfig | None = None, **options: Any):
        """model: a checkpoint's path, loaded with `options` as by load_model(), or a Model.
        config: how the machine may be used; None: what fits this machine. Of a Model that is loaded already only the
        scheduling fields count."""
        self.config = SystemOptimizationConfig.for_this_machine() if config is None else config
        self._engine = _engine_for(model, self.config, options)

    def submit(self, inputs: str | Mapping[str, Any] | None = None, /, **fields: Any) -> InferenceStream:
        """Begins a request. Raises UsageError at once for fields that are unknown or out of their range; all else comes
        with the stream."""
        return InferenceStream(self._engine.submit(_merged(inputs, fields)))

    def run_inference(self, inputs: str | Mapping[str, Any] | None = None, /, **fields: Any) -> Answer:
        """Waits for the answer. Interrupting cancels the request."""
        return _results([self.submit(inputs, **fields)])[0]

    def run_batch_inference(self, batch: Iterable[str | Mapping[str, Any]]) -> list[Answer]:
        """All of them as one continuous batch, in the background of others; answers in the order of the requests. Where
        one fails, raises its error after all have ended. Interrupting cancels all."""
        streams = (self.submit({"request_class": "background", **_merged(inputs, {})}) for inputs in batch)
        return _results(streams)

    def get_performance_metrics(self) -> dict[str, Any]:
        """avg_inference_time, min_inference_time, max_inference_time, avg_time_to_first_token (seconds),
        total_inferences, cancelled_inferences, failed_inferences, throughput_ips, tokens_per_second, avg_memory_percent,
        avg_gpu_memory_allocated_mb, stages, and system_optimization_report with system_summary, hardware_info,
        memory_efficiency, resource_status, operation_count, uptime, config."""
        return self._engine.metrics()

    def cleanup(self) -> None:
        """Cancels what is under way, waits for it, and gives everything back. May be called again."""
        self._engine.cleanup()

    def __enter__(self) -> OptimizedInferencePipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup()


def _results(streams: Iterable[InferenceStream]) -> list[Any]:
    """The results of requests that are begun while others run, in order."""
    results, failures, under_way = [], [], deque()

    def take_oldest():
        try:
            results.append(under_way[0].result())
        except Exception as error:
            failures.append(error)
        under_way.popleft()

    try:
        for stream in streams:
            under_way.append(stream)
            if len(under_way) == _BATCH_WINDOW:
                take_oldest()
        while under_way:
            take_oldest()
    except BaseException:
        for stream in under_way:
            stream.cancel()
        raise
    if failures:
        raise failures[0]
    return results


def apply_system_level_optimizations(model: Any, config: SystemOptimizationConfig | None = None,
                                     **options: Any) -> OptimizedInferencePipeline:
    """A pipeline over `model`, which is not changed: OptimizedInferencePipeline(model, config, **options)."""
    return OptimizedInferencePipeline(model, config, **options)
