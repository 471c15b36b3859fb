"""The threads of torch, which belong to the whole process, held to less for as long as somebody computes."""
from __future__ import annotations

import sys
import threading
from collections import Counter
from contextlib import contextmanager
from typing import Iterator


class _TorchThreads:
    """Those that compute at the same time share the least of their limits; the last one puts back what was there before the
    first. Thread-safe."""

    def __init__(self):
        self._lock = threading.Lock()
        self._limits: Counter[int] = Counter()  # of those that compute now
        self._before = 0  # threads before the first of them
        # torch over OpenMP keeps a number for each thread as well: what one of ours was left at, which nobody asked for.
        self._left = threading.local()

    @contextmanager
    def at_most(self, threads: int) -> Iterator[None]:
        torch = sys.modules.get("torch")
        if torch is None:
            yield
            return
        with self._lock:
            found = torch.get_num_threads()
            if not self._limits and found != getattr(self._left, "at", None):
                self._before = found
            self._limits[threads] += 1
            self._follow(torch, found)
        try:
            yield
        finally:
            with self._lock:
                self._limits -= Counter((threads,))
                self._follow(torch, torch.get_num_threads())
                self._left.at = torch.get_num_threads() if self._limits else None

    def _follow(self, torch, found):
        wanted = min(self._before, *self._limits) if self._limits else self._before
        if found != wanted:
            torch.set_num_threads(wanted)


torch_threads = _TorchThreads()
