"""What the box asks of a model, and nothing about how it is run. The pipeline and the API know this file only.

Every field but the text and its length may be left alone: then the answer is greedy, unhurried and nobody's in
particular. A backend that cannot do what a field asks for says so with an ``EngineError``; none ignores it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from appliance.exchange import Usage, new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: str
    """``system``, ``user``, ``assistant`` or ``tool``."""
    content: str
    shared: int = 0
    """Characters from the beginning of ``content`` that are nobody's own, such as instructions and passages. What was
    read of them may serve others and be kept on disk, if all before them is shared too; the rest never is."""
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    """What the assistant called, as the chat template wants it (OpenAI's shape)."""
    tool_call_id: str = ""
    """The call that a ``tool`` turn answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One text to generate: from ``messages`` through the model's chat template, or from ``prompt`` as it is."""

    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    """A raw text to go on with, in place of messages."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """Functions that the model may call, handed to its chat template. The calls come back as text."""
    adapter: str | None = None
    """Name of an adapter of the release; None is the model as it is."""

    max_tokens: int
    """At least 1. Fewer are generated when the context ends before."""
    stop: tuple[str, ...] = ()
    """Texts that end the generation; they are not part of it."""
    response_schema: Mapping[str, Any] | None = None
    """A JSON schema: the answer will be JSON that fits it, if it ends before ``max_tokens``."""
    thinking_tokens: int | None = None
    """Tokens that a reasoning model may think before it answers; None sets no limit of their own."""

    temperature: float = 0.0
    """0 always takes the most likely token; then only the penalties below matter."""
    top_k: int = 40
    """Only the k most likely tokens; 0 is all."""
    top_p: float = 0.95
    """Only the most likely tokens that together reach this probability."""
    min_p: float = 0.05
    """Only tokens at least this fraction as likely as the most likely one."""
    repeat_penalty: float = 1.0
    """Divides the score of a token that came before, in the prompt's end or the answer; 1 is none."""
    presence_penalty: float = 0.0
    """Taken off the score of a token that the answer has (-2 to 2)."""
    frequency_penalty: float = 0.0
    """Taken off the score of a token for each time the answer has it (-2 to 2)."""
    seed: int | None = None
    """Makes a temperature above 0 repeatable."""
    logprobs: int | None = None
    """Report each token's log probability, with as many alternatives (0 to 20); None reports none."""

    user: str = ""
    """Who asks, for fairness: requests of one user wait for each other, not others for them. Empty is everybody who is
    not told apart. Any text; it is neither shown nor stored."""
    goes_on: bool = True
    """Whether the user's next request may begin with this one and its answer: then what was read is kept for them."""
    deadline_s: float | None = None
    """Seconds after which nobody wants the answer. A request that still waits then ends in an ``EngineError``, one that
    is being answered ends as it is, with ``finish`` ``deadline``."""
    id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """What a reasoning model wrote for itself before its answer."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """A token and the natural logarithm of its probability, before temperature and penalties."""

    data: bytes
    """The token's bytes, which may be part of a character; empty for a control token."""
    logprob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Logprobs:
    """One generated token's chance, and the likeliest alternatives, likeliest first. Comes before its text."""

    chosen: Chance
    top: tuple[Chance, ...] = ()


Piece = str | Thinking | Logprobs | Usage
"""What a generation yields: text of the answer; and what else was asked for, or is the model's way."""


class Engine(Protocol):
    """A model that answers. Any thread may call it; users are served in turn, several at once."""

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may use together."""
        ...

    @property
    def model(self) -> str:
        """The model's name, for people and for the log."""
        ...

    def generate(self, request: GenerationRequest) -> Iterator[Piece]:
        """Pieces of text, each of whole characters, and a ``Usage`` as the last item.

        The request is queued when the first item is asked for. Closing the iterator cancels it.

        Raises:
            EngineError: the model cannot answer, its process died after the first piece, or the deadline passed.
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

    def position(self, request_id: str) -> int | None:
        """How many requests are served before this one begins, counted from 1; 0 while it is being answered.

        None for an id that nobody waits for. It may grow: users are served in turn, and others may come.
        """
        ...

    def count(self, messages: Sequence[Message]) -> int:
        """Tokens of the conversation as it would be sent, up to where the answer begins.

        Raises:
            EngineError: the model is not running and cannot be started.
        """
        ...
