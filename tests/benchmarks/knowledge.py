"""How often the right passage is found, beside FTS5's own tokenizers; and what a question costs in a large index.

Quality is shown on the half of each public question set that no weight was chosen on (``Ask.tuned_on``). Every passage
of a set is one passage of the index, so that all ways of searching are asked the same. The sets are read beside the
project, or where the variable ``FIELDPOST_QA`` names; so is the English embedding model (``FIELDPOST_EMBED``), which
is tried on English and French passages.
"""

import hashlib
import importlib.util
import os
import random
import re
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from appliance.engine.embedding import WorkerEmbedder
from appliance.exchange import Passage
from appliance.knowledge.document import Document
from appliance.knowledge.index import write_passages
from appliance.knowledge.opened import OpenIndex
from appliance.knowledge.retrieve import Retriever
from appliance.knowledge.vectors import Embedder, Vector, VectorStore
from appliance.knowledge.words import words
from tests.benchmarks.frame import Row
from tests.support.questions import Ask, QuestionSet, question_sets

SHARED = Path(__file__).resolve().parents[3] / "shared"
QA = Path(os.environ.get("FIELDPOST_QA", SHARED / "data" / "qa"))
EMBED = Path(os.environ.get("FIELDPOST_EMBED", SHARED / "models" / "all-MiniLM-L6-v2-Q8_0.gguf"))
PLAIN = ("unicode61", "porter unicode61", "trigram")
RANKS = (1, 5, 10)
CHUNKS = 50_000

Search = Callable[[str], Sequence[int]]
"""The numbers of the passages found for a question, best first."""


# What must be reached whatever the plain tokenizers do.
TARGETS = {
    "XQuAD zh: lexical, rank 5": 0.97,
    "XQuAD en: hybrid, rank 5": 0.995,
    "Amharic QA: lexical, rank 5": 0.98,
}


def measure(quick: bool) -> list[Row]:
    """Shares from 0 to 1; times in milliseconds."""
    sets = list(question_sets(QA))
    with tempfile.TemporaryDirectory() as folder, _embedder() as embedder:
        rows = [row for each in sets for row in _quality(each, Path(folder), quick, embedder)]
        return [
            *rows,
            *_fewer_errors(rows),
            *_speed(sets, Path(folder), 5_000 if quick else CHUNKS),
            *(_stores(sets, Path(folder), embedder, 5_000 if quick else CHUNKS) if embedder else ()),
        ]


@contextmanager
def _embedder() -> Iterator[Embedder | None]:
    if not EMBED.exists():
        yield None
        return
    with WorkerEmbedder(EMBED, digest=hashlib.sha256(EMBED.read_bytes()).hexdigest()) as opened:
        yield opened


def _quality(questions: QuestionSet, folder: Path, quick: bool, embedder: Embedder | None) -> list[Row]:
    asks = [ask for ask in questions.asks if not ask.tuned_on][: 60 if quick else None]
    plain = {name: _plain(questions.passages, name) for name in PLAIN}
    texts = [ask.text for ask in asks]
    shares = {name: _shares(search, asks, texts) for name, search in plain.items()}
    best = [max(found[at] for found in shares.values()) for at in range(len(RANKS))]
    rows = [_row(questions.name, name, at, found[at]) for name, found in shares.items() for at in range(len(RANKS))]
    embedder = embedder if questions.lang in ("en", "fr") and not quick else None
    path = index_of(questions.passages, questions.lang, folder, embedder)
    with Retriever([path]) as retriever:
        lexical = _shares(lambda text: _numbers(retriever, text), asks, texts)
        rows += [_row(questions.name, "lexical", at, lexical[at], best[at] if at == 0 else None) for at in range(3)]
        if any(ask.native != ask.text for ask in asks):
            asked = [ask for ask in asks if ask.native]
            spoken = [ask.native for ask in asked]
            found = {name: _shares(search, asked, spoken) for name, search in plain.items()}
            ours = _shares(lambda text: _numbers(retriever, "", spoken=text), asked, spoken)
            for at in (0, 1):
                best_plain = max(share[at] for share in found.values())
                rows.append(_row(questions.name, "native question, best plain", at, best_plain))
                rows.append(_row(questions.name, "native question, lexical", at, ours[at], best_plain))
    if embedder is not None:
        with Retriever([path], embedder=embedder) as retriever, closing(OpenIndex(path)) as index:
            store = index.vectors()
            dense = _shares(lambda t: [n - 1 for n, _ in store.nearest(embedder.question(t), 10)], asks, texts)
            hybrid = _shares(lambda text: _numbers(retriever, text), asks, texts)
        rows += [_row(questions.name, "vectors alone", at, dense[at]) for at in range(3)]
        rows += [_row(questions.name, "hybrid", at, hybrid[at], max(lexical[at], dense[at])) for at in range(3)]
    return rows


def _fewer_errors(rows: list[Row]) -> list[Row]:
    """Rank-1 errors beside the best plain tokenizer's, of the sets that are searched without embeddings."""
    share = {row.metric: row.value for row in rows}
    names = [
        name.partition(":")[0] for name in share if name.startswith("XQuAD") and name.endswith(": lexical, rank 1")
    ]
    fewer = [
        1 - (1 - share[f"{name}: lexical, rank 1"]) / (1 - max(share[f"{name}: {plain}, rank 1"] for plain in PLAIN))
        for name in names
    ]
    return [
        *(Row(metric=f"{n}: fewer errors, rank 1", value=f, unit="share") for n, f in zip(names, fewer, strict=True)),
        Row(metric="XQuAD: fewer errors, rank 1, mean", value=statistics.mean(fewer), unit="share", target=0.25),
    ]


def _row(name: str, way: str, at: int, value: float, target: float | None = None) -> Row:
    metric = f"{name}: {way}, rank {RANKS[at]}"
    return Row(metric=metric, value=value, unit="recall", target=TARGETS.get(metric, target))


def _shares(search: Search, asks: Sequence[Ask], texts: Sequence[str]) -> list[float]:
    """Share of questions whose passage is among the first 1, 5, 10."""
    hits = [0] * len(RANKS)
    for ask, text in zip(asks, texts, strict=True):
        found = list(search(text))[: RANKS[-1]]
        for at, rank in enumerate(RANKS):
            hits[at] += ask.passage in found[:rank]
    return [hit / len(asks) for hit in hits]


def _plain(passages: Sequence[tuple[str, str]], tokenizer: str) -> Search:
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
    """An index with each of these as a document of one passage, called by its number."""
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


def _numbers(retriever: Retriever, text: str, *, spoken: str = "") -> list[int]:
    return [int(passage.document) for passage in retriever.search(text, RANKS[-1], spoken=spoken)]


def _speed(sets: Sequence[QuestionSet], folder: Path, chunks: int) -> list[Row]:
    """A large index made of real sentences in new orders, asked real questions."""
    english = [each for each in sets if each.lang == "en"]
    sentences = [s for each in english for _, text in each.passages for s in re.split(r"(?<=[.!?])\s+", text)]
    questions = [ask.text for each in english for ask in each.asks]
    order = random.Random(chunks)
    passages = [("", " ".join(order.choices(sentences, k=5))) for _ in range(chunks)]
    asked = order.sample(questions, 200)
    bare = _plain(passages, "unicode61")
    scattered = _Scattered()
    path = index_of(passages, "en", folder, scattered)
    began = time.perf_counter()
    with Retriever([path]) as retriever, Retriever([path], embedder=scattered) as hybrid:
        opened = (time.perf_counter() - began) / 2
        ways: dict[str, Callable[[str], object]] = {
            "bare": bare,
            "lexical": lambda text: retriever.search(text, 10),
            "hybrid": lambda text: hybrid.search(text, 10),
        }
        for way in ways.values():
            way(asked[0])
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for text in asked:
            for name in order.sample(sorted(ways), len(ways)):
                began = time.perf_counter()
                ways[name](text)
                seconds[name].append(time.perf_counter() - began)
    p95 = {name: statistics.quantiles(times, n=20)[-1] for name, times in seconds.items()}
    size = path.stat().st_size / sum(len(text.encode()) for _, text in passages)
    return [
        Row(metric=f"{chunks} chunks: bare FTS5 query, p95", value=1000 * p95["bare"], unit="ms"),
        Row(metric=f"{chunks} chunks: lexical, p95", value=1000 * p95["lexical"], unit="ms"),
        Row(metric="lexical / bare, p95", value=p95["lexical"] / p95["bare"], unit="ratio", target=1.5, lower=True),
        Row(
            metric="hybrid adds to lexical beside its embedding, median",
            value=1000 * statistics.median(h - x for h, x in zip(seconds["hybrid"], seconds["lexical"], strict=True)),
            unit="ms",
            target=20,
            lower=True,
        ),
        Row(metric=f"{chunks} chunks: index opens", value=1000 * opened, unit="ms", target=50, lower=True),
        Row(metric=f"{chunks} chunks: index / text", value=size, unit="ratio"),
    ]


class _Scattered:
    """An embedder that costs nothing: any vector will do to see what comparing costs."""

    digest = "0" * 64

    def question(self, text: str) -> Vector:
        return self.passages([text])[0]

    def passages(self, texts: Sequence[str]) -> Vector:
        found = np.random.default_rng(len(texts)).standard_normal((len(texts), 384)).astype(np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def _stores(sets: Sequence[QuestionSet], folder: Path, embedder: Embedder, chunks: int) -> list[Row]:
    """How far the other stores agree with comparing all, on vectors that lie between those of real passages."""
    english = next(each for each in sets if each.lang == "en")
    real = embedder.passages([text for _, text in english.passages])
    random_ = np.random.default_rng(chunks)
    mixed = np.einsum(
        "nk,nkd->nd", random_.dirichlet([1, 1, 1], chunks), real[random_.integers(len(real), size=(chunks, 3))]
    )
    vectors = (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)

    class Mixed(_Scattered):
        def passages(self, texts: Sequence[str]) -> Vector:
            return vectors

    path = index_of([("", str(number)) for number in range(chunks)], "en", folder, Mixed())
    began = time.perf_counter()
    asked = [embedder.question(ask.text) for ask in english.asks[:100]]
    rows = [Row(metric="a question's embedding, mean", value=10 * (time.perf_counter() - began), unit="ms")]
    truth = [set((np.argsort(-(vectors @ vector))[:10] + 1).tolist()) for vector in asked]
    with closing(OpenIndex(path)) as index:
        stores: dict[str, Callable[[], VectorStore]] = {"the index itself": index.vectors}
        if importlib.util.find_spec("faiss"):
            from appliance.knowledge.vectors_faiss import faiss_store

            stores["FAISS"] = lambda: faiss_store(folder / "faiss")(index)
        if importlib.util.find_spec("pymilvus"):
            from appliance.knowledge.vectors_milvus import milvus_store

            stores["Milvus"] = lambda: milvus_store(str(folder / "milvus.db"))(index)
        for name, make in stores.items():
            store = make()
            store.nearest(asked[0], 10)
            began = time.perf_counter()
            found = [{number for number, _ in store.nearest(vector, 10)} for vector in asked]
            spent = (time.perf_counter() - began) / len(asked)
            agree = statistics.mean(len(one & other) / 10 for one, other in zip(found, truth, strict=True))
            store.close()
            rows += [
                Row(metric=f"{name}: top 10 as comparing all", value=agree, unit="share", target=0.95),
                Row(metric=f"{name}: nearest of {chunks}, mean", value=1000 * spent, unit="ms"),
            ]
    return rows
