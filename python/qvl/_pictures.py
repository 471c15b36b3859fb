"""Pictures of a request: paths, and what lies in memory, which is borrowed and not copied."""
from __future__ import annotations

import os
import sys
from typing import Any, Sequence

from . import _core
from ._arguments import check, kind_of, shown
from ._errors import LimitError, MediaError, UsageError


def _is_pil(value) -> bool:
    return "PIL.Image" in sys.modules and isinstance(value, sys.modules["PIL.Image"].Image)


class _RowsOfPil:
    """The pixels of a picture of PIL, which has no form of them that could be borrowed: some rows at a time."""

    def __init__(self, image):
        self._image, self._size = image, image.size

    def __call__(self, first: int, count: int) -> bytes:
        if self._image.size != self._size:
            raise ValueError(f"{self._image.size} pixels instead of {self._size}")
        rows = self._image.crop((0, first, self._size[0], first + count))
        return (rows if rows.mode == "RGB" else rows.convert("RGB")).tobytes()


def _of_pil(name: str, image) -> _core.Picture:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):  # PIL makes white of what is above 255
        raise UsageError(f"{name}: found a picture of PIL in mode {image.mode}, expected 8 bits a sample: scale it, or give its file")
    picture = _core.Picture.of_rows(name, *image.size, _RowsOfPil(image))
    try:
        image.load()  # of a file that was only opened; not by two threads at once
    except MemoryError:
        raise LimitError(f"{name}: not enough memory to read this picture of PIL") from None
    except Exception as error:
        raise MediaError(f"{name}: its pixels cannot be read: found {shown(error)}") from error
    return picture


def _of_array(name: str, value) -> _core.Picture:
    import numpy
    if not isinstance(value, numpy.ndarray):
        raise UsageError(f"{name}: found {type(value).__name__}, expected a path, the bytes of a file, a picture of PIL or "
                         "an array of NumPy")
    if value.dtype != numpy.uint8 or value.ndim != 3 or value.shape[2] not in (3, 4) or 0 in value.shape:
        raise UsageError(f"{name}: found an array of {value.dtype} {list(value.shape)}, expected uint8 [height, width, 3 or 4]")
    return _core.Picture.of_array(name, value)


def _picture(name: str, value) -> _core.Picture:
    if isinstance(value, (str, os.PathLike)):
        check(name, value, kind_of(str | os.PathLike[str]))
        return _core.Picture(os.fspath(value))
    if isinstance(value, memoryview) and not value.c_contiguous:
        raise UsageError(f"{name}: found a memoryview with gaps, expected one that is contiguous")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _core.Picture.of_file(name, value)
    return _of_pil(name, value) if _is_pil(value) else _of_array(name, value)


def pictures_of(images: Sequence[Any]) -> list[_core.Picture]:
    """The pictures of a list, judged but not read; UsageError for what is none, MediaError and LimitError for sizes that
    files may not have. Those that are no files are "images[0]" and so on in messages and reports."""
    if isinstance(images, (str, bytes, os.PathLike)) or _is_pil(images):
        raise UsageError("images: found one picture, expected a list of them")
    check("images", images, kind_of(Sequence[Any]))
    return [_picture(f"images[{index}]", image) for index, image in enumerate(images)]
