"""The box's own models as one engine that does no more than the machine can bear: shorter answers, or another model.

What it can bear is decided elsewhere and told here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from appliance.engine.client import WorkerEngine
from appliance.engine.protocol import GenerationRequest, Message, Piece
from appliance.errors import Resting
from appliance.exchange import Usage

_BYTES_A_TOKEN = 2
"""Fewer than any text in any model's tokens comes to on the whole: so counted, a prompt fits for sure."""


class TemperedEngine:
    """An ``Engine``: ``main``, and in hard times ``small`` or nobody."""

    def __init__(self, main: WorkerEngine, small: WorkerEngine | None = None) -> None:
        """Everything is allowed at first.

        Args:
            main: what answers as a rule; started.
            small: what answers in its place when it may not; not started, and closed by this engine.
        """
        self.main = main
        self._small = small
        self._small_runs = False
        self._max_tokens: int | None = None
        self._answers = True

    def hold(self, *, slots: int | None, max_tokens: int | None, answers: bool) -> None:
        """Hold to this from now on; what has begun goes on. Called by one thread.

        Args:
            slots: requests answered at once; None is as many as the settings allow.
            max_tokens: of an answer, at most; None sets no limit of its own.
            answers: whether ``main`` answers; otherwise it gives its memory back when it is done.
        """
        self._max_tokens = max_tokens
        self.main.limit(slots)
        if not answers and self._small is not None and not self._small_runs:
            self._small.start()
            self._small_runs = True
        self._answers = answers
        self.settle()

    def settle(self, idle_s: float = 0.0) -> None:
        """Let whoever does not answer now give its memory back; and who does, when nobody asked for so many seconds.

        Args:
            idle_s: 0 is for ever.
        """
        if not self._answers:
            self.main.rest()
        elif idle_s:
            self.main.rest(idle_s)
        if self._small is not None and self._small_runs and self._answers:
            self._small.rest()

    def close(self) -> None:
        """End the smaller model's process; ``main`` belongs to whoever started it."""
        if self._small is not None and self._small_runs:
            self._small.close()

    @property
    def context(self) -> int:
        """``main``'s; a smaller one's is at least as long, or it refuses what does not fit."""
        return self.main.context

    @property
    def model(self) -> str:
        """The one that would answer now."""
        return self.main.model if self._answers or self._small is None else self._small.model

    def generate(self, request: GenerationRequest) -> Iterator[Piece]:
        """See ``Engine.generate``.

        Raises:
            Resting: no model answers now, or none with this adapter.
        """
        if self._max_tokens is not None:
            request = replace(request, max_tokens=min(request.max_tokens, self._max_tokens))
        if self._answers:
            yield from self.main.generate(request)
            return
        if self._small is None or request.adapter is not None:
            raise Resting("The model rests now to spare the box.", todo="Ask about the documents, or ask later.")
        for piece in self._small.generate(request):
            yield replace(piece, model=self._small.model) if isinstance(piece, Usage) else piece

    def cancel(self, request_id: str) -> None:
        """See ``Engine.cancel``."""
        for engine in self._engines():
            engine.cancel(request_id)

    def position(self, request_id: str) -> int | None:
        """See ``Engine.position``."""
        found = (engine.position(request_id) for engine in self._engines())
        return next((position for position in found if position is not None), None)

    def count(self, messages: Sequence[Message]) -> int:
        """See ``Engine.count``. While ``main`` rests, more than it would be: it is not woken for that."""
        if self._answers:
            return self.main.count(messages)
        return sum(len(message.content.encode()) // _BYTES_A_TOKEN + 16 for message in messages)

    def _engines(self) -> list[WorkerEngine]:
        return [self.main, *([self._small] if self._small is not None else [])]
