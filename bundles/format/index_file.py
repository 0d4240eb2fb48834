"""The search index as a file: its rows in, one SQLite file out, byte for byte the same wherever it is written.

The workstation writes it when a bundle is built, and the installer when only what changed was sent, so it stands on
the standard library alone. Of the rows, a passage's terms are given; the lists that a search looks into follow from
them: FTS5's lists of terms and of their pieces, and how many passages have each. Which texts, cuts and terms is
``appliance.knowledge``'s.

The same rows give the same bytes with every SQLite from 3.40 to 3.54 that was tried: all that differs is the version
of SQLite in the header, which is overwritten.
"""

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Self

APPLICATION_ID = 0x46706978  # "Fpix"
FORMAT = 5
"""SQLite's ``user_version`` of the file."""
PAGE = 4096

_SCHEMA = (
    # Fractions have no type here: of whole numbers in a FLOAT column, SQLite 3.54 makes other bytes than 3.50.
    """CREATE TABLE docpack (name TEXT PRIMARY KEY, lang TEXT, passages INTEGER, mean_terms, embedder TEXT,
    dimension INTEGER, likeness, trust)""",
    "CREATE TABLE document (path TEXT PRIMARY KEY, title TEXT, lang TEXT, text TEXT)",
    """CREATE TABLE passage (number INTEGER PRIMARY KEY, id TEXT, document TEXT, start INTEGER, "end" INTEGER,
    page INTEGER, title TEXT, heading TEXT, text TEXT, terms TEXT)""",
    "CREATE TABLE vector (passage INTEGER PRIMARY KEY, value BLOB)",
    # Terms are letters, digits and marks: of ASCII, only the pieces' underscore has to be named.
    "CREATE VIRTUAL TABLE listed USING fts5(terms, content='', tokenize=\"ascii tokenchars '_'\")",
    "CREATE TABLE frequency (term TEXT PRIMARY KEY, passages INTEGER) WITHOUT ROWID",
    "CREATE INDEX document_lang ON document (lang)",  # asked for at every opening
    "CREATE UNIQUE INDEX passage_id ON passage (id)",
)
# FTS5 is told when to write and never decides by itself, which it does otherwise from version to version.
_LISTS = {"automerge": 0, "crisismerge": 1999, "hashsize": 256 << 20}
_FLUSH = 4 << 20
"""Characters of listed terms after which they are written down."""
_PASSAGES = """
    SELECT p.start, p."end", p.page, p.heading, p.terms, v.value FROM passage p
    LEFT JOIN vector v ON v.passage = p.number WHERE p.number BETWEEN ? AND ? ORDER BY p.number
"""
_VERSION_AT = 96
"""Where the header names the SQLite that wrote last; nothing reads it."""
_VERSION = (3_040_000).to_bytes(4, "big")

NO_SPACES = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uaa60-\uaa7f"
    "\uf900-\ufaff\U00020000-\U0003ffff]+)"
)
"""Text in scripts that put no spaces between words."""
_SYLLABLES = re.compile("[\u1200-\u139f\u2d80-\u2ddf\uab00-\uab2f\uac00-\ud7af]")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackRow:
    """The one row about the whole docpack."""

    name: str
    lang: str
    passages: int
    mean_terms: float
    embedder: str
    """Digest of the model that made the vectors; empty where there are none."""
    dimension: int
    likeness: float
    """Mean similarity of the passages' vectors to each other."""
    trust: float
    """How much better than words the vectors were measured to find."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageRow:
    """A passage; its text is ``document.text[start:end]``."""

    start: int
    end: int
    page: int | None
    heading: str
    terms: tuple[str, str, str]
    """Of title, heading and text, each joined by spaces."""
    vector: bytes
    """One byte a dimension; empty where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRow:
    """A document and its passages, in order."""

    path: str
    title: str
    lang: str
    text: str
    passages: Sequence[PassageRow]


def write_index_file(path: Path, pack: PackRow, documents: Iterable[DocumentRow], *, most: int | None = None) -> None:
    """Write the file and sync it; ``path`` and ``path`` with ``.raw`` behind it must not be there.

    Args:
        most: bytes that it may take while it is made.

    Raises:
        sqlite3.Error: the disk is full, rows are said twice, or it would take more than ``most``.
        OSError: it cannot be written.
    """
    raw = path.with_name(f"{path.name}.raw")
    try:
        with contextlib.closing(sqlite3.connect(raw, isolation_level=None)) as db:
            _fill(db, pack, documents, most)
            db.execute("VACUUM INTO ?", (str(path),))
        with path.open("rb+") as file:
            _forget_the_writer(file)
            file.flush()
            os.fsync(file.fileno())
    finally:
        raw.unlink(missing_ok=True)


def _fill(db: sqlite3.Connection, pack: PackRow, documents: Iterable[DocumentRow], most: int | None) -> None:
    # Fixed, because SQLite's defaults differ from build to build and the bytes must not.
    settings = {"page_size": PAGE, "auto_vacuum": 0, "encoding": "'UTF-8'", "journal_mode": "OFF", "synchronous": "OFF"}
    settings |= {"application_id": APPLICATION_ID, "user_version": FORMAT, "secure_delete": "ON"}
    settings |= {"max_page_count": most // PAGE} if most else {}
    for name, value in settings.items():
        db.execute(f"PRAGMA {name} = {value}")
    for statement in _SCHEMA:
        db.execute(statement)
    for name, size in _LISTS.items():
        db.execute("INSERT INTO listed (listed, rank) VALUES (?, ?)", (name, size))
    db.execute("BEGIN")
    db.execute("INSERT INTO docpack VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [getattr(pack, f.name) for f in fields(pack)])
    number = waiting = 0
    for document in documents:
        db.execute("INSERT INTO document VALUES (?, ?, ?, ?)", _columns(document))
        for count, row in enumerate(document.passages, start=1):
            number += 1
            text = document.text[row.start : row.end]
            identity = f"{pack.name}/{document.path}#{count}"
            place = (number, identity, document.path, row.start, row.end, row.page)
            words = (document.title, row.heading, text, "\n".join(row.terms))
            db.execute("INSERT INTO passage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*place, *words))
            listed = _listed(" ".join(row.terms))
            db.execute("INSERT INTO listed (rowid, terms) VALUES (?, ?)", (number, listed))
            if row.vector:
                db.execute("INSERT INTO vector VALUES (?, ?)", (number, row.vector))
            waiting += len(listed)
            if waiting > _FLUSH:
                db.execute("COMMIT")
                db.execute("BEGIN")
                waiting = 0
    db.execute("INSERT INTO listed (listed) VALUES ('optimize')")
    db.execute("CREATE VIRTUAL TABLE temp.counted USING fts5vocab(main, listed, row)")
    db.execute("INSERT INTO frequency SELECT term, doc FROM temp.counted ORDER BY term")
    db.execute("COMMIT")


def _forget_the_writer(file: BinaryIO) -> None:
    """Overwrite what differs between versions of SQLite and says nothing: the writer's version, and what it left lying
    between a page's cell pointers and its cells. Source: sqlite.org/fileformat2.html, 1.3 and 1.6.
    """
    number = 0
    while page := file.read(PAGE):
        begin = 100 if number == 0 else 0
        inner = page[begin] in (2, 5)
        if inner or page[begin] in (10, 13):  # an overflow page begins with a number that is never so large
            first = begin + (12 if inner else 8) + 2 * int.from_bytes(page[begin + 3 : begin + 5], "big")
            last = int.from_bytes(page[begin + 5 : begin + 7], "big")
            if any(page[first:last]):
                file.seek(number * PAGE + first)
                file.write(bytes(last - first))
                file.seek((number + 1) * PAGE)
        number += 1
    file.seek(_VERSION_AT)
    file.write(_VERSION)


def _columns(document: DocumentRow) -> tuple[str, str, str, str]:
    return document.path, document.title, document.lang, document.text


class IndexFile:
    """An index opened to be read: what ``write_index_file`` was given. A context manager; ``close`` it otherwise."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            ValueError: it is no such file, or of another format.
        """
        self._db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            with _as_value_error():
                self._db.execute("PRAGMA trusted_schema = OFF")
                marks = [
                    self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
                ]
                columns = [column.name for column in fields(PackRow)]
                rows = self._db.execute(f"SELECT {', '.join(columns)} FROM docpack").fetchall()  # noqa: S608 ours
                if marks != [APPLICATION_ID, FORMAT] or len(rows) != 1:
                    raise ValueError("it is of another format")
                self.pack = PackRow(**dict(zip(columns, rows[0], strict=True)))
                paths = self._db.execute("SELECT path FROM document ORDER BY rowid").fetchall()
                self.paths: tuple[str, ...] = tuple(path for (path,) in paths)
                spans = self._db.execute("SELECT document, min(number), max(number) FROM passage GROUP BY document")
                self._spans = {path: (first, last) for path, first, last in spans}
        except ValueError:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def document(self, path: str) -> DocumentRow:
        """A document, one of ``paths``, with its passages.

        Raises:
            ValueError: the index does not hold it, or is damaged.
        """
        with _as_value_error():
            found = self._db.execute("SELECT path, title, lang, text FROM document WHERE path = ?", (path,)).fetchall()
            if not found:
                raise ValueError(f"there is no document {path}")
            path, title, lang, text = found[0]
            passages = self._db.execute(_PASSAGES, self._spans.get(path, (0, -1)))
            return DocumentRow(
                path=path, title=title, lang=lang, text=text, passages=[_passage(row) for row in passages]
            )


@contextlib.contextmanager
def _as_value_error() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"the index cannot be read: {error}") from error


def _passage(row: Sequence[Any]) -> PassageRow:
    start, end, page, heading, terms, vector = row
    title, above, own = terms.split("\n")
    return PassageRow(start=start, end=end, page=page, heading=heading, terms=(title, above, own), vector=vector or b"")


@lru_cache(maxsize=100_000)
def grams(term: str) -> tuple[str, ...]:
    """A term's pieces: four letters each, three where a letter is a syllable, one where the script has no spaces.

    A space stands for the term's border, so that ``boil`` gives `` boi``, ``boil`` and ``oil ``.
    """
    if NO_SPACES.match(term):
        return tuple(term)
    size = 3 if _SYLLABLES.search(term) else 4
    bordered = f" {term} "
    return tuple(bordered[i : i + size] for i in range(max(1, len(bordered) - size + 1)))


def key(gram: str) -> str:
    """A piece as the index names it: unlike any term, and without spaces."""
    return f"_{gram.replace(' ', '_')}"


def _listed(words: str) -> str:
    """A passage's terms, and each piece of them once: where a piece is common, how often it is there tells nothing."""
    found = words.split()
    return " ".join([*found, *dict.fromkeys(key(gram) for term in dict.fromkeys(found) for gram in grams(term))])
