"""Pictures that are no files: each becomes a file in memory, for as long as its request runs."""
from __future__ import annotations

import os
import struct
import sys
import zlib
from contextlib import contextmanager
from typing import Any, Iterator, Sequence

from ._arguments import check, kind_of
from ._errors import MediaError, UsageError

_KINDS = {3: 2, 4: 6}  # channels: colour type of PNG


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _png(pixels) -> bytes:
    """A PNG file of uint8 [height, width, 3 or 4], not compressed: it is read once, from memory."""
    import numpy
    height, width, channels = pixels.shape
    rows = numpy.zeros((height, 1 + width * channels), numpy.uint8)  # each begins with its filter, none
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, _KINDS[channels], 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows.tobytes(), 0))
            + _chunk(b"IEND", b""))


def _is_pil(value) -> bool:
    return "PIL.Image" in sys.modules and isinstance(value, sys.modules["PIL.Image"].Image)


def _encoded(name: str, value) -> bytes:
    """The bytes of a picture's file; UsageError for what is no picture."""
    import numpy
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    pixels = numpy.asarray(value.convert("RGB")) if _is_pil(value) else value
    if not isinstance(pixels, numpy.ndarray):
        raise UsageError(f"{name}: found {type(value).__name__}, expected a path, the bytes of a file, a picture of PIL or "
                         "an array of NumPy")
    if pixels.dtype != numpy.uint8 or pixels.ndim != 3 or pixels.shape[2] not in _KINDS or 0 in pixels.shape:
        raise UsageError(f"{name}: found an array of {pixels.dtype} {list(pixels.shape)}, expected uint8 [height, width, 3 or 4]")
    return _png(pixels)


class Pictures:
    """Paths for the pictures of a request; those that are no files lie in memory as long as this object lives."""

    def __init__(self, images: Sequence[Any]):
        self._files: list[int] = []
        self.names: dict[str, str] = {}  # places in the request of those that are no files, by path
        if isinstance(images, (str, bytes, os.PathLike)) or _is_pil(images):
            raise UsageError("images: found one picture, expected a list of them")
        check("images", images, kind_of(Sequence[Any]))
        self.paths = [self._path(f"images[{index}]", image) for index, image in enumerate(images)]

    def _path(self, name, image):
        if isinstance(image, (str, os.PathLike)):
            check(name, image, kind_of(str | os.PathLike[str]))
            return os.fspath(image)
        data = _encoded(name, image)
        file = os.memfd_create(name, os.MFD_CLOEXEC)
        self._files.append(file)
        with open(file, "wb", closefd=False) as stream:
            stream.write(data)
        path = f"/proc/self/fd/{file}"
        self.names[path] = name
        return path

    @contextmanager
    def names_in_errors(self) -> Iterator[None]:
        """Errors that leave the block name pictures by their places."""
        try:
            yield
        except (MediaError, UsageError) as error:
            raise type(error)(self.named(str(error))) from None

    def named(self, message: str) -> str:
        """A message about a picture that is no file, with its place in the request for its path."""
        path, colon, rest = message.partition(":")
        return self.names.get(path, path) + colon + rest

    def __del__(self):
        for file in self._files:
            os.close(file)
