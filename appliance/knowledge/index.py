"""The search index of a docpack: one SQLite file with its documents, passages and FTS5's lists of terms.

A passage is kept as its text and as its terms (``words.terms`` of title, heading and text). FTS5 lists the terms and
their pieces and is given them ready-made, because no tokenizer of its own fits every language; it keeps no copy of
them. How many passages have a term is kept too, so that a question can be weighed before anything is searched. With an
embedding model each passage has a vector, and the index names that model by its digest. Vectors are made by the
processor's own arithmetic: another kind of processor may round a byte of them otherwise. How all this becomes a file
is ``bundles.format.index_file``'s, because the installer writes it too.

Built at bundling time by ``fieldpost index`` and never changed on a box. The same documents give the same bytes, so
that anyone can build a bundle again and compare. Searching is left to ``retrieve``.
"""

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from appliance.errors import KnowledgeError
from appliance.exchange import Passage
from appliance.knowledge.chunk import passages
from appliance.knowledge.document import Document
from appliance.knowledge.duplicates import find_same, in_words
from appliance.knowledge.ingest import read_documents
from appliance.knowledge.opened import OpenIndex
from appliance.knowledge.trust import measured
from appliance.knowledge.vectors import Embedder, embedded, likeness, packed
from appliance.knowledge.words import terms
from bundles.format.index_file import DocumentRow, PackRow, PassageRow, write_index_file


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
    vectors = embedder.passages([embedded(p) for p in found]) if embedder else None
    rows = [b""] * len(found) if vectors is None else packed(vectors)
    by_document: dict[str, list[PassageRow]] = {document.path: [] for document in documents}
    count = 0
    for passage, vector in zip(found, rows, strict=True):
        cut = [terms(part, language) for part in (passage.title, passage.heading, passage.text)]
        count += sum(map(len, cut))
        by_document[passage.document].append(
            PassageRow(
                start=passage.start,
                end=passage.end,
                page=passage.page,
                heading=passage.heading,
                terms=(" ".join(cut[0]), " ".join(cut[1]), " ".join(cut[2])),
                vector=vector,
            )
        )
    pack = PackRow(
        name=docpack,
        lang=language,
        passages=len(found),
        mean_terms=count / len(found),
        embedder=embedder.digest if embedder else "",
        dimension=0 if vectors is None else vectors.shape[1],
        likeness=0.0 if vectors is None else likeness(vectors),
        trust=1.0,
    )
    texts = [
        DocumentRow(path=d.path, title=d.title, lang=d.lang, text=d.text, passages=by_document[d.path])
        for d in documents
    ]
    write_index_file(path, pack, texts)
    if embedder is not None and vectors is not None:
        with contextlib.closing(OpenIndex(path)) as index:
            trust = measured(index, found, vectors, embedder)
        path.unlink()  # and again, because the bytes follow from the rows alone
        write_index_file(path, replace(pack, trust=trust), texts)
