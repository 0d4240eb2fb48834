"""How long the next try to sign in has to wait: counts failures and knows no wall clock.

Counts of people are kept in the accounts' file, so a restart does not give new tries; waits are measured by the
monotonic clock and begin anew, whole, with a restart. So a clock that jumps neither opens nor closes anything.
"""

import time
from collections.abc import Callable

FREE_TRIES = 5
LONGEST_WAIT_S = 900.0
CLOSED_AFTER = 100
"""Wrong tries in a row; then somebody with rights has to open the name again."""
MOST_NAMES = 10_000
"""Names that are nobody's and are remembered, so that they look like others to whoever guesses."""


def wait_after(failures: int) -> float:
    """Seconds that the next try waits after so many wrong ones in a row: 1, 2, 4 ... from the fifth on."""
    return min(LONGEST_WAIT_S, 2.0 ** min(failures - FREE_TRIES, 20)) if failures >= FREE_TRIES else 0.0


class Brake:
    """Waits by name. Not thread-safe: its owner has a lock."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._strangers: dict[str, int] = {}

    def wait_s(self, name: str, failures: int) -> float:
        """Seconds until the next try under ``name`` is looked at; 0 when it is free."""
        if name not in self._until:  # since the last start nobody tried: the wait is owed in full
            self._until[name] = self._clock() + wait_after(failures)
            self._trim()
        return max(0.0, self._until[name] - self._clock())

    def count(self, name: str, failures: int) -> None:
        """One more wrong try; there are ``failures`` in a row now."""
        self._until[name] = self._clock() + wait_after(failures)
        self._trim()

    def free(self, name: str) -> None:
        """The right one came, or somebody with rights opened the name."""
        self._until.pop(name, None)
        self._strangers.pop(name, None)

    def strangers(self, name: str, more: int = 0) -> int:
        """Wrong tries under a name that is nobody's."""
        if more:
            self._strangers[name] = self._strangers.get(name, 0) + more
        return self._strangers.get(name, 0)

    def _trim(self) -> None:
        while len(self._until) > MOST_NAMES:
            oldest = next(iter(self._until))
            self._until.pop(oldest)
            self._strangers.pop(oldest, None)
