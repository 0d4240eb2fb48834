"""What a search is compared with, and indexes of texts that are in no file: for the benchmarks of ``knowledge``."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from appliance.exchange import Passage
from appliance.knowledge.document import Document
from appliance.knowledge.index import write_passages
from appliance.knowledge.vectors import Embedder
from appliance.knowledge.words import words

PLAIN = ("unicode61", "porter unicode61", "trigram")
"""FTS5's own tokenizers."""

Search = Callable[[str], Sequence[int]]
"""The numbers of the passages found for a question, best first."""


def plain_search(passages: Sequence[tuple[str, str]], tokenizer: str) -> Search:
    """FTS5 with one of its own tokenizers: any term, BM25."""
    db = sqlite3.connect(":memory:")
    db.execute(f"create virtual table plain using fts5(title, text, tokenize='{tokenizer}')")
    db.executemany(
        "insert into plain (rowid, title, text) values (?, ?, ?)",
        ((number, title, text) for number, (title, text) in enumerate(passages)),
    )

    def search(text: str) -> list[int]:
        found = words(text)
        if tokenizer == "trigram":
            found = [word[i : i + 3] for word in found for i in range(len(word) - 2)]
        match = " OR ".join(f'"{word}"' for word in dict.fromkeys(found))
        sql = "select rowid from plain where plain match ? order by bm25(plain) limit 10"
        return [number for (number,) in db.execute(sql, [match])] if match else []

    return search


def index_of(passages: Sequence[tuple[str, str]], lang: str, folder: Path, embedder: Embedder | None = None) -> Path:
    """An index with each of these (title, text) as a document of one passage, called by its number."""
    documents = [
        Document(path=str(number), title=title, lang=lang, text=text) for number, (title, text) in enumerate(passages)
    ]
    found = [
        Passage(
            id=f"set/{d.path}",
            docpack="set",
            document=d.path,
            title=d.title,
            heading="",
            lang=lang,
            text=d.text,
            start=0,
            end=len(d.text),
        )
        for d in documents
    ]
    write_passages(documents, found, docpack="set", language=lang, out=folder / "index.sqlite", embedder=embedder)
    return folder / "index.sqlite"
