"""Signatures of what the extension module shows to users: arguments are checked by them before C++ sees any.

Each class here lists methods of the class of C++ that has its name; what they do is told in _core.pyi.
"""
from __future__ import annotations

import functools
import inspect
import os
from typing import Any, Callable, Literal, Sequence

from . import _core
from ._arguments import checked, kinds_of, out_of_range

Path = str | os.PathLike[str]
ResourceKind = Literal["compute", "memory", "io", "gpu_memory"]


def hardware_info() -> dict[str, Any]:
    return _core.hardware_info()


class SystemOptimizationConfig:
    @staticmethod
    def for_this_machine(): ...
    @staticmethod
    def from_dict(values: dict[str, Any]): ...
    @staticmethod
    def from_json(text: str): ...
    @staticmethod
    def from_file(path: Path): ...
    @staticmethod
    def describe(): ...
    def to_dict(self): ...
    def to_json(self): ...
    def replace(self, **fields: Any): ...


class SystemProfiler:
    def start_profiling(self): ...
    def stop_profiling(self): ...
    def get_current_profile(self): ...
    def get_system_summary(self): ...
    def get_hardware_info(self): ...


class EnergyMeter:
    def advance(self): ...
    def joules(self): ...


class ResourceScheduler:
    def request_resources(self, kind: ResourceKind, amount: int, priority: int = 0): ...
    def allocate_resources(self): ...
    def release_resources(self, kind: ResourceKind, amount: int): ...
    def cancel_request(self, ticket: int): ...
    def get_resource_status(self): ...


class Tokenizer:
    def tokenize(self, text: str, control: Literal["spelled_out", "parsed"] = "spelled_out"): ...
    def detokenize(self, tokens: Sequence[int]): ...


def _called(native: Callable, signed: Callable) -> Callable:
    """`native`, called as `signed` says."""
    signature = inspect.signature(signed)

    @functools.wraps(signed)
    def call(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        try:
            return native(*bound.args, **bound.kwargs)
        except TypeError as error:
            if "incompatible function arguments" not in str(error):
                raise
        # Kinds fit, so a number does not. It is one of the last: texts and choices stand first.
        name, value = next((name, value) for name, value in reversed(bound.arguments.items()) if name != "self")
        raise out_of_range(name, value, kinds_of(signed)[name])
    return call


def _sign(listed: type) -> None:
    """Gives methods of a class of C++ the signatures listed."""
    owner = getattr(_core, listed.__name__)
    for name, function in vars(listed).items():
        if name.startswith("__"):
            continue
        static = isinstance(function, staticmethod)
        signed = function.__func__ if static else function
        native = getattr(owner, name)
        call = checked(_called(native, signed))
        call.__module__, call.__qualname__, call.__doc__ = "qvl", f"{owner.__name__}.{name}", native.__doc__
        setattr(owner, name, staticmethod(call) if static else call)


for _listed in (SystemOptimizationConfig, SystemProfiler, EnergyMeter, ResourceScheduler, Tokenizer):
    _sign(_listed)
