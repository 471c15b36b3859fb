"""Inputs that are tensors, as a processor of Hugging Face makes them, and what becomes of them."""
from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Mapping

from . import _core
from ._errors import UsageError

if TYPE_CHECKING:
    import numpy

TENSOR_FIELDS = ("input_ids", "attention_mask", "pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw")
# What newer processors tell beside them follows from the ids.
_IMPLIED_FIELDS = ("mm_token_type_ids", "token_type_ids")


def has_tensors(inputs: Any) -> bool:
    return isinstance(inputs, Mapping) and "input_ids" in inputs


def is_torch(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _array(name: str, value: Any, dtype: str, kinds: str) -> numpy.ndarray:
    """A two-dimensional array of `dtype`, in C order; UsageError for other shapes and kinds of numbers."""
    import numpy
    if is_torch(value):
        if value.is_meta:
            raise UsageError(f"{name}: found a tensor without data, on the device meta")
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    try:
        array = numpy.asarray(value)
    except ValueError as error:
        raise UsageError(f"{name}: found rows of different lengths, expected an array") from error
    if array.ndim != 2 or array.dtype.kind not in kinds:
        raise UsageError(f"{name}: found an array of {array.dtype} {list(array.shape)}, expected two dimensions of "
                         f"{'numbers' if 'f' in kinds else 'integers'}")
    return numpy.ascontiguousarray(array, dtype)


class TensorInputs:
    """The tensors of a batch, taken apart into prompts."""

    def __init__(self, loaded: _core.LoadedModel, inputs: Mapping[str, Any]):
        """Raises UsageError naming the tensor that does not fit the others or the model."""
        def integers(name):
            return None if inputs.get(name) is None else _array(name, inputs[name], "int64", "iub")

        def media(values, grids):
            if (inputs.get(values) is None) != (inputs.get(grids) is None):
                missing = values if inputs.get(values) is None else grids
                raise UsageError(f"{missing}: missing, {values if missing == grids else grids} is given")
            patches = None if inputs.get(values) is None else _array(values, inputs[values], "float32", "fiu")
            return _core.BatchMedia(patches, integers(grids))

        self.ids = _array("input_ids", inputs["input_ids"], "int64", "iub")
        mask = integers("attention_mask")
        if mask is not None and mask.shape != self.ids.shape:
            raise UsageError(f"attention_mask: found {list(mask.shape)}, expected {list(self.ids.shape)} as of input_ids")
        self.prompts = loaded.split(self.ids, mask, media("pixel_values", "image_grid_thw"),
                                    media("pixel_values_videos", "video_grid_thw"))
        self._torch = is_torch(inputs["input_ids"])

    def like_inputs(self, array: numpy.ndarray) -> Any:
        """A torch tensor where the ids were one."""
        return sys.modules["torch"].from_numpy(array) if self._torch else array


def other_fields(inputs: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    """What is given beside the tensors; UsageError for a name that is not among `known`."""
    fields = {name: value for name, value in inputs.items() if name not in TENSOR_FIELDS + _IMPLIED_FIELDS}
    for name in fields:
        if name not in known:
            raise UsageError(f"{name}: unknown field beside tensors, expected one of {', '.join(TENSOR_FIELDS + known)}")
    return fields


class LogitsRun:
    """Computes the logits of all positions where its result is asked for."""

    def __init__(self, pipeline: _core.Pipeline, vocabulary: int, tensors: TensorInputs):
        self._pipeline, self._vocabulary, self._tensors = pipeline, vocabulary, tensors

    def result(self) -> Any:
        """float32 [batch, positions, vocabulary]; 0 where the mask has padding."""
        import numpy
        out = numpy.zeros((*self._tensors.ids.shape, self._vocabulary), numpy.float32)
        for row, prompt in zip(out, self._tensors.prompts):
            request = _core.LogitsRequest()
            request.tensors = prompt.inputs
            self._pipeline.logits(request, row[prompt.first:prompt.first + prompt.tokens])
        return self._tensors.like_inputs(out)

    def cancel(self) -> None:
        """Nothing is under way before result()."""


class TokensRun:
    """Waits for the tokens that continue each prompt of a batch."""

    def __init__(self, streams: list[Any], tensors: TensorInputs, pad_token_id: int | None):
        self._streams, self._tensors, self._pad = streams, tensors, pad_token_id

    def result(self) -> Any:
        """int64 [batch, positions + tokens of the longest answer]: the ids, the answers with their end tokens, padding."""
        import numpy
        rows, pads = [], []
        for stream in self._streams:
            answer = stream.result()
            ended = [] if answer.end_token is None else [answer.end_token]
            rows.append(answer.tokens + ended)
            pads.append(self._pad if self._pad is not None else answer.end_token or 0)
        longest = max(len(row) for row in rows)
        answers = numpy.array([row + [pad] * (longest - len(row)) for row, pad in zip(rows, pads)], numpy.int64)
        return self._tensors.like_inputs(numpy.concatenate([self._tensors.ids, answers], axis=1))

    def cancel(self) -> None:
        for stream in self._streams:
            stream.cancel()
