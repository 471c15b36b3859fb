"""Arguments of public functions, checked against their annotations before anything is done with them.

A wrong one is a UsageError of one line that names the argument, what was found and what was expected.
"""
from __future__ import annotations

import functools
import inspect
import operator
import os
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from ._errors import UsageError

Function = TypeVar("Function", bound=Callable)

_MOST_SHOWN = 60  # characters of a value in a message


@dataclass(frozen=True)
class Kind:
    """What an annotation stands for."""
    fits: Callable[[Any], bool]
    words: str
    item: Kind | None = None  # what each item of a list has to be


def shown(value: Any) -> str:
    """repr() on one line, and not endless."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "..."


def refusal(name: str, value: Any, expected: str) -> UsageError:
    return UsageError(f"{name}: found {shown(value)}, expected {expected}")


def is_text(value: Any) -> bool:
    """Whether it is a str that has a form in UTF-8: one with halves of characters (surrogates) has none."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _is_path(value: Any) -> bool:
    try:
        return isinstance(value, (str, os.PathLike)) and b"\0" not in os.fsencode(value)
    except (TypeError, UnicodeEncodeError):  # bytes in place of a text; halves of characters
        return False


def _is_integer(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and operator.index(value) is not None
    except TypeError:  # arrays of NumPy are integers for some shapes
        return False


def _is_number(value: Any) -> bool:
    return _is_integer(value) or (hasattr(type(value), "__float__") and not isinstance(value, bool))


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))


_SIMPLE = {
    str: Kind(is_text, "a text"), int: Kind(_is_integer, "an integer"), float: Kind(_is_number, "a number"),
    bool: Kind(lambda value: isinstance(value, bool), "True or False"), type(None): Kind(lambda value: value is None, "None")}
_PATH = Kind(_is_path, "a path")
_CALLABLE = Kind(callable, "a callable")


def _plural(words: str) -> str:
    return words.partition(" ")[2] + "s" if words.startswith(("a ", "an ")) else "items"


def _union(parts: tuple) -> Kind | None:
    if {str, os.PathLike} <= {get_origin(part) or part for part in parts}:
        parts = (_PATH, *(part for part in parts if part is not str and get_origin(part) is not os.PathLike))
    kinds = [part if isinstance(part, Kind) else kind_of(part) for part in parts]
    if None in kinds:
        return None
    items = [kind.item for kind in kinds if kind.item]
    return Kind(lambda value: any(kind.fits(value) for kind in kinds), " or ".join(kind.words for kind in kinds),
                items[0] if items else None)


@functools.cache
def kind_of(annotation: Any) -> Kind | None:
    """None where anything fits."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation in (Any, inspect.Parameter.empty) or isinstance(annotation, TypeVar):
        return None
    if annotation is None:
        return _SIMPLE[type(None)]
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    if origin is Literal:
        return Kind(lambda value: isinstance(value, str) and value in parts, f"one of {', '.join(parts)}")
    if origin in (Union, types.UnionType):
        return _union(parts)
    if origin is Callable:
        return _CALLABLE
    if origin in (Sequence, Iterable, list):
        item = kind_of(parts[0])
        return Kind(_is_list, f"a list of {_plural(item.words)}" if item else "a list", item)
    if origin is dict:
        return Kind(lambda value: isinstance(value, dict), "a dict")
    return Kind(lambda value: isinstance(value, annotation), f"a {annotation.__name__}")


def check(name: str, value: Any, kind: Kind | None) -> None:
    """Raises UsageError where `value` is not of the kind, or an item of a list is not."""
    if kind is None:
        return
    if not kind.fits(value):
        surrogates = isinstance(value, str) and not is_text(value)
        raise refusal(name, value, kind.words + (" without halves of characters (surrogates)" if surrogates else ""))
    if kind.item and isinstance(value, (list, tuple)):  # what can be looked at twice
        for index, item in enumerate(value):
            check(f"{name}[{index}]", item, kind.item)


def listed(name: str, value: Any, annotation: Any) -> list:
    """The items of a list, or of what can be looked at only once; UsageError where it is none, or an item is not of its kind."""
    kind = kind_of(annotation)
    check(name, value, kind)
    items = list(value)
    check(name, items, kind)
    return items


@functools.cache
def kinds_of(function: Callable) -> dict[str, Kind | None]:
    """Of its parameters, by their names."""
    function = inspect.unwrap(function)
    return {name: kind_of(eval(each.annotation, function.__globals__) if isinstance(each.annotation, str) else each.annotation)
            for name, each in inspect.signature(function).parameters.items()}


def checked(function: Function) -> Function:
    """The function, with its arguments checked at each call. Annotations are evaluated at the first: they may name what is
    defined further below."""
    parameters = inspect.signature(function).parameters.values()
    of_place = [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    by_name = {each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}

    @functools.wraps(function)
    def call(*args, **kwargs):
        kinds = kinds_of(function)
        for name, value in zip(of_place, args):
            check(name, value, kinds[name])
        for name in by_name & kwargs.keys():
            check(name, kwargs[name], kinds[name])
        return function(*args, **kwargs)
    return call


def out_of_range(name: str, value: Any, kind: Kind) -> UsageError:
    """For a value of the right kind that C++ does not take: a number beyond those it counts with."""
    return UsageError(f"{name}: found {shown(value)}, which is out of range, expected {kind.words}")


@contextmanager
def as_written(name: str, written: str) -> Iterator[None]:
    """Errors that leave the block call the argument `name` as its user does."""
    try:
        yield
    except UsageError as error:
        if not str(error).startswith(f"{name}: "):
            raise
        raise UsageError(written + str(error)[len(name):]) from None


def waiting_time(name: str, value: Any) -> float | None:
    """Seconds to wait at most, of a number or None; None: for ever, which all above what clocks count is (centuries).
    UsageError for what is negative or no number."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except OverflowError:  # an integer beyond all of float
        seconds = float("inf") if value > 0 else -1.0
    except (TypeError, ValueError):  # an array of several numbers
        raise refusal(name, value, "a number or None") from None
    if not seconds >= 0:  # NaN is neither
        raise refusal(name, value, "seconds of 0 or more, or None")
    return seconds if seconds < threading.TIMEOUT_MAX else None
