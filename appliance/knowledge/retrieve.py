"""Finding passages by a question's words: BM25 over the indexes of all installed docpacks, read-only.

The indexes are part of the signed release: they are opened immutable, so that not even a lock file is written beside
them. Telling which passage answers a question is left to the model.
"""

import re
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from sqlite_utils import Database

from appliance.errors import KnowledgeError
from appliance.exchange import Passage
from appliance.knowledge.index import APPLICATION_ID, FORMAT
from appliance.knowledge.words import match_query

# Weights of title, heading and text: a word in a heading says more about its section than one in its text.
_WEIGHTS = (1.0, 2.0, 1.0)

_LANGUAGE = re.compile("[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")

_SEARCH = f"""
    select p.id, p.document, p.title, p.heading, d.lang, p.text, p.start, p.end, p.page,
           bm25(passage_fts, {_WEIGHTS[0]}, {_WEIGHTS[1]}, {_WEIGHTS[2]}) as score
    from passage_fts
    join passage p on p.number = passage_fts.rowid
    join document d on d.path = p.document
    where passage_fts match ?
    order by score, p.number
    limit ?
"""  # noqa: S608  (numbers of ours)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    docpack: str
    lang: str
    db: Database


class Retriever:
    """Searches the installed docpacks. Any thread may ask. A context manager; ``close`` it otherwise."""

    def __init__(self, indexes: Sequence[Path]) -> None:
        """Open the indexes; with none, every search finds nothing.

        Raises:
            KnowledgeError: a file is no index of ours.
        """
        self._lock = threading.Lock()
        self._indexes: list[_Index] = []
        try:
            for path in indexes:
                self._indexes.append(_open(path))
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
                index.db.close()
            self._indexes.clear()

    def search(self, query: str, limit: int) -> list[Passage]:
        """The passages that share most of the query's telling words, best first, at most ``limit``.

        Args:
            query: a question in the documents' language, as a person typed it.

        Raises:
            KnowledgeError: an index is damaged.
        """
        hits: list[tuple[float, int, Passage]] = []
        with self._lock:
            for order, index in enumerate(self._indexes):
                hits.extend((score, order, passage) for score, passage in _search(index, query, limit))
        # Scores of different indexes are only roughly alike; good enough until vectors join them.
        hits.sort(key=lambda hit: hit[:2])
        return [passage for _, _, passage in hits[: max(0, limit)]]

    def document(self, docpack: str, path: str) -> tuple[str, str, str]:
        """Title, text and language of a document, to show a passage where it stands.

        Raises:
            KnowledgeError: there is no such document.
        """
        with self._lock:
            for index in self._indexes:
                if index.docpack == docpack:
                    for title, text, lang in _rows(
                        index.db, "select title, text, lang from document where path = ?", [path]
                    ):
                        return title, text, lang
        raise KnowledgeError(
            f"There is no document {path} in {docpack}.", todo="Ask again: a newer release may be in use."
        )


def _open(path: Path) -> _Index:
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path.resolve()))}?mode=ro&immutable=1", uri=True, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise _damaged(path, error) from error
    db = Database(connection)
    try:
        db.execute("PRAGMA trusted_schema = OFF")  # whoever wrote the file decides what is in its schema
        identity = tuple(db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        if identity != (APPLICATION_ID, FORMAT):
            raise KnowledgeError(
                f"{path} is no document index of this version.",
                needed=f"Format {FORMAT} is needed.",
                todo="Build the bundle again with this Fieldpost, and install it.",
            )
        ((docpack, lang),) = db.execute("select name, lang from docpack").fetchall()
        for (tag,) in db.execute("select lang from docpack union select lang from document").fetchall():
            if not _LANGUAGE.fullmatch(str(tag)):
                raise ValueError(f"{str(tag)[:40]!r} is no language's tag")
    except (sqlite3.Error, ValueError) as error:
        db.close()
        raise _damaged(path, error) from error
    except BaseException:
        db.close()
        raise
    return _Index(docpack=docpack, lang=lang, db=db)


def _search(index: _Index, query: str, limit: int) -> list[tuple[float, Passage]]:
    wanted = match_query(query, index.lang)
    if not wanted or limit < 1:
        return []
    return [
        (
            score,
            Passage(
                id=id_,
                docpack=index.docpack,
                document=document,
                title=title,
                heading=heading,
                lang=lang,
                text=text,
                start=start,
                end=end,
                page=page,
            ),
        )
        for id_, document, title, heading, lang, text, start, end, page, score in _rows(
            index.db, _SEARCH, [wanted, limit]
        )
    ]


def _rows(db: Database, sql: str, parameters: list[object]) -> list[tuple[Any, ...]]:
    try:
        return list(db.execute(sql, parameters))
    except sqlite3.Error as error:
        raise KnowledgeError(f"The document index is damaged: {error}.", todo="Install the stick again.") from error


def _damaged(path: Path, error: Exception) -> KnowledgeError:
    return KnowledgeError(
        f"{path} cannot be read: {error}.", needed="A document index is needed.", todo="Install the stick again."
    )
