"""What was read before: states of sequences, found again by the longest beginning that a new prompt shares.

A state is saved whole, at a boundary, and restored whole; only where the model's memory allows it is a restored state
cut back to what really matches. So it works for recurrent models too, of whose state no part can be taken back.

Two kinds are kept. What is nobody's own (instructions, passages) serves everybody and is given to the ``Spill``, which
keeps it over a restart. What one user said and was answered serves that user only, and never leaves memory.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from appliance.engine.reading import LEAST


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Saved:
    """A state and the tokens that led to it."""

    adapter: str | None
    owner: str | None
    """The user whose words are in it; None when they are nobody's own."""
    tokens: NDArray[np.int32]
    state: bytes

    @property
    def size(self) -> int:
        return len(self.state) + self.tokens.nbytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """One state that the spill holds."""

    adapter: str | None
    tokens: NDArray[np.int32]
    load: Callable[[], bytes | None]
    """Reads the state; None when it is gone or damaged."""


class Spill(Protocol):
    """Where shareable states outlive the process; see ``appliance.engine.spill``."""

    def stored(self) -> Sequence[Stored]: ...

    def keep(self, saved: Saved) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A state to restore."""

    state: bytes
    tokens: int
    """How many first tokens of the prompt it saves reading."""
    whole: bool
    """Whether it holds exactly these tokens; otherwise it must be cut back to them."""


class PrefixCache:
    """The states in memory, least recently used ones going first, and the spill behind."""

    def __init__(self, budget: int, *, cut: bool, spill: Spill | None = None) -> None:
        """Begin empty.

        Args:
            budget: bytes that all states together may take; 0 keeps none.
            cut: whether a restored state can be cut back.
        """
        self._budget = budget
        self._cut = cut
        self._spill = spill
        self._saved: OrderedDict[int, Saved] = OrderedDict()
        self._count = 0
        self.bytes = 0

    def find(
        self, tokens: Sequence[int], *, adapter: str | None, user: str, only_at: Sequence[int] | None = None
    ) -> Found | None:
        """The state that saves most of reading ``tokens``; at least one token is always left to read.

        Args:
            only_at: accept whole states of these lengths alone.
        """
        prompt = np.asarray(tokens, np.int32)
        best: tuple[int, int] | None = None
        for number, saved in self._saved.items():
            if saved.adapter == adapter and saved.owner in (None, user):
                usable = self._usable(prompt, saved.tokens, only_at)
                if usable and (best is None or usable > best[0]):
                    best = (usable, number)
        from_disk = None
        for stored in self._spill.stored() if self._spill else ():
            if stored.adapter == adapter:
                usable = self._usable(prompt, stored.tokens, only_at)
                if usable and (best is None or usable > best[0]):
                    best, from_disk = (usable, -1), stored
        if best is None:
            return None
        if from_disk is not None:
            state = from_disk.load()
            if state is None:
                return self.find(tokens, adapter=adapter, user=user, only_at=only_at)
            saved = Saved(adapter=adapter, owner=None, tokens=from_disk.tokens, state=state)
            self._put(saved)
        else:
            self._saved.move_to_end(best[1])
            saved = self._saved[best[1]]
        return Found(state=saved.state, tokens=best[0], whole=best[0] == saved.tokens.size)

    def holds(self, tokens: Sequence[int], *, adapter: str | None, owner: str | None) -> bool:
        """Whether exactly this is saved, so that saving it again would be for nothing."""
        wanted = np.asarray(tokens, np.int32)
        return any(
            saved.adapter == adapter and saved.owner == owner and np.array_equal(saved.tokens, wanted)
            for saved in self._saved.values()
        )

    def worth(self, tokens: int) -> bool:
        """Whether a state of so many tokens would be kept."""
        return self._budget > 0 and tokens >= LEAST

    def save(self, saved: Saved) -> None:
        """Keep a state, and let go of what it makes needless or what is used least."""
        if not self.worth(saved.tokens.size) or saved.size > self._budget:
            return
        if saved.owner is None and self._spill is not None:
            self._spill.keep(saved)
        if self._cut and saved.owner is not None:
            # A longer one of the same user serves wherever the shorter did.
            for number in [n for n, old in self._saved.items() if _continues(saved, old)]:
                self.bytes -= self._saved.pop(number).size
        self._put(saved)

    def _put(self, saved: Saved) -> None:
        self._count += 1
        self._saved[self._count] = saved
        self.bytes += saved.size
        while self.bytes > self._budget:
            self.bytes -= self._saved.popitem(last=False)[1].size

    def _usable(self, prompt: NDArray[np.int32], saved: NDArray[np.int32], only_at: Sequence[int] | None) -> int:
        """How many of the prompt's tokens this saves; 0 for none."""
        if prompt.size < 2:
            return 0
        length = min(prompt.size - 1, saved.size)
        differing = np.flatnonzero(prompt[:length] != saved[:length])
        same = int(differing[0]) if differing.size else length
        if same < LEAST:
            return 0
        if only_at is not None or not self._cut:
            fits = same == saved.size and (only_at is None or same in only_at)
            return same if fits else 0
        return same


def _continues(new: Saved, old: Saved) -> bool:
    return (
        old.owner == new.owner
        and old.adapter == new.adapter
        and old.tokens.size <= new.tokens.size
        and np.array_equal(new.tokens[: old.tokens.size], old.tokens)
    )
