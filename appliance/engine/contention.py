"""How a worker's threads had better wait for each other: chosen by what they themselves waited for a processor.

Threads that spin give half as many tokens again on a quiet machine; beside one busy neighbour they bring a model to a
halt. OpenMP reads its variables when it is loaded, so another way of waiting needs another process.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

Policy = Literal["spin", "sleep"]

SLEEP_FROM = 0.15
"""Share of the time in which a thread that could run had no processor, from which on threads had better sleep."""
SPIN_BELOW = 0.03
HOLD_S = 60.0
"""Seconds that threads sleep at least before they spin again: replaced for every gust, a process serves nobody."""
LEAST_S = 0.5
"""Seconds of a worker's time below which nothing is known of it."""
_PRESSED = 5.0
"""Percent of the last ten seconds in which something waited for a processor, before there is a worker to look at."""


def choose(share: float, before: Policy) -> Policy:
    """How to wait from now on; between the two bounds, as before."""
    if share >= SLEEP_FROM:
        return "sleep"
    return "spin" if share <= SPIN_BELOW else before


def variables(waiting: Policy) -> dict[str, str]:
    """For the environment of a worker that waits like this."""
    return {"OMP_WAIT_POLICY": "passive"} if waiting == "sleep" else {"GOMP_SPINCOUNT": "2000"}


def first(pressure: Path = Path("/proc/pressure/cpu")) -> Policy:
    """How a first worker waits: by whether others want the processors too; ``sleep`` when the kernel does not tell."""
    try:
        some = pressure.read_text().split()
        return "sleep" if float(some[1].removeprefix("avg10=")) > _PRESSED else "spin"
    except (OSError, IndexError, ValueError):
        return "sleep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Of a process's threads, added up since they began, in seconds."""

    ran: float
    waited: float
    """Could have run, and had no processor."""

    @classmethod
    def of(cls, pid: int, proc: Path = Path("/proc")) -> Self | None:
        """Read them; None where there is no such process or its kernel does not tell."""
        ran = waited = 0
        try:
            for thread in (proc / str(pid) / "task").iterdir():
                told = (thread / "schedstat").read_text().split()
                ran, waited = ran + int(told[0]), waited + int(told[1])
        except (OSError, IndexError, ValueError):
            return None
        return cls(ran=ran / 1e9, waited=waited / 1e9)

    def share_since(self, before: "Times | None") -> float | None:
        """The share that was waited since ``before``; None where too little happened to tell."""
        ran = self.ran - (before.ran if before else 0.0)
        waited = self.waited - (before.waited if before else 0.0)
        return waited / (ran + waited) if ran + waited >= LEAST_S else None


class Choice:
    """How one worker's threads wait, and how they had better."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self.way: Policy = first()
        """Of the process that runs, or is started next."""
        self.better: Policy = self.way
        self._before: Times | None = None
        self._since = time.monotonic()

    def look(self, pid: int, hold_s: float = HOLD_S) -> None:
        """See what the worker's threads waited since the last look."""
        now = Times.of(pid, self._proc)
        share = None if now is None else now.share_since(self._before)
        if share is not None:
            self._before = now
            better = choose(share, self.way)
            self.better = better if better == "sleep" or time.monotonic() - self._since >= hold_s else self.way

    def begin(self) -> None:
        """Another process begins, in the better way."""
        self.way, self._before, self._since = self.better, None, time.monotonic()
