"""Memory under one hard cap, and arrays from a pool."""
from __future__ import annotations

import operator
import sys
import weakref
from collections.abc import Iterable
from typing import Any, Sequence

from . import _core
from ._arguments import checked, listed, refusal
from ._core import SystemOptimizationConfig
from ._errors import LimitError, UsageError


def _checked_shape(shape) -> tuple[int, ...]:
    """A tuple of sizes, from one size or a sequence of them."""
    sizes = tuple(map(operator.index, listed("shape", shape if isinstance(shape, Iterable) else [shape], Sequence[int])))
    if any(size < 0 for size in sizes):
        raise refusal("shape", sizes, "sizes of 0 or more")
    return sizes


def _product(sizes) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total


def _is_torch(dtype) -> bool:
    return type(dtype).__module__.partition(".")[0] == "torch"


def _shaped(flat, sizes):
    """Of NumPy or torch, which tell how many dimensions they can have, and which sizes beside a 0."""
    try:
        return flat.reshape(sizes)
    except (ValueError, RuntimeError, OverflowError, TypeError):
        raise refusal("shape", sizes, "one that an array can have") from None


class MemoryManager:
    """One account of memory for this process with a hard cap, memory_limit_ratio of what the process may use, and a
    pool of blocks that are kept for reuse, at most memory_pool_size bytes. Thread-safe."""

    def __init__(self, config: SystemOptimizationConfig | None = None):
        """Raises LimitError where the program alone is above the cap."""
        self._memory = _core.Memory(config)
        self._tensors: dict[int, weakref.ref] = {}

    def get_memory_usage(self) -> dict[str, Any]:
        """rss and vms of this process, available and total of the machine in bytes, percent_used of the machine; None
        where the kernel does not tell."""
        return self._memory.usage()

    @checked
    def is_memory_available(self, bytes: int) -> bool:
        """Whether so many bytes fit below the cap, and the machine has them now."""
        if bytes < 0:
            raise UsageError(f"bytes: found {bytes}, expected 0 or more")
        return bytes <= sys.maxsize and self._memory.is_available(bytes)

    @checked
    def allocate_tensor(self, shape: int | Sequence[int], dtype: Any = "float32", device: Any = None) -> Any:
        """A NumPy array of this shape, C-contiguous and aligned to 64 bytes, whose memory comes from the pool and goes
        back to it when the last array that looks at it is gone. Contents are undefined, as with numpy.empty().

        With a dtype of torch it is a torch tensor; on a device other than the processor that is torch's own memory.
        Raises LimitError where it does not fit below the cap, UsageError for a bad shape, dtype or device.
        """
        sizes = _checked_shape(shape)
        if _is_torch(dtype):
            tensor = self._torch_tensor(sizes, dtype, device)
        elif device is None or str(device) == "cpu":
            tensor = self._numpy_array(sizes, dtype)
        else:
            raise UsageError(f"device: found {device!r}, expected None or 'cpu' for a NumPy array")
        self._remember(tensor)
        return tensor

    def release_tensor(self, tensor: Any) -> None:
        """Says that a tensor of allocate_tensor() is done with, and is an error for any other. Memory that something
        can still read is never handed out again: the block goes back as soon as no array looks at it."""
        reference = self._tensors.get(id(tensor))
        if reference is None or reference() is not tensor:
            raise UsageError("release_tensor: found an object that is no tensor of this manager, or was released before")
        del self._tensors[id(tensor)]

    def cleanup_memory(self) -> dict[str, Any]:
        """Gives what is kept for reuse, and what the heap holds, back to the system: cache_bytes, pool_bytes,
        heap_bytes, description."""
        return self._memory.cleanup()

    def get_memory_efficiency_report(self) -> dict[str, Any]:
        """memory_utilization (share of the cap that is held), available_memory_mb, total_memory_mb, rss_memory_mb (units
        of 2^20 bytes), tensor_pool_size (bytes kept), tensor_pool_hit_rate, tensor_pool (its counts), tensors_in_use,
        and the account: cap_bytes, held_bytes, peak_bytes, refusals, by_part."""
        report = self._memory.report()
        report["tensors_in_use"] = len(self._tensors)
        return report

    def _bytes(self, count: int):
        if count > sys.maxsize:
            raise LimitError(f"tensor: {count} bytes asked, more than a process can have")
        return self._memory.allocate(count)

    def _numpy_array(self, sizes, dtype):
        import numpy
        try:
            of = numpy.dtype(dtype)
        except TypeError as error:
            raise UsageError(f"dtype: found {dtype!r}, expected one of NumPy or torch") from error
        if of.hasobject:
            raise UsageError(f"dtype: found {of}, expected one without Python objects")
        count = _product(sizes) * of.itemsize
        block = self._bytes(count) if count else numpy.empty(0, numpy.uint8)
        return _shaped(block.view(of), sizes)

    def _torch_tensor(self, sizes, dtype, device):
        torch = sys.modules["torch"]
        if device is not None and torch.device(device).type != "cpu":
            return torch.empty(sizes, dtype=dtype, device=device)
        count = _product(sizes) * dtype.itemsize
        flat = torch.from_numpy(self._bytes(count)).view(dtype) if count else torch.empty(0, dtype=dtype)
        return _shaped(flat, sizes)

    def _remember(self, tensor):
        key, tensors = id(tensor), self._tensors
        tensors[key] = weakref.ref(tensor, lambda reference: tensors.pop(key, None))
