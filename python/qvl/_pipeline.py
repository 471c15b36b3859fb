"""Many requests at once over one model."""
from __future__ import annotations

import os
import reprlib
from collections import deque
from contextlib import contextmanager
from typing import Any, Callable, Iterable, Iterator, Mapping

from ._arguments import checked, waiting_time
from ._callables import CallableEngine
from ._config import config_for
from ._core import InferenceEvent, SystemOptimizationConfig
from ._errors import Error, MachineError, UsageError
from ._model import Model, load_model
from ._native import NativeEngine
from ._transformers import from_transformers, is_transformers_model

_BATCH_WINDOW = 64  # requests of a batch under way at a time: more would only take memory in queues


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

    @checked
    def result(self, timeout: float | None = None) -> Any:
        """Waits for the answer, at most `timeout` seconds; then TimeoutError. None, infinity, and what is longer than clocks
        count wait for ever. Raises UsageError for seconds below 0 or NaN, and what the request failed with. A cancelled one
        has the tokens so far."""
        if not self._running.wait(waiting_time("timeout", timeout)):
            raise TimeoutError(f"request {self.id}: no result within {timeout} s")
        return self._running.result()

    def done(self) -> bool:
        """Whether result() would not wait."""
        return self._running.done()

    def cancel(self) -> None:
        """Ends the request after the current step; what it held is free then."""
        self._running.cancel()


def _engine_for(model, config, options):
    if isinstance(model, (str, os.PathLike)):
        return NativeEngine(load_model(model, config=config, **options), config)
    if is_transformers_model(model):
        return NativeEngine(from_transformers(model, config=config, **options), config)
    if options:
        raise UsageError(f"{next(iter(options))}: an option of loading, and the model is loaded already")
    if isinstance(model, Model):
        return NativeEngine(model, config)
    if callable(model):
        return CallableEngine(model, config)
    raise UsageError(f"model: found {type(model).__name__}, expected a path, a qvl.Model, an object of transformers or a callable")


class OptimizedInferencePipeline:
    """Runs any number of requests over one model: it prepares the pictures of the next while it computes others, and
    decodes all of them in one pass over the weights. A context manager; thread-safe.

    Fields of a request: prompt, images (paths, or what is borrowed and not to be changed meanwhile: bytes of files, pictures
    of PIL, uint8 arrays [height, width, 3 or 4]), videos (paths), system, request_class ("interactive", "normal",
    "background"), client (whose it is), video_prompt, max_image_tokens (of each picture and each temporal step of a video, at most), deadline_ms (from submit() on: a request
    that is not done by then ends with what it has, finish_reason "deadline"), and the options of generation of
    Conversation.ask().

    A callable of any other kind is called as it is, one call at a time: with the mapping or the keywords by keyword, with any
    other input as its argument; "request_class" says how urgent a call is. Calls wait for their turn by the scheduling algorithm,
    are refused where their inputs leave no memory, run on a compute thread with at most num_compute_threads threads of torch, and
    are counted in the metrics. A call that runs is finished even where it is cancelled.
    """

    def __init__(self, model: Any, config: SystemOptimizationConfig | None = None, **options: Any):
        """model: a checkpoint's path, loaded with `options` as by load_model(); a Model; or a
        Qwen3VLForConditionalGeneration of transformers, with `options` of from_transformers(); or any callable.
        config: how the machine may be used; None: what fits this machine. All of it but the scheduling is from now on
        that of a Model which is loaded already, for whoever uses it, until the next configuration is applied; what loading
        has settled (forms of numbers, instruction set) stays, and the metrics' report says so under "followed"."""
        self.config = config_for(config)
        self._engine = _engine_for(model, self.config, options)
        self._cleaned_up = False

    def submit(self, inputs: Any = None, /, **fields: Any) -> InferenceStream:
        """Begins a request. Raises UsageError at once for fields that are unknown or out of their range; all else comes
        with the stream."""
        return InferenceStream(self._open_engine().submit(inputs, fields))

    def run_inference(self, inputs: Any = None, /, **fields: Any) -> Any:
        """Waits for the Answer. Interrupting cancels the request.

        What a processor returned for one or several prompts (input_ids, attention_mask, pixel_values, image_grid_thw, ...;
        NumPy or torch) gives float32 logits [batch, positions, vocabulary], 0 at padding; with max_new_tokens the ids
        followed by those of greedy answers, [batch, positions + tokens], padded with pad_token_id or the end token. They
        are torch tensors where input_ids was one.
        """
        return _results([self._open_engine().start(inputs, fields)])[0]

    def run_batch_inference(self, batch: Iterable[Any]) -> list[Any]:
        """All of them as one continuous batch, in the background of others; answers in the order of the requests. Where
        one fails, raises its error after all have ended, "request N: ..." with its place in the batch, the first being 0 (of
        an error that is none of qvl's a note has it, from Python 3.11 on). A wrong field ends all at once. Interrupting
        cancels all."""
        if isinstance(batch, (str, bytes, Mapping)) or not isinstance(batch, Iterable):
            raise UsageError(f"batch: found {reprlib.repr(batch)}, expected a list of requests")
        engine = self._open_engine()
        return _results(_BatchRun(place, lambda: engine.start(inputs, {}, "background")) for place, inputs in enumerate(batch))

    def plan(self, inputs: Any = None, /, **fields: Any) -> dict[str, Any]:
        """What submit() of this request would take, without doing it: media (a list: path, kind "image" or "video", size,
        resized, grid, tokens, kept), prompt_tokens, image_tokens, cached_tokens, context_tokens, answer_tokens, memory
        (bytes of each part), memory_bytes, memory_free_bytes, memory_limit_bytes, fits, and seconds (prepare, encode,
        prefill, decode, first_token), None where no request has shown yet what that takes here. Pictures are looked at as
        far as their headers; videos are decoded to be counted. Raises what the request would fail with, LimitError where
        it is longer than the context."""
        return self._open_engine().plan(inputs, fields)

    def get_performance_metrics(self) -> dict[str, Any]:
        """avg_inference_time, min_inference_time, max_inference_time, avg_time_to_first_token (seconds),
        total_inferences, cancelled_inferences, overdue_inferences (ended by their deadline), failed_inferences,
        throughput_ips, tokens_per_second, prompt_tokens and cached_tokens (of these, those that were not computed),
        guessed_tokens and accepted_tokens, compute_time and preparation_wait_time (seconds that steps computed, and that
        none could since requests were being read and decoded), avg_memory_percent, avg_gpu_memory_allocated_mb, energy_j
        (of the processors, None where it cannot be read), stages {name: count, mean_ms, p50_ms, p90_ms, p99_ms, max_ms,
        histogram}, caches, and system_optimization_report with system_summary, hardware_info, memory_efficiency,
        resource_status, operation_count, uptime, config and followed. All since the pipeline was made, and the same keys for
        every kind of model: what a callable cannot have (tokens, time to the first one, followed) is 0 or None."""
        return self._engine.metrics()

    def cleanup(self) -> None:
        """Cancels what is under way, waits for it, and gives everything back. May be called again. Everything else but
        get_performance_metrics() raises MachineError, a RuntimeError, from then on."""
        self._engine.cleanup()
        self._cleaned_up = True

    def __enter__(self) -> OptimizedInferencePipeline:
        self._open_engine()
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup()

    def _open_engine(self):
        if self._cleaned_up:
            raise MachineError("pipeline: it was cleaned up, and takes no more requests")
        return self._engine


@contextmanager
def _named(place: int) -> Iterator[None]:
    """Errors that leave the block say of which request of a batch they are."""
    try:
        yield
    except Error as error:
        if type(error).__module__ != Error.__module__:
            raise  # somebody's own, made of we know not what
        raise type(error)(f"request {place}: {error}").with_traceback(error.__traceback__) from None
    except Exception as error:
        if hasattr(error, "add_note"):
            error.add_note(f"request {place} of the batch")
        raise


class _BatchRun:
    """A request at its place in a batch."""

    def __init__(self, place: int, start: Callable[[], Any]):
        self._place = place
        with _named(place):
            self._run = start()

    def result(self) -> Any:
        with _named(self._place):
            return self._run.result()

    def cancel(self) -> None:
        self._run.cancel()


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
