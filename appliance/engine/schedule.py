"""Who is served next, and what the next decode batch holds. Pure functions: what there is comes in, a plan goes out.

Two decisions, made anew for every step:

    admit   which waiting requests begin: users in turn, as long as sequences, memory and adapters suffice
    plan    the next decode batch: one adapter's sequences; each that writes gets its token, then prompts are read in
            the order they came, in chunks that keep the others' next token from being late; then filled up to a size
            that costs less

Fairness between users is fair queueing (Demers, Keshav and Shenker 1989) by admission: each user has a level, the
tokens it was admitted with; the lowest level is served first, and who comes, or comes back, starts at a floor that
rises with the work done, not at zero.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from appliance.engine.cost import CostCurve


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A request that has not begun."""

    key: int
    """Keys are given out in the order of arrival."""
    user: str
    adapter: str | None
    cells: int
    """Tokens it may come to hold: its prompt and its longest answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A request that has a sequence."""

    key: int
    user: str
    adapter: str | None
    cells: int
    due: int
    """Tokens to decode next, at least 1: of the prompt up to its next boundary, or of the answer."""
    writing: bool
    """Whether its prompt is read, so that a person waits for its next token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What all running requests share."""

    sequences: int
    cells: int
    adapter_bytes: int
    """Memory for adapters; a single one may be greater."""
    adapters: Mapping[str, int] = field(default_factory=dict)
    """Bytes of each adapter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """Levels of the users that are ahead of ``floor``; all others stand at it."""

    floor: int = 0
    levels: Mapping[str, int] = field(default_factory=dict)

    def level(self, user: str) -> int:
        return max(self.floor, self.levels.get(user, 0))

    def charged(self, user: str, tokens: int, *, among: int) -> "Fairness":
        """After ``user``, who was next, was admitted with so many tokens while ``among`` users wanted something.

        The floor rises by each one's share of the work, so that a stream of new users, all of whom begin at the
        floor, comes up to whoever is ahead of it.
        """
        level = self.level(user)
        floor = level if among == 1 else self.floor + max(1, tokens // among)
        levels = {**self.levels, user: level + tokens}
        return Fairness(floor=floor, levels={name: at for name, at in levels.items() if at > floor})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of a decode batch, in tokens."""

    batch: int
    """At most so many."""
    chunk: int
    """Of prompts, at most so many while somebody's answer is being written, and what fills up to a cheap size."""
    fill: int = 16
    """Filled up to at most so many."""
    mixed: bool = True
    """Whether one batch may read prompts and write answers. Recurrent models take such a batch apart again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The next decode batch."""

    adapter: str | None
    shares: tuple[tuple[int, int], ...]
    """Key and number of its due tokens, in the batch's order."""
    padding: int = 0
    """Throw-away tokens that make it cheaper."""

    @property
    def tokens(self) -> int:
        return sum(count for _, count in self.shares)


def line(waiting: Iterable[Waiting], running: Iterable[Running], fairness: Fairness) -> tuple[Waiting, ...]:
    """The waiting requests in the order in which they will begin, if nobody comes and nobody ends.

    First who has the fewest running, then the lowest level, then who came first.
    """
    left = sorted(waiting, key=lambda w: w.key)
    busy = Counter(one.user for one in running)
    among = len({one.user for one in left} | set(busy))
    ordered = []
    while left:
        first: dict[str, Waiting] = {}
        for one in left:  # of each user only the oldest stands in line
            first.setdefault(one.user, one)
        chosen = min(first.values(), key=lambda w: (busy[w.user], fairness.level(w.user), w.key))
        left.remove(chosen)
        busy[chosen.user] += 1
        fairness = fairness.charged(chosen.user, chosen.cells, among=among)
        ordered.append(chosen)
    return tuple(ordered)


def admit(
    waiting: Iterable[Waiting], running: Sequence[Running], fairness: Fairness, room: Room
) -> tuple[tuple[int, ...], Fairness]:
    """Keys of the requests that begin now, and the levels after.

    The first in line that does not fit holds up those behind it: otherwise small requests would keep a big one
    waiting for ever. One that fits into the empty room is admitted in the end, since nothing runs for ever.
    """
    admitted: list[int] = []
    present = list(running)
    waiting = tuple(waiting)
    among = len({one.user for one in waiting} | {one.user for one in running})
    for one in line(waiting, running, fairness):
        if len(present) >= room.sequences or sum(r.cells for r in present) + one.cells > room.cells:
            break
        if not _adapters_fit({r.adapter for r in present}, one.adapter, room):
            break
        admitted.append(one.key)
        present.append(Running(key=one.key, user=one.user, adapter=one.adapter, cells=one.cells, due=1, writing=False))
        fairness = fairness.charged(one.user, one.cells, among=among)
    return tuple(admitted), fairness


def _adapters_fit(present: set[str | None], wanted: str | None, room: Room) -> bool:
    loaded = {name for name in present if name is not None}
    if wanted is None or wanted in loaded:
        return True
    return not loaded or sum(room.adapters.get(name, 0) for name in (*loaded, wanted)) <= room.adapter_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Whose turn it was: the step in which each adapter was last served.

    None is forgotten when nobody wants it for a while: it would go before all others whenever it comes back.
    """

    step: int = 0
    served: Mapping[str | None, int] = field(default_factory=dict)
    read: bool = False
    """Whether the last step read prompts; only looked at where batches are not mixed."""

    def after(self, plan: Plan, *, read: bool) -> "Turns":
        step = self.step + 1
        return replace(self, step=step, served={**self.served, plan.adapter: step}, read=read)


def plan(running: Sequence[Running], turns: Turns, curve: CostCurve, limits: Limits) -> tuple[Plan, Turns] | None:
    """The next decode batch and whose turn it was then; None when nothing runs.

    Args:
        running: in the order of admission.
    """
    if not running:
        return None
    # One decode carries one adapter: the one that waits longest is next.
    waits = {one.adapter: turns.served.get(one.adapter, 0) for one in reversed(running)}
    adapter = min(reversed(waits), key=lambda name: waits[name])
    group = [one for one in running if one.adapter == adapter]
    writers = [one for one in group if one.writing]
    readers = [one for one in group if not one.writing]
    if not limits.mixed and writers and readers:
        writers, readers = (writers, []) if turns.read else ([], readers[:1])
    elif not limits.mixed:
        readers = readers[:1]

    shares = []
    left = limits.batch
    for one in writers:
        if left:
            shares.append((one.key, min(one.due, left)))
            left -= shares[-1][1]
    used = limits.batch - left
    if any(one.writing for one in running):
        most = min(curve.fill(used, limits.fill) + limits.chunk, limits.batch)
        left = min(left, curve.best(used + 1, most) - used)
    for one in readers:
        if left > 0:
            shares.append((one.key, min(one.due, left)))
            left -= shares[-1][1]
    chosen = Plan(adapter=adapter, shares=tuple(shares))
    total = chosen.tokens
    filled = curve.fill(total, min(limits.fill, limits.batch))
    chosen = replace(chosen, padding=filled - total)
    return chosen, turns.after(chosen, read=bool(readers))
