"""What a decode step costs by its number of tokens: measured once per model and processor, kept, never assumed.

The curve is not monotonic: on one machine 15 tokens take 126 ms and 16 take 85, because the kernels work on tiles. So
a step is filled up to a size that costs less, with throw-away tokens if there is nothing better.
"""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

SIZES: tuple[int, ...] = (*range(1, 17), 20, 24, 32, 40, 48, 64, 128)
"""Where the curve is measured."""
ROUNDS = 3
"""Measurements of each size; the quickest counts, because the machine may be busy with something else meanwhile."""
_WORTH = 0.97


@dataclass(frozen=True, slots=True, kw_only=True)
class CostCurve:
    """Seconds a decode step takes, by tokens. Unmeasured, it says that a token costs as much as any other."""

    seconds: Mapping[int, float]

    @classmethod
    def unmeasured(cls) -> Self:
        return cls(seconds={})

    @classmethod
    def of(cls, measured: Mapping[int, Sequence[float]]) -> Self:
        return cls(seconds={size: min(times) for size, times in measured.items() if times})

    def at(self, size: int) -> float:
        """Seconds for ``size`` tokens: measured, or on the line between its neighbours."""
        if size <= 0 or not self.seconds:
            return float(max(size, 0))
        sizes = sorted(self.seconds)
        place = bisect.bisect_left(sizes, size)
        if place == len(sizes):
            return self.seconds[sizes[-1]] * size / sizes[-1]
        after = sizes[place]
        if after == size or place == 0:
            return self.seconds[after]
        before = sizes[place - 1]
        part = (size - before) / (after - before)
        return self.seconds[before] + part * (self.seconds[after] - self.seconds[before])

    def fill(self, size: int, most: int) -> int:
        """The number of tokens, from ``size`` to ``most``, that takes least; ``size`` itself unless another is
        clearly quicker. One token is never filled up: nothing does less work."""
        options = [s for s in self.seconds if size < s <= most] if size > 1 else []
        best = min(options, key=lambda s: (self.at(s), s), default=size)
        return best if self.at(best) < self.at(size) * _WORTH else size

    def best(self, least: int, most: int) -> int:
        """The number of tokens, from ``least`` to ``most``, at which a token is cheapest; of equals the greatest.

        Only measured numbers count, if there are any: between two of them the cost is not a line but a saw.
        """
        options = [s for s in self.seconds if least <= s <= most]
        return max(options, key=lambda s: (s / self.at(s), s), default=most)

    def within(self, seconds: float, sizes: Sequence[int]) -> int:
        """The greatest of ``sizes`` that takes at most so long; the smallest when none does or nothing is measured."""
        if not self.seconds:
            return min(sizes)
        return max((s for s in sizes if self.at(s) <= seconds), default=min(sizes))
