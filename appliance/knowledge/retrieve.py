"""Finding passages by a question's words and meaning, over the indexes of all installed docpacks.

    1 cut      the question into terms and pieces of words, as the documents were
    2 weigh    each by how rare it is
    3 gather   a few dozen passages that FTS5 finds by the rarest of them, and as many with the nearest vectors
    4 rank     those few with care
    5 fuse     both opinions

What shares too little with the question is not found at all, so that the box can say that its documents don't tell.
Telling which passage answers is left to the model.
"""

import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.errors import FieldpostError, KnowledgeError
from appliance.exchange import Passage
from appliance.knowledge.fuse import CLOSE, Hit, fused
from appliance.knowledge.opened import OpenIndex
from appliance.knowledge.rank import Asked, score
from appliance.knowledge.vectors import Embedder, Vector, VectorStore
from appliance.knowledge.words import asked
from bundles.format.index_file import grams, key

CANDIDATES = 48
"""Passages of an index that are ranked with care."""

READ = 60_000
"""Entries of FTS5's lists that one question may read in an index: bounds its time whatever the index's size. Rare terms
come first; in an index of a few thousand passages nothing is left out."""

LEAST = 0.12
"""Where no passage fits so much, all were found by chance. Of XQuAD's and AfriQA's questions whose passage is there
about 1 in 100 fall below it; of questions about other things half in an index of hundreds, most in a small one."""

UNTRANSLATED_LEAST = 0.03
"""The same for a question in another language than the documents'."""

SPOKEN = 0.5
"""Weight of what is found by the question as it was spoken, beside its translation."""

STORY = 8
"""Telling terms from which a question is a story: most of it is in no document, and less fit must do."""


class Retriever:
    """Searches the installed docpacks. Any thread may ask. A context manager; ``close`` it otherwise."""

    def __init__(
        self,
        indexes: Sequence[Path],
        *,
        embedder: Embedder | None = None,
        store: Callable[[OpenIndex], VectorStore] = OpenIndex.vectors,
    ) -> None:
        """Open the indexes; with none, every search finds nothing.

        Args:
            embedder: the model that made the indexes' vectors; without it, or in an index without vectors, only words
                are compared.
            store: where an index's vectors are searched.

        Raises:
            KnowledgeError: a file is no index of ours, or its vectors are another model's.
        """
        self._lock = threading.Lock()
        self._embedder = embedder
        self._indexes: list[tuple[OpenIndex, VectorStore | None]] = []
        try:
            for path in indexes:
                index = OpenIndex(path)
                self._indexes.append((index, None))
                if embedder is not None and index.embedder:
                    _check_same(path, index, embedder)
                    self._indexes[-1] = (index, store(index))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            for index, vectors in self._indexes:
                if vectors is not None:
                    vectors.close()
                index.close()
            self._indexes.clear()

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
        vector = self._vector(query or spoken)
        with self._lock:
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
            for index, _ in self._indexes:
                if index.docpack == docpack and (found := index.document(path)):
                    return found
        raise KnowledgeError(
            f"There is no document {path} in {docpack}.", todo="Ask again: a newer release may be in use."
        )

    def _vector(self, text: str) -> Vector | None:
        """The question's vector, made before the lock is taken; None where nothing can be compared with it."""
        if self._embedder is None or not any(vectors is not None for _, vectors in self._indexes):
            return None
        try:
            return self._embedder.question(text)
        except FieldpostError:
            return None  # words alone still find most


def _search(index: OpenIndex, vectors: VectorStore | None, vector: Vector | None, query: str, spoken: str) -> list[Hit]:
    near: dict[int, float] = {}
    if vectors is not None and vector is not None:
        try:
            nearest = vectors.nearest(vector, CANDIDATES)
        except (sqlite3.Error, ValueError) as error:
            raise KnowledgeError(
                f"The vectors of {index.docpack} are damaged: {error}.", todo="Install the stick again."
            ) from error
        # As a share of the way from two texts that have nothing in common to two that are the same.
        near = {number: (similar - index.likeness) / (1 - index.likeness) for number, similar in nearest}
    hits: dict[int, Hit] = {}
    # Without a translation only what both languages share can be found: then less must do.
    for text, weight, least in ((query, 1.0, LEAST), (spoken, SPOKEN, LEAST if query else UNTRANSLATED_LEAST)):
        for number, fit, enough, passage in _worded(index, text, list(near), least):
            before = hits.get(number)
            evident = enough or near.get(number, 0.0) >= CLOSE or (before is not None and before.evident)
            fit = max(weight * fit, before.fit if before else 0.0)
            hits[number] = Hit(number=number, fit=fit, near=near.get(number), evident=evident, passage=passage)
    return list(hits.values())


def _worded(index: OpenIndex, text: str, near: Sequence[int], least: float) -> list[tuple[int, float, bool, Passage]]:
    """The passages that the words find, and those whose vectors are near: how they fit, and whether that is enough."""
    terms = asked(text, index.lang)
    pieces = [key(gram) for term in dict.fromkeys(terms) for gram in grams(term)]
    frequency = index.frequency([*dict.fromkeys([*terms, *pieces])])
    question = Asked(terms, index.corpus, frequency)
    matching = index.matching(_affordable(frequency), CANDIDATES)
    found = index.stored([*dict.fromkeys([*matching, *near])])
    least *= min(1.0, STORY / max(1, len(question.weight)))
    scored = [(number, score(question, stored.candidate), stored.passage) for number, stored in found.items()]
    return [(number, fit, fit >= least, passage) for number, fit, passage in scored]


def _affordable(frequency: Mapping[str, int]) -> list[str]:
    """The rarest terms, as many as may be read."""
    chosen: list[str] = []
    left = READ
    for term, passages in sorted(frequency.items(), key=lambda item: (item[1], item[0])):
        left -= passages
        if left < 0 and chosen:
            break
        chosen.append(term)
    return chosen


def _check_same(path: Path, index: OpenIndex, embedder: Embedder) -> None:
    if index.embedder != embedder.digest:
        raise KnowledgeError(
            f"The vectors of {path} were made by another embedding model ({index.embedder[:12]}).",
            needed=f"The bundle's own ({embedder.digest[:12]}) is needed.",
            todo="Build the bundle again, and install it.",
        )
