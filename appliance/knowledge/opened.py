"""One docpack's index, opened to be read: its passages, its lists of terms, its documents.

It is part of the signed release: it is opened immutable, so that not even a lock file is written beside it. What to
look for, and what fits best, is left to ``retrieve`` and ``rank``.
"""

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlite_utils import Database

from appliance.errors import KnowledgeError
from appliance.exchange import Passage
from appliance.knowledge.rank import Candidate, Corpus
from appliance.knowledge.vectors import VectorStore, stored_vectors
from appliance.knowledge.words import name
from bundles.format.index_file import APPLICATION_ID, FORMAT

LANGUAGE = re.compile("[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")

MOST_TRUST = 2.0

_MATCHING = """
    select rowid from listed where listed match ? order by bm25(listed), rowid limit ?
"""
_NAMED = """
    select p.number, p.document, p.title, p.heading from listed join passage p on p.number = listed.rowid
    where listed match ? order by listed.rowid limit ?
"""
NAMESAKES = 1_000
"""Passages with all words of a question that are looked at for its being their name."""
_PASSAGES = """
    select p.number, p.id, p.document, p.title, p.heading, d.lang, p.text, p.start, p.end, p.page, p.terms
    from json_each(?) as wanted
    join passage p on p.number = wanted.value
    join document d on d.path = p.document
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A passage as it lies in the index."""

    passage: Passage
    candidate: Candidate


class OpenIndex:
    """An index file. For one thread at a time; ``close`` it."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            KnowledgeError: it is no index of ours, or damaged.
        """
        try:
            connection = sqlite3.connect(
                f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1", uri=True, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise _unreadable(path, error) from error
        self._db = Database(connection)
        try:
            self._db.execute("PRAGMA trusted_schema = OFF")  # whoever wrote the file decides what is in its schema
            found = tuple(
                self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
            )
            if found != (APPLICATION_ID, FORMAT):
                raise KnowledgeError(
                    f"{path} is no document index of this version.",
                    needed=f"Format {FORMAT} is needed.",
                    todo="Build the bundle again with this Fieldpost, and install it.",
                )
            ((docpack, lang, passages, mean_terms, embedder, dimension, likeness, trust),) = self._db.execute(
                "select name, lang, passages, mean_terms, embedder, dimension, likeness, trust from docpack"
            ).fetchall()
            for (tag,) in self._db.execute("select lang from docpack union select lang from document").fetchall():
                if not LANGUAGE.fullmatch(str(tag)):
                    raise ValueError(f"{str(tag)[:40]!r} is no language's tag")
            self.docpack = str(docpack)
            self.lang = str(lang)
            self.embedder = str(embedder)
            """Digest of the model that made the vectors; empty where there are none."""
            self._dimension = int(dimension)
            self.likeness = min(0.99, max(0.0, float(likeness)))
            """Mean similarity of its passages' vectors to each other."""
            self.trust = min(MOST_TRUST, max(1 / MOST_TRUST, float(trust)))
            """How much better than its words its vectors find; see ``trust``."""
            self.corpus = Corpus(passages=max(1, int(passages)), mean_terms=max(1.0, float(mean_terms)))
        except (sqlite3.Error, ValueError, TypeError) as error:
            self.close()
            raise _unreadable(path, error) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._db.close()

    def frequency(self, wanted: Sequence[str]) -> Mapping[str, int]:
        """In how many passages each term or piece is; those in none are left out."""
        return dict(
            self._rows(
                "select term, passages from frequency where term in (select value from json_each(?))", _json(wanted)
            )
        )

    def matching(self, wanted: Sequence[str], limit: int) -> list[int]:
        """Numbers of the passages that have the rarest and the most of these terms, best first (FTS5's BM25)."""
        if not wanted:
            return []
        # Quoted, so that nothing a person types is read as FTS5's syntax; terms hold no quotes.
        return [number for (number,) in self._rows(_MATCHING, " OR ".join(f'"{term}"' for term in wanted), limit)]

    def named(self, called: str, wanted: Sequence[str]) -> dict[int, bool]:
        """The passages where something of this name begins; True for a whole document.

        Args:
            called: ``words.name`` of it.
            wanted: its terms, all of them.
        """
        if not wanted:
            return {}
        found: dict[int, bool] = {}
        begun: set[tuple[str, str]] = set()
        for number, document, title, heading in self._rows(_NAMED, " AND ".join(f'"{t}"' for t in wanted), NAMESAKES):
            for whole, text in ((True, title), (False, heading.rpartition(" > ")[2])):
                section = (document, "" if whole else heading)
                if section not in begun and name(text) == called:
                    begun.add(section)
                    found.setdefault(number, whole)
        return found

    def stored(self, numbers: Sequence[int]) -> dict[int, Stored]:
        """Passages by their number."""
        return {number: _stored(row, self.docpack) for number, *row in self._rows(_PASSAGES, _json(numbers))}

    def vectors(self, kind: str = "auto") -> VectorStore:
        """The passages' vectors, in this file; ``kind`` as ``vectors.stored_vectors`` takes it."""
        return stored_vectors(self._db.conn, kind, passages=self.corpus.passages, dimension=self._dimension)

    def vector_rows(self) -> list[tuple[int, bytes]]:
        """Every passage's number and packed vector, for stores elsewhere."""
        return self._rows("select passage, value from vector order by passage")

    def document(self, path: str) -> tuple[str, str, str] | None:
        """Title, text and language of a document, or None."""
        rows = self._rows("select title, text, lang from document where path = ?", path)
        return rows[0] if rows else None

    def _rows(self, sql: str, *parameters: object) -> list[Any]:
        try:
            return list(self._db.execute(sql, list(parameters)))
        except sqlite3.Error as error:
            raise KnowledgeError(f"The document index is damaged: {error}.", todo="Install the stick again.") from error


def _stored(row: Sequence[Any], docpack: str) -> Stored:
    id_, document, title, heading, lang, text, start, end, page, terms = row
    parts = [part.split() for part in str(terms).split("\n")]
    return Stored(
        passage=Passage(
            id=id_,
            docpack=docpack,
            document=document,
            title=title,
            heading=heading,
            lang=lang,
            text=text,
            start=start,
            end=end,
            page=page,
        ),
        candidate=Candidate(
            terms=[term for part in parts for term in part], title=parts[0], heading=parts[1] if parts[1:] else ()
        ),
    )


def _json(values: Sequence[object]) -> str:
    return json.dumps(list(values))


def _unreadable(path: Path, error: Exception) -> KnowledgeError:
    return KnowledgeError(
        f"{path} cannot be read: {error}.", needed="A document index is needed.", todo="Install the stick again."
    )
