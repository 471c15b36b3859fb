"""Requests on checkpoints that are loaded: what the pipeline of C++ runs."""
from __future__ import annotations

from typing import Any, Mapping

from . import _core
from ._arguments import as_written
from ._core import SystemOptimizationConfig
from ._errors import UsageError
from ._model import GENERATION_FIELDS, Model, choice, generation_options, paths_of, set_field
from ._pictures import pictures_of
from ._tensors import LogitsRun, TensorInputs, TokensRun, has_tensors, other_fields

# Types of those that are set as they are; None of those that stand for something.
_REQUEST_FIELDS = {
    "prompt": str, "images": None, "videos": None, "system": str, "video_prompt": None, "request_class": None, "client": int,
    "max_image_tokens": int | None, "deadline_ms": int | None}
_FIELDS = (*_REQUEST_FIELDS, *GENERATION_FIELDS)
_TENSOR_OPTIONS = ("max_new_tokens", "pad_token_id", "request_class", "client", "deadline_ms",
                   *(name for name in GENERATION_FIELDS if name != "max_tokens"))


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


def _inference_request(fields: Mapping[str, Any]):
    """The request that `fields` describe, without media; UsageError for a name that is no field."""
    request = _core.InferenceRequest()
    for name, value in fields.items():
        if name not in _FIELDS:
            raise UsageError(f"{name}: unknown field, expected one of {', '.join(_FIELDS)}")
        if name == "video_prompt":
            request.video_prompt = choice(_core.VideoPrompt, name, value)
        elif name == "request_class":
            request.request_class = choice(_core.RequestClass, name, value)
        elif _REQUEST_FIELDS.get(name):
            set_field(request, name, value, _REQUEST_FIELDS[name])
    request.generation = generation_options({name: value for name, value in fields.items() if name in GENERATION_FIELDS})
    return request


class NativeEngine:
    """Runs requests on a loaded checkpoint."""

    def __init__(self, model: Model, config: SystemOptimizationConfig):
        self._model = model
        self._pipeline = _core.Pipeline(model._loaded, config)

    def submit(self, inputs: Any, fields: Mapping[str, Any]) -> _core.Stream:
        """Begins a request that has a text."""
        merged = _merged(inputs, fields)
        if has_tensors(merged):
            raise UsageError("input_ids: tensors are for run_inference and run_batch_inference")
        return self._submit(merged)

    def start(self, inputs: Any, fields: Mapping[str, Any], request_class: str = "normal") -> Any:
        """Something with result() and cancel(), for a request of any kind; one that names its class has that."""
        merged = {"request_class": request_class, **_merged(inputs, fields)}
        return self._start_tensors(merged) if has_tensors(merged) else self._submit(merged)

    def plan(self, inputs: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
        """What a request that has a text would take."""
        merged = _merged(inputs, fields)
        if has_tensors(merged):
            raise UsageError("input_ids: found tensors, expected a text, pictures or videos to plan for")
        return self._pipeline.plan(self._request(merged))

    def metrics(self) -> dict[str, Any]:
        return self._pipeline.metrics()

    def cleanup(self) -> None:
        self._pipeline.cleanup()

    def _submit(self, fields):
        return self._pipeline.submit(self._request(fields))

    @staticmethod
    def _request(fields):
        request = _inference_request(fields)
        request.images = pictures_of(fields.get("images", ()))
        request.videos = paths_of("videos", fields.get("videos", ()))
        return request

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
        runs = []
        with as_written("max_tokens", "max_new_tokens"):
            request = _inference_request({"temperature": 0, **fields, "max_tokens": new_tokens})
            for prompt in tensors.prompts:
                request.tensors = prompt.inputs
                runs.append(self._pipeline.submit(request))
        return TokensRun(runs, tensors, pad)
