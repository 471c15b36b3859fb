"""Models of Hugging Face transformers, run over the weights they hold."""
from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path as File
from typing import Any, Iterable, Literal

from . import _core
from ._arguments import checked
from ._core import SystemOptimizationConfig
from ._errors import UsageError
from ._model import Model, Path, Weights, load_options

_CLASS = "Qwen3VLForConditionalGeneration"
_DTYPES = {"torch.float32": "F32", "torch.float16": "F16", "torch.bfloat16": "BF16"}
_HEAD, _EMBEDDING = "lm_head.weight", "model.language_model.embed_tokens.weight"


def is_transformers_model(model: Any) -> bool:
    """Whether it is a Qwen3VLForConditionalGeneration, or of a class derived from it; nothing is imported."""
    return any(kind.__name__ == _CLASS and kind.__module__.startswith("transformers.") for kind in type(model).__mro__)


def _checked(name: str, tensor: Any) -> Any:
    """The tensor where it can be read in place, else a contiguous copy of it."""
    if tensor.device.type != "cpu":
        raise UsageError(f"{name}: found on {tensor.device}, expected on the processor: model.to('cpu')")
    if str(tensor.dtype) not in _DTYPES:
        raise UsageError(f"{name}: found {tensor.dtype}, expected {', '.join(_DTYPES)}")
    return tensor.contiguous()


def _weights(model: Any) -> dict[str, Any]:
    """The weights by their names in files; a head that is the embedding is left out."""
    tensors = {name: _checked(name, tensor) for name, tensor in model.state_dict().items()}
    head, embedding = tensors.get(_HEAD), tensors.get(_EMBEDDING)
    if head is not None and embedding is not None and head.data_ptr() == embedding.data_ptr():
        del tensors[_HEAD]
    return tensors


def _config_json(model: Any, tied: bool) -> str:
    values = model.config.to_dict()
    # What holds is what the object computes with.
    values["tie_word_embeddings"] = values["text_config"]["tie_word_embeddings"] = tied
    return json.dumps(values, default=str)


def _save(processor: Any, folder: File) -> None:
    """Writes the processor's files. transformers 5 puts into one what had a file for each kind of media before."""
    processor.save_pretrained(folder)
    together = folder / "processor_config.json"
    parts = json.loads(together.read_text(encoding="utf-8")) if together.is_file() else {}
    for part, name in (("image_processor", "preprocessor_config.json"), ("video_processor", "video_preprocessor_config.json")):
        if part in parts and not (folder / name).exists():
            (folder / name).write_text(json.dumps(parts[part]), encoding="utf-8")


def _folder(model: Any, tokenizer: Path | None) -> str | None:
    """Where the files of the tokenizer are: as given, else where the object was loaded from, if that is a folder."""
    if tokenizer is not None:
        return os.fspath(tokenizer)
    origin = File(getattr(model, "name_or_path", "") or "")
    return str(origin) if origin != File() and (origin / "tokenizer.json").is_file() else None


@checked
def from_transformers(
    model: Any, *, processor: Any = None, tokenizer: Path | None = None, weights: Weights = "f32",
    vision_weights: Weights = "f32", kv: Literal["f32", "int16", "int8"] = "f32", threads: int | None = None,
    isa: str | None = None, config: SystemOptimizationConfig | None = None, memory_limit: int | str | None = None,
    disabled_passes: Iterable[str] = (),
) -> Model:
    """A Model over the weights of a Qwen3VLForConditionalGeneration of transformers, which stays as it is: weights are read
    where they lie, so they must not be changed while the Model is used.

    processor: its processor; tokenizer: a folder with the files of tokenizer and preprocessors. Without either the folder
    that the object was loaded from is taken; where there is none, prompts come as tensors only.
    weights, vision_weights, kv: as they are, computed in float32, so that logits are those of the object's own forward;
    "q4", "q8" and "int16" are faster and take memory beside the object's. The rest is as for load_model().

    Raises UsageError for weights that are not on the processor or of another type, ModelError for another architecture.
    """
    if not callable(getattr(model, "state_dict", None)) or not hasattr(model, "config"):
        raise UsageError(f"model: found {type(model).__name__}, expected a {_CLASS} of transformers")
    tensors = _weights(model)
    options = load_options("", {"weights": weights, "vision_weights": vision_weights, "kv": kv, "isa": isa, "cache_folder": "",
                                "threads": threads, "config": config, "memory_limit": memory_limit,
                                "disabled_passes": disabled_passes})
    generation = getattr(model, "generation_config", None)
    listed = [(name, _DTYPES[str(tensor.dtype)], list(tensor.shape), tensor.data_ptr(), tensor.numel() * tensor.element_size())
              for name, tensor in tensors.items()]
    with tempfile.TemporaryDirectory() as saved:
        if processor is not None and tokenizer is None:
            _save(processor, File(saved))
            tokenizer = saved
        loaded = _core.load_from_memory(options, {
            "name": type(model).__name__, "config": _config_json(model, _HEAD not in tensors),
            "generation": json.dumps(generation.to_dict(), default=str) if generation is not None else "",
            "folder": _folder(model, tokenizer), "tensors": listed, "owner": tensors})
    return Model(loaded, getattr(generation, "pad_token_id", None))
