"""Requests that are not answered yet, as the client sees them: what they wait for, and what became of them so far."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Any

from appliance.engine import orders
from appliance.engine.protocol import Piece, Thinking
from appliance.errors import EngineError
from appliance.exchange import Usage

_NOTHING_DONE = Usage(prompt_tokens=0, generated_tokens=0, first_token_s=0.0, total_s=0.0, finish="cancelled")


@dataclass(slots=True, kw_only=True, eq=False)
class Waiting:
    """A request, until it is answered. Guarded by the client's lock, but for ``answers``."""

    key: int
    message: dict[str, Any]
    id: str | None = None
    """The request's own; None for a count."""
    adapter: str | None = None
    deadline: float | None = None
    """By ``time.monotonic``."""
    answers: "SimpleQueue[Piece | int | EngineError]" = field(default_factory=SimpleQueue)
    begun: bool = False
    streamed: bool = False
    tries: int = 0
    began_s: float = 0.0
    """By ``time.perf_counter``, once begun."""
    so_far: Usage = _NOTHING_DONE
    """As of the last step: what a cancelled request has cost."""

    def to_send(self) -> dict[str, Any]:
        """The message for a worker that starts on it now: the deadline has come nearer meanwhile."""
        if self.deadline is None:
            return self.message
        return {**self.message, "deadline_s": max(0.0, self.deadline - time.monotonic())}

    def progress(self, told: list[int]) -> None:
        """Note [prompt, generated, cached, thinking] tokens; the first time it means that it begins."""
        prompt, generated, cached, thinking = map(int, told)
        now = time.perf_counter()
        if not self.begun:
            self.begun, self.began_s = True, now
        first = self.so_far.first_token_s or (now - self.began_s if generated else 0.0)
        self.so_far = Usage(
            prompt_tokens=prompt,
            generated_tokens=generated,
            cached_tokens=cached,
            thinking_tokens=thinking,
            first_token_s=first,
            total_s=0.0,
            finish="cancelled",
        )

    def cancelled(self) -> Usage:
        """What it has cost until now."""
        return replace(self.so_far, total_s=time.perf_counter() - self.began_s if self.begun else 0.0)

    def begin_again(self) -> None:
        self.begun = False
        self.so_far = _NOTHING_DONE

    def pieces(self) -> Iterator[Piece]:
        """What comes, until its Usage.

        Raises:
            EngineError: what it ended in instead.
        """
        while True:
            answer = self.answers.get()
            if isinstance(answer, EngineError):
                raise answer
            assert not isinstance(answer, int)  # noqa: S101  (only counts are answered by a number)
            yield answer
            if isinstance(answer, Usage):
                return


def piece_from_message(raw: object) -> Piece:
    """One of an item's ``pieces``."""
    if isinstance(raw, str):
        return raw
    if not isinstance(raw, Mapping):
        raise TypeError("a piece is a text or an object")
    return Thinking(text=str(raw["thinking"])) if "thinking" in raw else orders.logprobs_from_message(raw["logprobs"])
