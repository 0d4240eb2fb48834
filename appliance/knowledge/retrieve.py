"""Finding passages by a question's words and meaning, over the indexes of all docpacks: the release's, and the added.

    1 cut      the question into terms and pieces of words, as the documents were
    2 weigh    each by how rare it is
    3 gather   a few dozen passages that FTS5 finds by the rarest of them, and as many with the nearest vectors
    4 rank     those few with care
    5 fuse     both opinions

What shares too little with the question is not found at all, so that the box can say that its documents don't tell.
Telling which passage answers is left to the model. Documents may be added while a box runs: where their index is
another file than it was, everything is opened anew.
"""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.errors import FieldpostError, KnowledgeError
from appliance.exchange import Passage
from appliance.knowledge.fuse import CLOSE, Hit, fused
from appliance.knowledge.match import CANDIDATES, matches
from appliance.knowledge.opened import OpenIndex
from appliance.knowledge.vectors import Embedder, Vector, VectorStore

SPOKEN = 0.5
"""Weight of what is found by the question as it was spoken, beside its translation."""

_Stamp = tuple[int, int, int]


class Retriever:
    """Searches the docpacks. Any thread may ask. A context manager; ``close`` it otherwise."""

    def __init__(
        self,
        release: Sequence[Path],
        *,
        added: Path | None = None,
        embedder: Embedder | None = None,
        store: Callable[[OpenIndex], VectorStore] = OpenIndex.vectors,
    ) -> None:
        """Open the indexes; with none, every search finds nothing.

        Args:
            release: the indexes of the installed docpacks.
            added: the index of the documents added since, which need not be there and may change.
            embedder: makes vectors of questions; without it, or in an index that has none of its vectors, only words
                are compared.
            store: where an index's vectors are searched.

        Raises:
            KnowledgeError: an index of the release is none of ours. A damaged one of the added documents is left out.
        """
        self._release = list(release)
        self._added = added
        self._embedder = embedder
        self._store = store
        self._lock = threading.Lock()
        self._stamp: _Stamp | None = None
        self._indexes: list[tuple[OpenIndex, VectorStore | None]] = []
        self.problems: list[str] = []
        """What cannot be searched as it should, in sentences: for the status page."""
        with self._lock:
            self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            _close(self._indexes)
            self._indexes = []

    @property
    def empty(self) -> bool:
        """No document at all."""
        return not self._release and self._added_stamp() is None

    @property
    def passages(self) -> int:
        """How many there are to be found."""
        with self._lock:
            return sum(index.corpus.passages for index, _ in self._indexes)

    def search(self, query: str, limit: int, *, spoken: str = "") -> list[Passage]:
        """The passages that fit the question best, best first, at most ``limit``; none when it is about other things.

        Args:
            query: a question in the documents' language; empty when it could not be translated.
            spoken: the question as the person asked it, where that is another language: names and numbers in it are
                found too, and may be what the translation lost.

        Raises:
            KnowledgeError: an index is damaged.
        """
        if limit < 1 or not (query.strip() or spoken.strip()):
            return []
        vector = self._vector(query or spoken)  # before the lock, because it takes longest
        with self._lock:
            self._look()
            hits = [
                replace(hit, order=order)
                for order, (index, vectors) in enumerate(self._indexes)
                for hit in _search(index, vectors, vector, query, spoken)
            ]
        if not any(hit.evident for hit in hits):
            return []
        return [hit.passage for hit in fused(hits)[:limit]]

    def document(self, docpack: str, path: str) -> tuple[str, str, str]:
        """Title, text and language of a document, to show a passage where it stands.

        Raises:
            KnowledgeError: there is no such document.
        """
        with self._lock:
            self._look()
            for index, _ in self._indexes:
                if index.docpack == docpack and (found := index.document(path)):
                    return found
        raise KnowledgeError(
            f"There is no document {path} in {docpack}.", todo="Ask again: a newer release may be in use."
        )

    def _vector(self, text: str) -> Vector | None:
        """The question's vector; None where nothing can be compared with it."""
        if self._embedder is None or not any(vectors is not None for _, vectors in self._indexes):
            return None
        try:
            return self._embedder.question(text)
        except FieldpostError:
            return None  # words alone still find most

    def _look(self) -> None:
        """Open everything anew if the added documents' index is another file than it was."""
        if self._added_stamp() != self._stamp:
            self._open()

    def _added_stamp(self) -> _Stamp | None:
        if self._added is not None:
            with suppress(OSError):
                found = self._added.stat()
                return found.st_ino, found.st_size, found.st_mtime_ns
        return None

    def _open(self) -> None:
        self._stamp = self._added_stamp()
        opened: list[tuple[OpenIndex, VectorStore | None]] = []
        problems: list[str] = []
        try:
            for path in self._release:
                opened.append(self._opened(path, problems))
            if self._added is not None and self._stamp is not None:
                try:
                    opened.append(self._opened(self._added, problems))
                except KnowledgeError as error:
                    problems.append(str(error))
        except BaseException:
            _close(opened)
            raise
        _close(self._indexes)
        self._indexes = opened
        self.problems = problems

    def _opened(self, path: Path, problems: list[str]) -> tuple[OpenIndex, VectorStore | None]:
        index = OpenIndex(path)
        try:
            if self._embedder is None or not index.embedder:
                return index, None
            if index.embedder != self._embedder.digest:
                problems.append(
                    f"{index.docpack} is searched by words only: its vectors were made by another embedding model "
                    f"({index.embedder[:12]}) than the installed one ({self._embedder.digest[:12]})."
                )
                return index, None
            try:
                return index, self._store(index)
            except KnowledgeError as error:  # Milvus is away
                problems.append(f"{index.docpack} is searched by words only: {error.found}")
                return index, None
        except BaseException:
            index.close()
            raise


def _close(indexes: Sequence[tuple[OpenIndex, VectorStore | None]]) -> None:
    for index, vectors in indexes:
        if vectors is not None:
            vectors.close()
        index.close()


def _search(index: OpenIndex, vectors: VectorStore | None, vector: Vector | None, query: str, spoken: str) -> list[Hit]:
    near: dict[int, float] = {}
    if vectors is not None and vector is not None:
        try:
            nearest = vectors.nearest(vector, CANDIDATES)
        except (sqlite3.Error, ValueError) as error:
            raise KnowledgeError(
                f"The vectors of {index.docpack} are damaged: {error}.", todo="Install the stick again."
            ) from error
        except KnowledgeError:
            nearest = []  # a store elsewhere is away: words alone still find most
        # As a share of the way from two texts that have nothing in common to two that are the same.
        near = {number: (similar - index.likeness) / (1 - index.likeness) for number, similar in nearest}
    hits: dict[int, Hit] = {}
    for text, weight, translated in ((query, 1.0, True), (spoken, SPOKEN, bool(query))):
        for match in matches(index, text, also=list(near), translated=translated) if text.strip() else ():
            before = hits.get(match.number)
            close = near.get(match.number)
            hits[match.number] = Hit(
                number=match.number,
                fit=max(weight * match.fit, before.fit if before else 0.0),
                near=close,
                trust=index.trust,
                evident=match.enough or (close or 0.0) >= CLOSE or (before is not None and before.evident),
                passage=match.passage,
            )
    return list(hits.values())
