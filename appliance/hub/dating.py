"""When a record was made, as an interval that holds whatever the box's own clock says. Values in, values out.

Known for sure is only: a record was made before it arrived here; one that tells of a contact (``"event": "contact"``)
was made after the time that the hub had told; within one start of the box its monotonic clock runs true, but for the
drift of a cheap crystal; and a stream's records are in order. All else follows from these, in both directions.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

DRIFT = 200e-6
"""Parts by which the clock of a cheap board may run fast or slow."""
_ROUNDS = 3
_NEVER = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What the hub knows of one record's time. Milliseconds; the hub's are since 1970."""

    stream: str
    seq: int
    boot: int
    mono_ms: int
    received_ms: int
    told_ms: int | None
    """The hub's time that the record repeats, if it tells of a contact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The record was made from ``first_ms`` to ``last_ms``, both by the hub's clock."""

    first_ms: int | None
    """None where nothing bounds it: it may be as old as the box."""
    last_ms: int


def date(stamps: Sequence[Stamp]) -> dict[tuple[str, int], Made]:
    """The intervals of one box's records of one epoch, by stream and seq."""
    first = {(s.stream, s.seq): _NEVER if s.told_ms is None else float(s.told_ms) for s in stamps}
    last = {(s.stream, s.seq): float(s.received_ms) for s in stamps}
    boots, streams = defaultdict(list), defaultdict(list)
    for stamp in stamps:
        boots[stamp.boot].append(stamp)
        streams[stamp.stream].append(stamp)
    for _ in range(_ROUNDS):
        for group in boots.values():
            _same_clock(sorted(group, key=lambda stamp: stamp.mono_ms), first, last)
        for group in streams.values():
            _in_order(sorted(group, key=lambda stamp: stamp.seq), first, last)
    return {
        place: Made(first_ms=None if first[place] == _NEVER else int(first[place]), last_ms=round(last[place]))
        for place in first
    }


_Bounds = dict[tuple[str, int], float]


def _same_clock(group: Sequence[Stamp], first: _Bounds, last: _Bounds) -> None:
    """Each neighbour's interval, moved by what the clock ran between them, bounds the other's."""
    pairs = list(pairwise(group))
    for earlier, later in pairs:
        ran = later.mono_ms - earlier.mono_ms
        a, b = (earlier.stream, earlier.seq), (later.stream, later.seq)
        first[b] = max(first[b], first[a] + ran * (1 - DRIFT))
        last[b] = min(last[b], last[a] + ran * (1 + DRIFT))
    for earlier, later in reversed(pairs):
        ran = later.mono_ms - earlier.mono_ms
        a, b = (earlier.stream, earlier.seq), (later.stream, later.seq)
        first[a] = max(first[a], first[b] - ran * (1 + DRIFT))
        last[a] = min(last[a], last[b] - ran * (1 - DRIFT))


def _in_order(group: Sequence[Stamp], first: _Bounds, last: _Bounds) -> None:
    pairs = list(pairwise(group))
    for earlier, later in pairs:
        a, b = (earlier.stream, earlier.seq), (later.stream, later.seq)
        first[b] = max(first[b], first[a])
    for earlier, later in reversed(pairs):
        a, b = (earlier.stream, earlier.seq), (later.stream, later.seq)
        last[a] = min(last[a], last[b])


def epochs(rows: Iterable[tuple[int, Stamp]]) -> dict[int, dict[tuple[str, int], Made]]:
    """``date`` for each epoch of a box."""
    by_epoch = defaultdict(list)
    for epoch, stamp in rows:
        by_epoch[epoch].append(stamp)
    return {epoch: date(stamps) for epoch, stamps in by_epoch.items()}
