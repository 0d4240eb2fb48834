"""A scripted engine, finder and translator: they keep the real protocols and say what a test tells them to."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from appliance.engine.protocol import GenerationRequest, Message, Piece
from appliance.errors import LanguageError, LogError
from appliance.exchange import Passage, Translation, Usage


class ScriptedEngine:
    """Says ``pieces``, one at a time; counts a token a word."""

    model = "scripted"

    def __init__(
        self,
        pieces: Sequence[Piece],
        *,
        context: int = 512,
        gate: threading.Event | None = None,
        ending: Usage | None = None,
    ) -> None:
        self.pieces = pieces
        self.ending = ending
        self.context = context
        self.requests: list[GenerationRequest] = []
        self.closed = threading.Event()
        self.cancelled: list[str] = []
        self._gate = gate

    def count(self, messages: Sequence[Message]) -> int:
        return sum(len(m.content.split()) for m in messages)

    def cancel(self, request_id: str) -> None:
        self.cancelled.append(request_id)

    def position(self, request_id: str) -> int | None:
        return None

    def generate(self, request: GenerationRequest) -> Iterator[Piece]:
        self.requests.append(request)
        try:
            for piece in self.pieces:
                if self._gate:
                    self._gate.wait(30)
                yield piece
            yield self.ending or Usage(
                prompt_tokens=1, generated_tokens=len(self.pieces), first_token_s=0, total_s=0, finish="stop"
            )
        finally:
            self.closed.set()


class ScriptedFinder:
    """Finds the same passages for every question."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = list(passages)
        self.asked: list[str] = []
        self.spoken: list[str] = []

    def search(self, query: str, limit: int, *, spoken: str = "") -> list[Passage]:
        self.asked.append(query)
        self.spoken.append(spoken)
        return self.passages[:limit]


class ScriptedTranslator:
    """Translates by a dictionary; refuses what it does not hold, as a missing pack does."""

    def __init__(self, known: Mapping[tuple[str, str, str], str]) -> None:
        self._known = known
        self.asked: list[str] = []

    def can(self, source: str, target: str) -> bool:
        return any((source, target) == key[:2] for key in self._known)

    def translate(self, text: str, source: str, target: str) -> Translation:
        self.asked.append(text)
        if (source, target, text) not in self._known:
            raise LanguageError(f"No translation of {text!r}.")
        return Translation(text=self._known[source, target, text], source=source, target=target)


class ListLog:
    """A recorder that keeps its records in a list; ``full`` refuses them, as a full disk does."""

    def __init__(self, *, full: bool = False) -> None:
        self.records: list[tuple[str, Mapping[str, object]]] = []
        self._full = full

    def append(self, stream: str, body: Mapping[str, object], egress: bool | None = None) -> int:
        if self._full:
            raise LogError("The disk is full.")
        self.records.append((stream, body))
        return len(self.records)


def passage(text: str, *, number: int = 1, title: str = "Safe water", heading: str = "Boiling") -> Passage:
    """A passage of an English document."""
    return Passage(
        id=f"guides/water.md#{number}",
        docpack="guides",
        document="water.md",
        title=title,
        heading=heading,
        lang="en",
        text=text,
        start=0,
        end=len(text),
    )


def eventually(condition: Callable[[], bool], *, within_s: float = 20.0) -> None:
    """Wait for a condition that another thread or process brings about; fail when it does not come."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {within_s} s")
        threading.Event().wait(0.02)
