"""How a search index follows from the one before it and from the new documents: its rows, and the file made anew.

An edit changes FTS5's lists of terms nearly everywhere, and they follow from the rows. So only rows travel, and not
even those of documents that are as they were. ``bundles.format.index_file`` then writes the very bytes that were
signed.

    deltas/<new>.<old>.index    Zstandard frames: the head, then one for each document that changed

The head is JSON: the row about the docpack, the documents' paths in order, and which of them changed. Its base is the
old index's own head, with nothing changed. A document's **record** is a line of JSON and behind it the document's text,
the terms of its passages' texts, and their vectors. Its base is the old record of the same path, where there is one,
and behind that the new file of that name, if it has at most ``MAX_BESIDE`` bytes. Nobody signs a delta: what is read
here is bounded, and what comes out must hash right.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from bundles.format.index_file import PAGE, DocumentRow, IndexFile, PackRow, PassageRow, write_index_file
from bundles.format.zstd import decode_frame
from bundles.format.zstd_entropy import ZstdError

Beside = Callable[[str], Path | None]
"""The file of a document in the new docpack, by its path in there; None where there is none."""

MAX_RECORD = 64 << 20
"""Bytes of one document's record, so that a small box can hold it."""
MAX_BESIDE = 16 << 20
_MAX_LINE = 8 << 20
"""Bytes of JSON in one piece."""
_MAX_PASSAGE = 1 << 16
"""Characters of one passage, of its title, of its heading and of the terms of each; ours have some hundred."""


def head(pack: PackRow, paths: Iterable[str], changed: Iterable[str] = ()) -> bytes:
    """The head of an index, as it travels."""
    return _json({"docpack": asdict(pack), "documents": list(paths), "changed": list(changed)})


def record(document: DocumentRow) -> bytes:
    """A document's record.

    Raises:
        ValueError: it is not cut as ours are, or is too large.
    """
    titles = {row.terms[0] for row in document.passages} or {""}
    if len(titles) > 1 or len({len(row.vector) for row in document.passages}) > 1:
        raise ValueError("its passages have several titles or kinds of vectors")
    sections: list[list[Any]] = []
    at = 0
    for row in document.passages:
        if not sections or sections[-1][:2] != [row.heading, row.terms[1]]:
            sections.append([row.heading, row.terms[1], []])
        # Distances, so that what stands behind an edit stays as it was.
        sections[-1][2] += [row.start - at, row.end - row.start, row.page or 0, len(row.terms[2].split())]
        at = row.end
    text = document.text.encode()
    terms = "\n".join(row.terms[2] for row in document.passages).replace("\n", " ").encode()
    vectors = b"".join(row.vector for row in document.passages)
    line = _json([document.title, document.lang, *titles, len(text), len(terms), sections])
    data = b"".join((line, b"\n", text, terms, vectors))
    if len(line) > _MAX_LINE or len(data) > MAX_RECORD:
        raise ValueError(f"{document.path} is too large for a record")
    return data


def base_of(old: IndexFile, path: str, beside: Beside) -> bytes:
    """What a document's record is packed against."""
    before = record(old.document(path)) if path in old.paths else b""
    file = beside(path)
    return before + (file.read_bytes() if file is not None and file.stat().st_size <= MAX_BESIDE else b"")


def apply_index_delta(source: BinaryIO, old: Path, beside: Beside, size: int, out: Path) -> None:
    """Write the new index; the caller compares its digest. ``out`` must not be there.

    Args:
        old: the index that the delta was made from.
        size: bytes of the new index.

    Raises:
        ZstdError: the delta cannot be read as one, or this machine's SQLite cannot write the index.
        OSError: a file cannot be read or written.
    """
    try:
        with IndexFile(old) as before:
            first = json.loads(decode_frame(source, head(before.pack, before.paths), _MAX_LINE))
            pack = PackRow(**first["docpack"])
            documents = _documents(source, before, first, pack, beside)
            write_index_file(out, pack, documents, most=4 * size + 1024 * PAGE)
        if source.read(1):
            raise ZstdError("it goes on after its end")
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError, sqlite3.Error) as error:
        raise ZstdError(f"no index came of it ({error})") from error


def _documents(
    source: BinaryIO, old: IndexFile, first: dict[str, Any], pack: PackRow, beside: Beside
) -> Iterator[DocumentRow]:
    changed = set(first["changed"])
    for path in first["documents"]:
        if path in changed:
            yield _parse(path, bytes(decode_frame(source, base_of(old, path, beside), MAX_RECORD)), pack.dimension)
        else:
            yield old.document(path)


def _parse(path: str, data: bytes, dimension: int) -> DocumentRow:
    line, _, rest = data.partition(b"\n")
    if len(line) > _MAX_LINE:
        raise ValueError("a line is too long")
    title, lang, title_terms, text_size, terms_size, sections = json.loads(line)
    text = rest[:text_size].decode()
    terms = rest[text_size : text_size + terms_size].decode().split()
    vectors = rest[text_size + terms_size :]
    rows: list[PassageRow] = []
    end = term = 0
    for heading, above, numbers in sections:
        for gap, length, page, count in zip(*[iter(numbers)] * 4, strict=True):
            if not (0 <= end + gap <= end + gap + length <= len(text)) or max(length, count) > _MAX_PASSAGE:
                raise ValueError("a passage lies outside its text")
            start, end = end + gap, end + gap + length
            vector = vectors[len(rows) * dimension : (len(rows) + 1) * dimension]
            own = " ".join(terms[term : term + count])
            # A term's pieces take fifty times its length of memory, so nothing that nobody signed may make it long.
            if max(map(len, (title_terms, above, own))) > _MAX_PASSAGE:
                raise ValueError("a passage has too many terms")
            rows.append(
                PassageRow(
                    start=start,
                    end=end,
                    page=page or None,
                    heading=heading,
                    terms=(title_terms, above, own),
                    vector=vector,
                )
            )
            term += count
    return DocumentRow(path=path, title=title, lang=lang, text=text, passages=rows)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
