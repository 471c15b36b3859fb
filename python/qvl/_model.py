"""Checkpoints and conversations."""
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable, Iterable, Literal, Sequence

from . import _core
from ._arguments import check, checked, kind_of, kinds_of, listed, out_of_range
from ._core import Answer, SystemOptimizationConfig, Tokenizer
from ._errors import UsageError

if TYPE_CHECKING:
    import numpy

Path = str | os.PathLike[str]
Weights = Literal["auto", "f32", "bf16", "q8", "q4"]

_PLAN_OPTIONS = ("mmproj", "threads", "weights", "vision_weights", "kv", "isa", "cache_folder", "config", "memory_limit",
                 "disabled_passes")
_PRECISIONS = {"weights": _core.WeightPrecision, "vision_weights": _core.WeightPrecision, "kv": _core.KvPrecision}


def choice(enumeration, name: str, value: str):
    """The member of a C++ enumeration that a text names."""
    member = getattr(enumeration, value, None) if isinstance(value, str) and value.isidentifier() else None
    if not isinstance(member, enumeration):
        raise UsageError(f"{name}: found {value!r}, expected one of {', '.join(each.name for each in enumeration)}")
    return member


def set_field(target, name: str, value, annotation) -> None:
    """Sets an attribute of plain data; UsageError for a value that is not what the annotation says, or beyond its range."""
    kind = kind_of(annotation)
    check(name, value, kind)
    try:
        setattr(target, name, value)
    except TypeError:
        raise out_of_range(name, value, kind) from None


def paths_of(name: str, value) -> list[Path]:
    """The paths of a list; a single path is taken for a slip."""
    return [os.fspath(each) for each in listed(name, value, Sequence[Path])]


def _memory_limit(value: int | str | None) -> int | None:
    """In bytes; UsageError for a text that is none."""
    return _core.memory_limit_from_text(value, "memory_limit") if isinstance(value, str) else value


def _turn(text: str, images, videos, max_image_tokens):
    turn = _core.Turn(text, paths_of("images", images), paths_of("videos", videos))
    set_field(turn, "max_image_tokens", max_image_tokens, int | None)
    return turn


def load_options(path: Path, fields: dict[str, Any]) -> _core.LoadOptions:
    """Options by the names of load_model(), which have been checked; UsageError for a choice that there is not."""
    options = _core.LoadOptions()
    options.path = path
    config = fields.pop("config")
    options.system = SystemOptimizationConfig.for_this_machine() if config is None else config
    threads = fields.pop("threads", None)
    if threads is not None:
        options.system = options.system.replace(num_compute_threads=threads)
    options.threads = options.system.num_compute_threads
    set_field(options, "memory_limit", _memory_limit(fields.pop("memory_limit", None)), int | None)
    options.disabled_passes = set(listed("disabled_passes", fields.pop("disabled_passes", ()), Iterable[str]))
    for name, value in fields.items():
        if name in _PRECISIONS:
            value = choice(_PRECISIONS[name], name, value)
        setattr(options, name, "" if name == "isa" and value is None else value)
    return options


@checked
def load_model(
    path: Path, *, mmproj: Path | None = None, threads: int | None = None, weights: Weights = "auto",
    vision_weights: Weights = "auto", kv: Literal["f32", "int16", "int8"] = "int16", isa: str | None = None,
    cache_folder: Path | None = None, config: SystemOptimizationConfig | None = None,
    memory_limit: int | str | None = None, disabled_passes: Iterable[str] = (), trace: bool = False,
    on_progress: Callable[[str, float], object] | None = None,
) -> Model:
    """Loads a Hugging Face folder, or a text .gguf file with its vision file as mmproj.

    threads: at most so many, never more than this process may use; None: as the configuration says.
    weights, vision_weights: numbers of the decoder's and the vision tower's weights; kv: of kept keys and values.
    isa: "scalar", "avx2", "avxvnni", "avx512"; None: the best there is.
    cache_folder: where packed weights are kept; "": nowhere; None: ~/.cache/qvl.
    config: how the machine may be used; None: what fits this machine.
    memory_limit: bytes that are never passed, in place of config.memory_limit_ratio: a number, or a text like "1.5GiB" or
    "60%" (of what this process may use).
    disabled_passes: names of passes of the optimizer to leave out, as plan() has them.
    trace: record where the time goes, for Model.write_trace().
    on_progress: called with a stage and a fraction from 0 to 1.

    Raises ModelError for files that are missing, damaged or unsupported, UsageError for an option.
    """
    options = load_options(path, {
        "mmproj": mmproj, "threads": threads, "weights": weights, "vision_weights": vision_weights, "kv": kv, "isa": isa,
        "cache_folder": cache_folder, "config": config, "memory_limit": memory_limit, "disabled_passes": disabled_passes,
        "trace": trace})
    return Model(_core.load_model(options, on_progress))


@checked
def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a folder or a text .gguf file; no weights are needed."""
    return _core.load_tokenizer(path)


@checked
def plan(path: Path, *, measure: Literal["stored", "missing"] = "stored", **options: Any) -> dict[str, Any]:
    """What would be chosen for a checkpoint on this machine, and why, without loading it.

    measure: "missing" measures first what cannot be derived and was not measured yet, some seconds, and keeps it in the cache
    folder; "stored" takes what is there. options: those of load_model() but trace and on_progress.
    """
    for name in options:
        if name not in _PLAN_OPTIONS:
            raise TypeError(f"{name}: unknown option, expected one of {', '.join(_PLAN_OPTIONS)}")
        check(name, options[name], kinds_of(load_model)[name])
    return _core.plan(load_options(path, {"config": None, **options}), choice(_core.Measure, "measure", measure))


class Model:
    """A loaded checkpoint: load_model() makes it. Thread-safe: one computation at a time, others wait for it."""

    def __init__(self, loaded: _core.LoadedModel, pad_token_id: int | None = None):
        self._loaded, self._pad_token_id = loaded, pad_token_id

    @property
    def tokenizer(self) -> Tokenizer:
        return self._loaded.tokenizer()

    @property
    def pad_token_id(self) -> int | None:
        """What answers of a batch of tensors are padded with; None: their end tokens."""
        return self._pad_token_id

    @property
    def vocabulary(self) -> int:
        return self._loaded.vocabulary

    @property
    def threads(self) -> int:
        """Threads that compute now."""
        return self._loaded.threads

    @property
    def isa(self) -> str:
        return self._loaded.isa

    @property
    def load_seconds(self) -> float:
        return self._loaded.load_seconds

    @property
    def from_cache(self) -> bool:
        """Whether packed weights were read from the cache folder."""
        return self._loaded.from_cache

    @property
    def warnings(self) -> list[str]:
        return self._loaded.warnings

    @checked
    def pixels(self, image: Path) -> tuple[numpy.ndarray, tuple[int, int, int]]:
        """What the vision tower is given for a picture: float32 [patches, values], and the grid (t, h, w)."""
        return self._loaded.pixels(image)

    @checked
    def logits(
        self, prompt: str | Sequence[int], *, images: Sequence[Path] = (), videos: Sequence[Path] = (),
        form: Literal["chat", "raw"] = "chat", video_prompt: Literal["timestamps", "nested"] = "timestamps",
        max_image_tokens: int | None = None, chunk: int = 512,
        on_progress: Callable[[str, float], object] | None = None,
    ) -> numpy.ndarray:
        """Logits of every position of the prompt: float32 [positions, vocabulary].

        prompt: a question as a user asks it; with form "raw" a text with control tokens; or ids.
        """
        request = _core.LogitsRequest()
        request.video_prompt = choice(_core.VideoPrompt, "video_prompt", video_prompt)
        set_field(request, "chunk", chunk, int)
        if isinstance(prompt, str):
            request.turn = _turn(prompt, images, videos, max_image_tokens)
            request.form = choice(_core.PromptForm, "form", form)
        else:
            request.turn = _turn("", images, videos, max_image_tokens)
            request.form = _core.PromptForm.tokens
            set_field(request, "tokens", listed("prompt", prompt, Sequence[int]), Sequence[int])
        return self._loaded.logits(request, on_progress)

    @checked
    def resume(self, path: Path) -> Conversation:
        """The conversation that Conversation.save() wrote, which goes on as if it had never ended.

        Nothing of it is looked at or computed again. UsageError where the file is damaged, or was written with other
        weights, options of load_model() or tokenizer.
        """
        conversation = Conversation.__new__(Conversation)
        conversation._talk = _core.Talk.resume(self._loaded, path)
        return conversation

    @checked
    def write_trace(self, path: Path) -> None:
        """Writes what load_model(trace=True) recorded, for ui.perfetto.dev; `warnings` tells what did not fit."""
        self._loaded.write_trace(path)


class Conversation:
    """Turns of user and model. Earlier turns stay computed: a further question costs only its own tokens."""

    @checked
    def __init__(self, model: Model, *, system: str = "", tools: Sequence[str] = (),
                 video_prompt: Literal["timestamps", "nested"] = "timestamps"):
        """system: the system turn, "" for none. tools: function signatures, a JSON object each."""
        options = _core.ConversationOptions()
        options.system, options.tools_json = system, listed("tools", tools, Sequence[str])
        options.video_prompt = choice(_core.VideoPrompt, "video_prompt", video_prompt)
        self._talk = _core.Talk(model._loaded, options)

    @checked
    def ask(
        self, text: str, images: Sequence[Path] = (), videos: Sequence[Path] = (), *,
        max_image_tokens: int | None = None, on_text: Callable[[str], object] | None = None,
        on_progress: Callable[[str, float], object] | None = None, **generation: Any,
    ) -> Answer:
        """Asks with pictures, then videos, then the text; adds both turns to the conversation.

        max_image_tokens: each picture, and each temporal step of a video, is resized to take at most so many.
        on_text: called with complete characters as they come. on_progress: with a stage and a fraction.
        generation: max_tokens (512), temperature (0: greedy), top_k, top_p, repetition_penalty, presence_penalty, seed,
        stop (texts that end the answer), prefill_chunk; what is not given is the checkpoint's.

        Interrupting, or raising in a callable, ends the work after its step and raises; what was answered until then
        stays in the conversation. After any other error the conversation is as before.
        """
        return self._talk.ask(_turn(text, images, videos, max_image_tokens), generation_options(generation), on_text, on_progress)

    @checked
    def tool_results(
        self, results: Sequence[str], *, on_text: Callable[[str], object] | None = None,
        on_progress: Callable[[str, float], object] | None = None, **generation: Any,
    ) -> Answer:
        """The results of the tools the model called in its last answer, in order, then the answer to them."""
        return self._talk.tool_results(listed("results", results, Sequence[str]), generation_options(generation), on_text, on_progress)

    @checked
    def save(self, path: Path) -> None:
        """Writes the turns and what was computed of them to a file, for Model.resume().

        The old file or the whole new one is there."""
        self._talk.save(path)


GENERATION_FIELDS = {
    "max_tokens": int, "temperature": float | None, "top_k": int | None, "top_p": float | None, "repetition_penalty": float | None,
    "presence_penalty": float, "seed": int | None, "stop": Sequence[str], "prefill_chunk": int}


def generation_options(fields: dict[str, Any]):
    options = _core.GenerationOptions()
    for name, value in fields.items():
        if name not in GENERATION_FIELDS:
            raise TypeError(f"{name}: unknown option, expected one of {', '.join(GENERATION_FIELDS)}")
        annotation = GENERATION_FIELDS[name]
        set_field(options, name, listed(name, value, annotation) if name == "stop" else value, annotation)
    return options
