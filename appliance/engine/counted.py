"""An engine that tells what each request came to; for figures, never for texts."""

import time
from collections.abc import Callable, Iterator, Sequence

from appliance.engine.protocol import Engine, GenerationRequest, Message, Piece
from appliance.errors import FieldpostError
from appliance.exchange import Usage

Note = Callable[[Usage | None, float], None]
"""Takes what a request cost, or None when it was refused or failed; and the seconds until its first piece came, waiting
included."""


class CountedEngine:
    """An ``Engine``: another one, with each request's end told to ``note``."""

    def __init__(self, engine: Engine, note: Note) -> None:
        self._engine = engine
        self._note = note

    @property
    def context(self) -> int:
        """See ``Engine.context``."""
        return self._engine.context

    @property
    def model(self) -> str:
        """See ``Engine.model``."""
        return self._engine.model

    def generate(self, request: GenerationRequest) -> Iterator[Piece]:
        """See ``Engine.generate``."""
        began = time.monotonic()
        first = 0.0
        try:
            for piece in self._engine.generate(request):
                first = first or time.monotonic() - began
                if isinstance(piece, Usage):
                    self._note(piece, first)
                yield piece
        except FieldpostError:
            self._note(None, time.monotonic() - began)
            raise

    def cancel(self, request_id: str) -> None:
        """See ``Engine.cancel``."""
        self._engine.cancel(request_id)

    def position(self, request_id: str) -> int | None:
        """See ``Engine.position``."""
        return self._engine.position(request_id)

    def count(self, messages: Sequence[Message]) -> int:
        """See ``Engine.count``."""
        return self._engine.count(messages)
