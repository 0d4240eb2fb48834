"""Texts as vectors, made by an embedding model in a process of its own; started with the first text.

What is compared with what is ``knowledge``'s; what the process does is in ``embed_worker``.
"""

import base64
import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from appliance.child import Child, WireError, error_from_message
from appliance.engine.settings import address_space
from appliance.errors import EngineError

AT_ONCE = 16
"""Texts of one order: between two, somebody else's question has its turn."""
MOST_CHARACTERS = 16_384
"""Of a text that are looked at: more than any of these models reads, and ``AT_ONCE`` of them fit the wire."""
TIMEOUT_S = 120.0
"""For one order, the start of the process and the reading of the model included."""
_MODULE = "appliance.engine.embed_worker"
_TRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Texts as vectors."""

    vectors: NDArray[np.float32]
    """Of length 1, shape (texts, dimension)."""
    tokens: tuple[int, ...]
    """That each text has."""
    longest: int
    """Tokens of a text that are read; what is beyond is not in its vector."""


class WorkerEmbedder:
    """An embedding model. Any thread may ask; one order at a time. A context manager; ``close`` it otherwise."""

    def __init__(self, model: Path, *, digest: str, threads: int = 0) -> None:
        """Describe it; nothing is started yet.

        Args:
            model: a GGUF file.
            digest: its SHA-256, with or without ``sha256:``, by which indexes name the model that made their vectors.
            threads: processor cores to use; 0 means all.
        """
        self.digest = digest.removeprefix("sha256:")
        self._model = model.resolve()
        self._threads = threads
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._key = 0
        self._longest = 0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; an order in work gets an EngineError."""
        self._closed = True
        if (child := self._child) is not None:
            child.kill()  # before the lock: whoever holds it waits for this child
        with self._lock:
            self._end()

    def question(self, text: str) -> NDArray[np.float32]:
        """A question's vector of length 1, shape (dimension,).

        Raises:
            EngineError: the model cannot be loaded or run.
        """
        vector: NDArray[np.float32] = self._embed([text], questions=True).vectors[0]
        return vector

    def passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Passages' vectors of length 1, shape (texts, dimension); raises as ``question`` does."""
        return self.counted(texts).vectors

    def counted(self, texts: Sequence[str]) -> Embedded:
        """Passages' vectors, and what they cost; raises as ``question`` does."""
        parts = [self._embed(texts[at : at + AT_ONCE], questions=False) for at in range(0, len(texts), AT_ONCE)]
        return Embedded(
            vectors=np.concatenate([part.vectors for part in parts]),
            tokens=tuple(count for part in parts for count in part.tokens),
            longest=parts[0].longest,
        )

    def _embed(self, texts: Sequence[str], *, questions: bool) -> Embedded:
        ending = ""
        with self._lock:
            for _ in range(_TRIES):
                if self._closed:
                    raise EngineError("The embedder is closed.", todo="Start fieldpost again.")
                self._key += 1
                order = {
                    "do": "embed",
                    "key": self._key,
                    "texts": [text[:MOST_CHARACTERS] for text in texts],
                    "questions": questions,
                }
                try:
                    wire = (self._child or self._start()).wire
                    wire.send(order)
                    if (answer := wire.receive(TIMEOUT_S)) is not None:
                        return _embedded(answer, self._key, len(texts), self._longest)
                except TimeoutError:
                    ending = f"took more than {TIMEOUT_S:.0f} seconds"
                    if self._child is not None:
                        self._child.kill()
                except WireError as error:
                    ending = str(error)
                ending = self._end() or ending
        raise EngineError(
            f"The embedding model's process {ending}, {_TRIES} times in a row.",
            needed="A whole model, and memory enough for it, are needed.",
            todo="Install the stick again if the model is damaged.",
        )

    def _start(self) -> Child:
        self._child = Child(_MODULE, environment={"OMP_WAIT_POLICY": "passive"}, memory=address_space())
        self._child.wire.send({"do": "load", "model": str(self._model), "threads": self._threads})
        answer = self._child.wire.receive(TIMEOUT_S)
        if answer is not None and answer.get("say") == "refused":
            self._end()
            raise error_from_message(answer.get("error"), EngineError)
        if answer is None or answer.get("say") != "ready":
            raise WireError("did not start")
        self._longest = int(answer["longest"])
        return self._child

    def _end(self) -> str:
        """End the process; how it ended."""
        child, self._child = self._child, None
        return child.close() if child is not None else ""


@contextmanager
def open_embedder(model: Path | None, *, digest: str = "", threads: int = 0) -> Iterator[WorkerEmbedder | None]:
    """An embedder for as long as it is needed; None without a model.

    Args:
        digest: the file's SHA-256 where it is known already; else the file is read.
    """
    if model is None:
        yield None
        return
    with WorkerEmbedder(model, digest=digest or sha256_of(model), threads=threads) as opened:
        yield opened


def sha256_of(model: Path) -> str:
    with model.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _embedded(answer: dict[str, Any], key: int, count: int, longest: int) -> Embedded:
    if answer.get("key") != key:
        raise WireError("answered another order")
    if answer.get("say") == "error":
        raise error_from_message(answer.get("error"), EngineError)
    found = np.frombuffer(base64.b64decode(str(answer.get("vectors"))), "<f4")
    if not count or not found.size or found.size % count or not np.isfinite(found).all():
        raise WireError("sent no vectors")
    tokens = tuple(map(int, answer.get("tokens", ())))
    if len(tokens) != count:
        raise WireError("counted other texts")
    return Embedded(vectors=found.reshape(count, -1).astype(np.float32), tokens=tokens, longest=longest)
