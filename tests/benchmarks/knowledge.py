"""How often the right passage is found, beside FTS5's own tokenizers; then what it costs in a large index.

Quality is shown on the half of each public question set that no weight was chosen on (``Ask.tuned_on``). Every passage
of a set is one passage of the index, so that all ways of searching are asked the same. The sets are read beside the
project, or where the variable ``FIELDPOST_QA`` names; so are the Red Cross cards (``FIELDPOST_CARDS``) and the English
embedding model (``FIELDPOST_EMBED``), which is tried on English and French passages. How far it is, is told on
standard error; ``knowledge_size`` is the last part, and a benchmark of its own.
"""

import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import click

from appliance.engine.embedding import WorkerEmbedder
from appliance.knowledge.index import build_index
from appliance.knowledge.opened import OpenIndex
from appliance.knowledge.retrieve import Retriever
from appliance.knowledge.vectors import Embedder
from tests.benchmarks import knowledge_size
from tests.benchmarks.frame import Row
from tests.benchmarks.knowledge_size import EMBED, QA, SHARED
from tests.support.questions import Ask, QuestionSet, question_sets
from tests.support.search import PLAIN, Search, index_of, plain_search

CARDS = Path(os.environ.get("FIELDPOST_CARDS", SHARED / "data" / "docs" / "ifrc_ecv" / "app"))
RANKS = (1, 5, 10)

# What must be reached whatever the plain tokenizers, or each half of a hybrid, do.
TARGETS = {
    "XQuAD zh: lexical, rank 5": 0.97,
    "XQuAD en: hybrid, rank 5": 0.995,
    "AfriQA hau: hybrid, rank 1": 0.78,
    "AfriQA hau: hybrid, rank 5": 0.95,
    "Amharic QA: lexical, rank 1": 0.90,
    "Amharic QA: lexical, rank 5": 0.98,
}


def measure(quick: bool) -> list[Row]:
    """Shares from 0 to 1; times in milliseconds."""
    began = time.monotonic()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, _embedder() as embedder:
        for each in question_sets(QA):
            rows += _quality(each, Path(folder), quick, embedder)
            click.echo(f"{time.monotonic() - began:5.0f} s  {each.name}", err=True)
        rows += _fewer_errors(rows)
        for lang in ("en", "fr", "es"):
            rows += _cards(lang, Path(folder))
    click.echo(f"{time.monotonic() - began:5.0f} s  now a large index", err=True)
    rows += knowledge_size.measure(quick)
    return [*rows, Row(metric="all of this took", value=time.monotonic() - began, unit="s")]


def _cards(lang: str, folder: Path) -> list[Row]:
    """Each card's title asked as a question. Of cards with one title, only one can come first."""
    files = sorted(CARDS.glob(f"*/*_{lang}.md"))
    if not files:
        return []
    build_index(files, docpack="cards", language=lang, out=folder / "cards.sqlite")
    own = same = right = 0
    with Retriever([folder / "cards.sqlite"]) as retriever:
        titles = {file.name: retriever.document("cards", file.name)[0] for file in files}
        for name, title in titles.items():
            (first,) = retriever.search(title, 1) or (None,)
            if first is None:
                continue
            text = retriever.document("cards", first.document)[1]
            own += first.document == name
            same += titles[first.document].casefold() == title.casefold()
            right += text[first.start : first.end] == first.text
    name = f"IFRC cards {lang} ({len(files)})"
    most = len({title.casefold() for title in titles.values()}) / len(files)
    bound = min(0.95, most)
    return [
        Row(metric=f"{name}: the title finds its own card first", value=own / len(files), unit="share", target=bound),
        Row(metric=f"{name}: or one of the same title", value=same / len(files), unit="share", target=0.95),
        Row(metric=f"{name}: the span is the passage's", value=right / len(files), unit="share", target=1),
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
    plain = {name: plain_search(questions.passages, name) for name in PLAIN}
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
    bounds = [bound for bound in (TARGETS.get(metric), target) if bound is not None]
    return Row(metric=metric, value=value, unit="recall", target=max(bounds, default=None))


def _shares(search: Search, asks: Sequence[Ask], texts: Sequence[str]) -> list[float]:
    """Share of questions whose passage is among the first 1, 5, 10."""
    hits = [0] * len(RANKS)
    for ask, text in zip(asks, texts, strict=True):
        found = list(search(text))[: RANKS[-1]]
        for at, rank in enumerate(RANKS):
            hits[at] += ask.passage in found[:rank]
    return [hit / len(asks) for hit in hits]


def _numbers(retriever: Retriever, text: str, *, spoken: str = "") -> list[int]:
    return [int(passage.document) for passage in retriever.search(text, RANKS[-1], spoken=spoken)]
