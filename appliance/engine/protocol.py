"""What the box asks of a model, and nothing about how it is run. The pipeline knows this file only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from appliance.exchange import Usage, new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: str
    """``system``, ``user`` or ``assistant``."""
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One text to generate."""

    messages: tuple[Message, ...]
    adapter: str | None = None
    """Name of an adapter of the release; None is the model as it is."""
    max_tokens: int
    """At least 1. Fewer are generated when the context ends before."""
    temperature: float = 0.0
    """0 always takes the most likely token."""
    seed: int | None = None
    """Makes a temperature above 0 repeatable."""
    stop: tuple[str, ...] = ()
    """Texts that end the generation; they are not part of it."""
    id: str = field(default_factory=new_id)


class Engine(Protocol):
    """A model that answers. Any thread may call it; requests are answered in the order they come."""

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may use together."""
        ...

    @property
    def model(self) -> str:
        """The model's name, for people and for the log."""
        ...

    def generate(self, request: GenerationRequest) -> Iterator[str | Usage]:
        """Pieces of text, each of whole characters, and a ``Usage`` as the last item.

        The request is queued when the first item is asked for. Closing the iterator cancels it.

        Raises:
            EngineError: the model cannot answer, or its process died after the first piece.
            AdapterError: the adapter is unknown or does not belong to this model.
            PromptTooLong: the prompt leaves no room for an answer.
        """
        ...

    def cancel(self, request_id: str) -> None:
        """End the request with this ``GenerationRequest.id`` at once, whether it waits, is read or is being answered.

        Its iterator ends with a ``Usage`` of what was done until then, whose ``finish`` is ``cancelled``. An id that
        nobody waits for changes nothing. Any thread may call it.
        """
        ...

    def count(self, messages: Sequence[Message]) -> int:
        """Tokens of the conversation as it would be sent, up to where the answer begins.

        Raises:
            EngineError: the model is not running and cannot be started.
        """
        ...
