"""Finding passages by a question's words over the indexes of all installed docpacks.

    1 cut      the question into terms and pieces of words, as the documents were
    2 weigh    each by how rare it is
    3 gather   a few dozen passages that FTS5 finds by the rarest of them
    4 rank     those few with care

What shares too little with the question is not found at all, so that the box can say that its documents don't tell.
Telling which passage answers is left to the model.
"""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.errors import KnowledgeError
from appliance.exchange import Passage
from appliance.knowledge.opened import OpenIndex
from appliance.knowledge.rank import Asked, score
from appliance.knowledge.words import asked, grams, key

CANDIDATES = 48
"""Passages of an index that are ranked with care."""

READ = 60_000
"""Entries of FTS5's lists that one question may read in an index: bounds its time whatever the index's size. Rare terms
come first; in an index of a few thousand passages nothing is left out."""

LEAST = 0.12
"""A passage that fits less was found by chance. On XQuAD and AfriQA's halves about 1 in 100 questions whose passage is
there fall below it, and of questions about other things half in an index of hundreds, nearly all in a small one."""

UNTRANSLATED_LEAST = 0.03
"""The same for a question in another language than the documents'."""

SPOKEN = 0.5
"""Weight of what is found by the question as it was spoken, beside its translation."""

STORY = 8
"""Telling terms from which a question is a story: most of it is in no document, and less fit must do."""


class Retriever:
    """Searches the installed docpacks. Any thread may ask. A context manager; ``close`` it otherwise."""

    def __init__(self, indexes: Sequence[Path]) -> None:
        """Open the indexes; with none, every search finds nothing.

        Raises:
            KnowledgeError: a file is no index of ours.
        """
        self._lock = threading.Lock()
        self._indexes: list[OpenIndex] = []
        try:
            for path in indexes:
                self._indexes.append(OpenIndex(path))
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
            for index in self._indexes:
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
        hits: list[tuple[float, int, int, Passage]] = []
        with self._lock:
            for order, index in enumerate(self._indexes) if limit > 0 else ():
                found = _search(index, query, LEAST)
                # Without a translation only what both languages share can be found: then less must do.
                for number, (fit, passage) in _search(index, spoken, LEAST if query else UNTRANSLATED_LEAST).items():
                    if SPOKEN * fit > found.get(number, (0.0, passage))[0]:
                        found[number] = (SPOKEN * fit, passage)
                hits.extend((-fit, order, number, passage) for number, (fit, passage) in found.items())
        hits.sort(key=lambda hit: hit[:3])
        return [passage for *_, passage in hits[:limit]]

    def document(self, docpack: str, path: str) -> tuple[str, str, str]:
        """Title, text and language of a document, to show a passage where it stands.

        Raises:
            KnowledgeError: there is no such document.
        """
        with self._lock:
            for index in self._indexes:
                if index.docpack == docpack and (found := index.document(path)):
                    return found
        raise KnowledgeError(
            f"There is no document {path} in {docpack}.", todo="Ask again: a newer release may be in use."
        )


def _search(index: OpenIndex, query: str, least: float) -> dict[int, tuple[float, Passage]]:
    """The passages that fit at least so much, by their number."""
    terms = asked(query, index.lang)
    pieces = [key(gram) for term in dict.fromkeys(terms) for gram in grams(term)]
    frequency = index.frequency([*dict.fromkeys([*terms, *pieces])])
    question = Asked(terms, index.corpus, frequency)
    found = index.stored(index.matching(_affordable(frequency), CANDIDATES))
    least *= min(1.0, STORY / max(1, len(question.weight)))
    scored = {number: (score(question, stored.candidate), stored.passage) for number, stored in found.items()}
    return {number: hit for number, hit in scored.items() if hit[0] >= least}


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
