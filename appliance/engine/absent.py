"""In place of an engine on a box without one: the documents are quoted, and whoever asks for more is told why not."""

from collections.abc import Iterator, Sequence

from appliance.engine.protocol import GenerationRequest, Message, Piece
from appliance.errors import EngineError


class NoModel:
    """An ``Engine`` that never answers."""

    context = 0
    model = "none"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        """Why there is no model, in words."""

    def generate(self, request: GenerationRequest) -> Iterator[Piece]:
        """See ``Engine.generate``."""
        raise self._error()

    def cancel(self, request_id: str) -> None:
        """There is nothing to end."""

    def position(self, request_id: str) -> int | None:
        """Nobody waits here."""
        return None

    def count(self, messages: Sequence[Message]) -> int:
        """See ``Engine.count``."""
        raise self._error()

    def _error(self) -> EngineError:
        return EngineError(f"This box answers from its documents alone: {self.reason}", todo="Ask about the documents.")
