"""A figure with the interval that its number of questions leaves open, at 95 %. Pure.

Shares get Wilson's interval (1927), which holds for few questions and at 0 and 1 too; means a percentile bootstrap.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_Z = 1.959964
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured value, between which bounds it lies with 95 % certainty, and from how many cases."""

    value: float
    low: float
    high: float
    n: int


def share(hits: Sequence[bool]) -> Figure | None:
    """The share of true cases; None without any case."""
    n = len(hits)
    if not n:
        return None
    p = sum(hits) / n
    centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    return Figure(value=p, low=max(0.0, centre - half), high=min(1.0, centre + half), n=n)


def mean(values: Sequence[float]) -> Figure | None:
    """The mean; None without any value. The same values always give the same bounds."""
    if not values:
        return None
    drawn = np.random.default_rng(0).choice(np.asarray(values, dtype=float), size=(_RESAMPLES, len(values)))
    low, high = np.percentile(drawn.mean(axis=1), [2.5, 97.5])
    return Figure(value=float(np.mean(values)), low=float(low), high=float(high), n=len(values))


def sign_test(better: int, worse: int) -> float:
    """How likely so uneven a change is by chance alone, if it were as often for the better as for the worse
    (McNemar's exact test); 1 without any change."""
    n = better + worse
    tail: float = sum(math.comb(n, k) for k in range(min(better, worse) + 1)) / 2.0**n
    return min(1.0, 2 * tail)
