"""How long something took, many times over, in bounded memory."""
from __future__ import annotations

import math
from typing import Any

_SUB_BITS = 4  # 16 buckets for each power of two, as those of checkpoints


def _bucket(ns: int) -> tuple[int, int]:
    """The least duration of the bucket that `ns` is in, and that of the next one."""
    shift = max(ns.bit_length() - 1 - _SUB_BITS, 0)
    first = ns >> shift << shift
    return first, first + (1 << shift)


class Durations:
    """A histogram of durations: percentiles are within 3.2 % of one that was added, the rest is exact. Not thread-safe."""

    def __init__(self):
        self.count, self.sum, self.least, self.most = 0, 0.0, 0.0, 0.0  # seconds
        self._buckets: dict[tuple[int, int], int] = {}

    def add(self, seconds: float) -> None:
        self.least = min(self.least, seconds) if self.count else seconds
        self.most = max(self.most, seconds)
        self.count, self.sum = self.count + 1, self.sum + seconds
        bucket = _bucket(round(seconds * 1e9))
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1

    @property
    def mean(self) -> float:
        return self.sum / self.count if self.count else 0.0

    def percentile(self, share: float) -> float:
        """The duration of rank ceil(share * count), in seconds; 0 where there is none."""
        rank, seen = math.ceil(share * self.count), 0
        for (first, following), count in sorted(self._buckets.items()):
            seen += count
            if seen >= rank:
                return min(max((first + (following - 1 - first) // 2) / 1e9, self.least), self.most)
        return 0.0

    def stage(self) -> dict[str, Any]:
        """As a stage of a checkpoint's metrics."""
        return {"count": self.count, "mean_ms": self.mean * 1e3, "p50_ms": self.percentile(0.5) * 1e3,
                "p90_ms": self.percentile(0.9) * 1e3, "p99_ms": self.percentile(0.99) * 1e3, "max_ms": self.most * 1e3,
                "histogram": [{"from_ms": first / 1e6, "below_ms": following / 1e6, "count": count}
                              for (first, following), count in sorted(self._buckets.items())]}
