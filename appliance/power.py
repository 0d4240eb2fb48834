"""How much the box may do now: battery, heat and memory in, one of four modes out. Decides without I/O.

    normal   all there is
    saving   shorter answers, fewer at once
    low      a smaller model, or the documents alone
    pause    no new questions; the page says why

A stricter mode holds at once. A laxer one only follows when what was seen is better than its threshold by a margin, and
the stricter one has held for a while: a model that is let go and loaded again every minute spares nothing.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from appliance.config import PowerConfig


class Mode(IntEnum):
    """Stricter is greater."""

    NORMAL = 0
    SAVING = 1
    LOW = 2
    PAUSE = 3


BETTER_BATTERY, BETTER_CELSIUS, BETTER_PRESSURE = 5.0, 5.0, 0.5
"""By how much it must be better before a mode is left: percent of charge, degrees, and a share of the threshold."""
HOLD_S = 60.0
"""Seconds that a mode holds at least, before a laxer one."""


class Seen(Protocol):
    """What the machine tells; None is what it does not. ``metrics.Vitals`` is one."""

    @property
    def battery(self) -> float | None:
        """Percent of charge."""
        ...

    @property
    def charging(self) -> bool: ...

    @property
    def celsius(self) -> float | None: ...

    @property
    def memory_pressure(self) -> float | None:
        """Percent of the last ten seconds in which some program waited for memory."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The mode that holds, why, and since when."""

    mode: Mode = Mode.NORMAL
    cause: str = ""
    """``battery``, ``heat`` or ``memory``; empty in the normal mode."""
    since_s: float = 0.0
    """By the clock that ``stand`` is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What a mode means for the model."""

    slots: int
    """Questions answered at once."""
    max_tokens: int | None
    """Of an answer; None sets no limit of its own."""
    answers: bool
    """Whether the bundle's first model answers."""


def stand(before: Standing, seen: Seen, limits: PowerConfig, now_s: float) -> Standing:
    """The mode from now on.

    Args:
        now_s: seconds by a clock that never goes back.
    """
    mode, cause = _worst(seen, limits, eased=False)
    if mode > before.mode:
        return Standing(mode=mode, cause=cause, since_s=now_s)
    kept, kept_cause = _worst(seen, limits, eased=True)
    if kept >= before.mode or now_s - before.since_s < HOLD_S:
        return before
    return Standing(mode=kept, cause=kept_cause, since_s=now_s)


def measure(mode: Mode, *, slots: int, max_tokens: int) -> Measure:
    """What the mode means where the settings allow so many slots, and answers of so many tokens."""
    if mode is Mode.NORMAL:
        return Measure(slots=slots, max_tokens=None, answers=True)
    return Measure(
        slots=max(1, slots // 2 if mode is Mode.SAVING else 1),
        max_tokens=max(64, max_tokens // 2),
        answers=mode is Mode.SAVING,
    )


def _worst(seen: Seen, limits: PowerConfig, *, eased: bool) -> tuple[Mode, str]:
    """The strictest mode that anything asks for, and what.

    Args:
        eased: by the thresholds at which a mode is left, in place of those at which it begins.
    """
    asked = [(Mode.NORMAL, "")]
    if seen.battery is not None and not seen.charging:
        bounds = (limits.battery_saving, limits.battery_low, limits.battery_pause)
        better = BETTER_BATTERY if eased else 0.0
        asked.append((_mode([bool(b) and seen.battery < b + better for b in bounds]), "battery"))
    if seen.celsius is not None:
        bounds = (limits.celsius_saving, limits.celsius_low, limits.celsius_pause)
        better = BETTER_CELSIUS if eased else 0.0
        asked.append((_mode([bool(b) and seen.celsius >= b - better for b in bounds]), "heat"))
    if seen.memory_pressure is not None:
        bounds = (limits.memory_saving, limits.memory_low, limits.memory_pause)
        share = BETTER_PRESSURE if eased else 1.0
        asked.append((_mode([bool(b) and seen.memory_pressure >= b * share for b in bounds]), "memory"))
    mode, cause = max(asked, key=lambda one: one[0])
    return mode, cause if mode else ""


def _mode(beyond: list[bool]) -> Mode:
    """The strictest of saving, low and pause whose bound is passed."""
    return max((mode for mode, passed in zip(list(Mode)[1:], beyond, strict=True) if passed), default=Mode.NORMAL)
