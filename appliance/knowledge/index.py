"""The search index of a docpack: one SQLite file with its documents, passages and FTS5's lists of terms.

A passage is kept as its text and as its terms (``words.terms`` of title, heading and text). FTS5 lists the terms and
their pieces and is given them ready-made, because no tokenizer of its own fits every language; it keeps no copy of
them. How many passages have a term is kept too, so that a question can be weighed before anything is searched. With an
embedding model each passage has a vector, and the index names that model by its digest. Vectors are made by the
processor's own arithmetic: another kind of processor may round a byte of them otherwise.

Built at bundling time by ``fieldpost index`` and never changed on a box. The same documents give the same bytes, so
that anyone can build a bundle again and compare. Searching is left to ``retrieve``.
"""

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlite_utils import Database

from appliance.errors import KnowledgeError
from appliance.exchange import Passage
from appliance.knowledge.chunk import passages
from appliance.knowledge.document import Document
from appliance.knowledge.duplicates import find_same, in_words
from appliance.knowledge.ingest import read_documents
from appliance.knowledge.vectors import Embedder, likeness, packed
from appliance.knowledge.words import grams, key, terms

APPLICATION_ID = 0x46706978  # "Fpix"
FORMAT = 4
"""SQLite's ``user_version`` of the file."""


def build_index(
    files: Sequence[Path],
    *,
    docpack: str,
    language: str,
    out: Path,
    note: Callable[[str], None] = lambda _: None,
    embedder: Embedder | None = None,
) -> int:
    """Read documents and write their index. An older file at ``out`` is replaced, whole or not at all.

    Args:
        files: of the kinds that ``ingest`` knows; a document is called by its file name.
        docpack: the docpack's name, part of every passage's id.
        language: the documents' language, as a BCP 47 primary tag.
        note: told, in sentences, of copies and of pages that hold no text.
        embedder: makes vectors of the passages, if they shall be found by meaning too.

    Returns:
        The number of passages.

    Raises:
        KnowledgeError: a file cannot be read, two have one name, or there is nothing to index.
    """
    documents = read_documents(sorted(files, key=lambda f: f.name), lang=language)
    for document in documents:
        for words in document.notes:
            note(f"{document.path}: {words}")
    same = find_same(documents)
    for pair in same:
        note(in_words(pair))
    copies = {pair.second for pair in same if pair.copy}
    documents = [document for document in documents if document.path not in copies]
    return write_index(documents, docpack=docpack, language=language, out=out, embedder=embedder)


def write_index(
    documents: Sequence[Document], *, docpack: str, language: str, out: Path, embedder: Embedder | None = None
) -> int:
    """Write the index of documents that were read already; the rest is as ``build_index`` says."""
    names = [document.path for document in documents]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise KnowledgeError(f"Two documents are called {twice[0]}.", todo="Rename one of them.")
    found = [passage for document in documents for passage in passages(document, docpack=docpack)]
    if not found:
        raise KnowledgeError(
            f"There is no text to index in {', '.join(names) or 'no files at all'}.",
            needed="At least one document with a paragraph is needed.",
        )
    write_passages(documents, found, docpack=docpack, language=language, out=out, embedder=embedder)
    return len(found)


def write_passages(
    documents: Sequence[Document],
    found: Sequence[Passage],
    *,
    docpack: str,
    language: str,
    out: Path,
    embedder: Embedder | None = None,
) -> None:
    """Write the index of documents that were cut already; the rest is as ``build_index`` says."""
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".index-") as folder:
            made = Path(folder) / "index.sqlite"
            _write(made, documents, found, docpack=docpack, language=language, embedder=embedder)
            made.chmod(0o644)
            made.replace(out)
    except (OSError, sqlite3.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise KnowledgeError(f"{out} cannot be written: {why}.", todo="Check the disk, or choose another.") from error


def _write(
    path: Path,
    documents: Sequence[Document],
    found: Sequence[Passage],
    *,
    docpack: str,
    language: str,
    embedder: Embedder | None,
) -> None:
    vectors = embedder.passages([_embedded(p) for p in found]) if embedder else None
    with contextlib.closing(sqlite3.connect(path)) as connection:
        db = Database(connection)
        # Fixed, because SQLite's defaults differ from build to build and the bytes must not.
        db.execute("PRAGMA page_size = 4096")
        db.execute("PRAGMA auto_vacuum = 0")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {FORMAT}")
        cut = [
            [terms(part, language) for part in (p.title, p.heading, p.text)] for p in found
        ]  # of each passage, its title's, heading's and text's terms
        db.table("docpack").insert(
            {
                "name": docpack,
                "lang": language,
                "passages": len(found),
                "mean_terms": sum(len(part) for parts in cut for part in parts) / len(found),
                "embedder": embedder.digest if embedder else "",
                "dimension": 0 if vectors is None else vectors.shape[1],
                "likeness": 0.0 if vectors is None else likeness(vectors),
            },
            pk="name",
        )
        db.table("document").insert_all(
            ({"path": d.path, "title": d.title, "lang": d.lang, "text": d.text} for d in documents), pk="path"
        )
        db.table("passage").insert_all(
            (
                {
                    "number": number,
                    "id": p.id,
                    "document": p.document,
                    "start": p.start,
                    "end": p.end,
                    "page": p.page,
                    "title": p.title,
                    "heading": p.heading,
                    "text": p.text,
                    "terms": "\n".join(" ".join(part) for part in parts),
                }
                for number, (p, parts) in enumerate(zip(found, cut, strict=True), start=1)
            ),
            pk="number",
            columns={"page": int},  # or a pack without pages would have a column of another type
        )
        db.table("document").create_index(["lang"])  # asked for at every opening
        db.table("passage").create_index(["id"], unique=True)
        _list_terms(db, cut)
        db.execute("create table vector (passage integer primary key, value blob)")
        if vectors is not None:
            db.conn.executemany("insert into vector values (?, ?)", enumerate(packed(vectors), start=1))
        connection.commit()
        db.vacuum()
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _embedded(passage: Passage) -> str:
    return "\n".join(part for part in (passage.title, passage.heading, passage.text) if part)


def _list_terms(db: Database, cut: list[list[list[str]]]) -> None:
    # Terms are letters, digits and marks: of ASCII, only the pieces' underscore has to be named.
    db.execute("create virtual table listed using fts5(terms, content='', tokenize=\"ascii tokenchars '_'\")")
    db.conn.executemany(
        "insert into listed (rowid, terms) values (?, ?)",
        ((number, _listed([t for part in parts for t in part])) for number, parts in enumerate(cut, start=1)),
    )
    db.execute("insert into listed (listed) values ('optimize')")
    db.execute("create virtual table temp.counted using fts5vocab(main, listed, row)")
    db.execute("create table frequency (term text primary key, passages integer) without rowid")
    db.execute("insert into frequency select term, doc from temp.counted order by term")


def _listed(found: list[str]) -> str:
    """A passage's terms, and each piece of them once: where a piece is common, how often it is there tells nothing."""
    return " ".join([*found, *dict.fromkeys(key(gram) for term in dict.fromkeys(found) for gram in grams(term))])
