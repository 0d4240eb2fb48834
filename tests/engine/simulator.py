"""A deterministic box: requests arrive, the scheduler plans, time passes as a cost curve says. No clock, no model."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from appliance.engine import schedule
from appliance.engine.cost import CostCurve

CURVE = CostCurve(
    seconds={
        1: 0.027,
        2: 0.055,
        4: 0.069,
        7: 0.098,
        8: 0.083,
        15: 0.126,
        16: 0.094,
        24: 0.13,
        32: 0.16,
        40: 0.185,
        48: 0.21,
        64: 0.25,
        128: 0.42,
    }
)
"""As measured on two cores with a 0.5B model in Q4_K_M."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A request to come."""

    at: float
    user: str = ""
    adapter: str | None = None
    prompt: int = 100
    answer: int = 20


@dataclass(slots=True, kw_only=True, eq=False)
class Life:
    """What became of one request."""

    arrival: Arrival
    key: int
    began: float = -1.0
    read: int = 0
    written: int = 0
    tokens_at: list[float] = field(default_factory=list)

    @property
    def over(self) -> bool:
        return self.written >= self.arrival.answer

    @property
    def first(self) -> float:
        """Seconds from arrival to the first token."""
        return self.tokens_at[0] - self.arrival.at

    @property
    def gaps(self) -> list[float]:
        return [b - a for a, b in zip(self.tokens_at, self.tokens_at[1:], strict=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One decode batch as it was planned."""

    plan: schedule.Plan
    running: tuple[schedule.Running, ...]
    began: float
    seconds: float


def simulate(
    arrivals: Sequence[Arrival],
    room: schedule.Room,
    limits: schedule.Limits,
    curve: CostCurve = CURVE,
    *,
    steps: int = 100_000,
) -> tuple[list[Life], list[Step]]:
    """Run until all are answered; fails when that takes more than ``steps``."""
    lives = [Life(arrival=a, key=key) for key, a in enumerate(sorted(arrivals, key=lambda a: a.at))]
    waiting: list[Life] = []
    running: dict[int, Life] = {}
    coming = list(lives)
    fairness, turns, now, history = schedule.Fairness(), schedule.Turns(), 0.0, []
    for _ in range(steps):
        while coming and coming[0].arrival.at <= now:
            waiting.append(coming.pop(0))
        if not waiting and not running:
            if not coming:
                return lives, history
            now = coming[0].arrival.at
            continue
        keys, fairness = schedule.admit(
            [_waiting(one) for one in waiting], [_running(one) for one in running.values()], fairness, room
        )
        for key in keys:
            one = next(w for w in waiting if w.key == key)
            waiting.remove(one)
            one.began = now
            running[key] = one
        present = tuple(_running(one) for one in running.values())
        planned = schedule.plan(present, turns, curve, limits)
        assert planned is not None
        plan, turns = planned
        seconds = curve.at(plan.tokens + plan.padding)
        history.append(Step(plan=plan, running=present, began=now, seconds=seconds))
        now += seconds
        for key, count in plan.shares:
            _advance(running[key], count, now)
            if running[key].over:
                del running[key]
    raise AssertionError(f"not all were answered within {steps} steps")


def _advance(one: Life, count: int, now: float) -> None:
    if one.read < one.arrival.prompt:
        one.read += count
        assert one.read <= one.arrival.prompt
        if one.read < one.arrival.prompt:
            return
    one.written += 1
    one.tokens_at.append(now)


def _waiting(one: Life) -> schedule.Waiting:
    a = one.arrival
    return schedule.Waiting(key=one.key, user=a.user, adapter=a.adapter, cells=a.prompt + a.answer)


def _running(one: Life) -> schedule.Running:
    a = one.arrival
    left = a.prompt - one.read
    return schedule.Running(
        key=one.key, user=a.user, adapter=a.adapter, cells=a.prompt + a.answer, due=left or 1, writing=not left
    )


ROOM = schedule.Room(sequences=8, cells=16384, adapter_bytes=100, adapters={"a": 40, "b": 40, "c": 40})
LIMITS = schedule.Limits(batch=128, chunk=40)
SMALL = replace(ROOM, sequences=3, cells=500)
