"""Many requests at once over one model."""
from __future__ import annotations

import os
import threading
from collections import deque
from typing import Any, Iterable, Iterator, Mapping

from . import _core
from ._core import InferenceEvent, SystemOptimizationConfig
from ._errors import MediaError, UsageError
from ._model import GENERATION_FIELDS, Model, choice, generation_options, load_model, paths_of, set_field
from ._pictures import Pictures
from ._tensors import LogitsRun, TensorInputs, TokensRun, has_tensors, other_fields
from ._transformers import from_transformers, is_transformers_model

_BATCH_WINDOW = 64  # requests of a batch under way at a time: more would only take memory in queues
_REQUEST_FIELDS = ("prompt", "images", "videos", "system", "video_prompt", "request_class", "client")
_TENSOR_OPTIONS = ("max_new_tokens", "pad_token_id", "request_class", "client",
                   *(name for name in GENERATION_FIELDS if name != "max_tokens"))


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


def _inference_request(fields: Mapping[str, Any], known: tuple[str, ...]):
    """The request that `fields` describe, without media; UsageError for a name that is not among `known`."""
    request = _core.InferenceRequest()
    for name, value in fields.items():
        if name not in known:
            raise UsageError(f"{name}: unknown field, expected one of {', '.join(known)}")
        if name == "video_prompt":
            request.video_prompt = choice(_core.VideoPrompt, name, value)
        elif name == "request_class":
            request.request_class = choice(_core.RequestClass, name, value)
        elif name in ("prompt", "system", "client"):
            set_field(request, name, value)
    request.generation = generation_options({name: value for name, value in fields.items() if name in GENERATION_FIELDS})
    return request


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
        self._model = model
        self._pipeline = _core.Pipeline(model._loaded, config)
        self._lock = threading.Lock()
        self._under_way: list[_NativeRun] = []  # their pictures are there until they end

    def submit(self, fields: Mapping[str, Any]) -> InferenceStream:
        if has_tensors(fields):
            raise UsageError("input_ids: tensors are for run_inference and run_batch_inference")
        request = _inference_request(fields, _REQUEST_FIELDS + GENERATION_FIELDS)
        pictures = Pictures(fields.get("images", ()))
        request.images, request.videos = pictures.paths, paths_of("videos", fields.get("videos", ()))
        return self._begin(request, pictures)

    def start(self, fields: Mapping[str, Any]):
        """Something with result() and cancel()."""
        return self._start_tensors(fields) if has_tensors(fields) else self.submit(fields)

    def metrics(self):
        return self._pipeline.metrics()

    def cleanup(self):
        self._pipeline.cleanup()
        with self._lock:
            self._under_way.clear()

    def _begin(self, request, pictures):
        with self._lock:
            running = _NativeRun(self._pipeline.submit(request), pictures)
            self._under_way = [each for each in self._under_way if not each.done()] + [running]
        return InferenceStream(running)

    def _start_tensors(self, inputs):
        fields = other_fields(inputs, _TENSOR_OPTIONS)
        tensors = TensorInputs(self._model._loaded, inputs)
        new_tokens = fields.pop("max_new_tokens", None)
        if new_tokens is None:
            fields.pop("request_class", None)
            if fields:
                raise UsageError(f"{next(iter(fields))}: an option of generation, which max_new_tokens asks for")
            return LogitsRun(self._pipeline, self._model.vocabulary, tensors)
        pad = fields.pop("pad_token_id", self._model.pad_token_id)
        request = _inference_request({"temperature": 0, **fields, "max_tokens": new_tokens}, _REQUEST_FIELDS + GENERATION_FIELDS)
        streams = []
        for prompt in tensors.prompts:
            request.tensors = prompt.inputs
            streams.append(self._begin(request, Pictures(())))
        return TokensRun(streams, tensors, pad)


def _engine_for(model, config, options):
    if isinstance(model, (str, os.PathLike)):
        return _NativeEngine(load_model(model, config=config, **options), config)
    if is_transformers_model(model):
        return _NativeEngine(from_transformers(model, config=config, **options), config)
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
        """model: a checkpoint's path, loaded with `options` as by load_model(); a Model; or a
        Qwen3VLForConditionalGeneration of transformers, with `options` of from_transformers().
        config: how the machine may be used; None: what fits this machine. Of a Model that is loaded already only the
        scheduling fields count."""
        self.config = SystemOptimizationConfig.for_this_machine() if config is None else config
        self._engine = _engine_for(model, self.config, options)

    def submit(self, inputs: str | Mapping[str, Any] | None = None, /, **fields: Any) -> InferenceStream:
        """Begins a request. Raises UsageError at once for fields that are unknown or out of their range; all else comes
        with the stream."""
        return self._engine.submit(_merged(inputs, fields))

    def run_inference(self, inputs: str | Mapping[str, Any] | None = None, /, **fields: Any) -> Any:
        """Waits for the Answer. Interrupting cancels the request.

        What a processor returned for one or several prompts (input_ids, attention_mask, pixel_values, image_grid_thw, ...;
        NumPy or torch) gives float32 logits [batch, positions, vocabulary], 0 at padding; with max_new_tokens the ids
        followed by those of greedy answers, [batch, positions + tokens], padded with pad_token_id or the end token. They
        are torch tensors where input_ids was one.
        """
        return _results([self._engine.start(_merged(inputs, fields))])[0]

    def run_batch_inference(self, batch: Iterable[str | Mapping[str, Any]]) -> list[Any]:
        """All of them as one continuous batch, in the background of others; answers in the order of the requests. Where
        one fails, raises its error after all have ended. Interrupting cancels all."""
        return _results(self._engine.start({"request_class": "background", **_merged(inputs, {})}) for inputs in batch)

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


def _results(runs: Iterable[Any]) -> list[Any]:
    """The results of requests that are begun while others run, in order."""
    results, failures, under_way = [], [], deque()

    def take_oldest():
        try:
            results.append(under_way[0].result())
        except Exception as error:
            failures.append(error)
        under_way.popleft()

    try:
        for run in runs:
            under_way.append(run)
            if len(under_way) == _BATCH_WINDOW:
                take_oldest()
        while under_way:
            take_oldest()
    except BaseException:
        for run in under_way:
            run.cancel()
        raise
    if failures:
        raise failures[0]
    return results


def apply_system_level_optimizations(model: Any, config: SystemOptimizationConfig | None = None,
                                     **options: Any) -> OptimizedInferencePipeline:
    """A pipeline over `model`, which is not changed: OptimizedInferencePipeline(model, config, **options)."""
    return OptimizedInferencePipeline(model, config, **options)
