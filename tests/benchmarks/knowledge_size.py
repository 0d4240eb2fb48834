"""What a question costs in a large index, and whether every store finds the same nearest vectors there.

Passages are real sentences in new orders, asked real questions; vectors lie between those of real passages. FAISS and
Milvus are measured where their extras are installed, sqlite-vec by a Python that may load SQLite extensions.
"""

import hashlib
import importlib.util
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import click
import numpy as np
import sqlite_vec

from appliance.engine.embedding import WorkerEmbedder
from appliance.knowledge.opened import OpenIndex
from appliance.knowledge.retrieve import Retriever
from appliance.knowledge.stores import vector_store
from appliance.knowledge.vectors import Vector
from tests.benchmarks.frame import Row
from tests.support.questions import QuestionSet, question_sets
from tests.support.search import index_of, plain_search
from tests.support.site import ROOT

SHARED = ROOT.parent / "shared"
QA = Path(os.environ.get("FIELDPOST_QA", SHARED / "data" / "qa"))
EMBED = Path(os.environ.get("FIELDPOST_EMBED", SHARED / "models" / "all-MiniLM-L6-v2-Q8_0.gguf"))
CHUNKS = 50_000
QUICK = 5_000
MILVUS = 5_000
"""milvus-lite takes most of a second a question already there; a cluster does not."""
ASKED = 50
DIMENSION = 384

SQLITE_VEC = """
import json, sys
import numpy as np
from pathlib import Path
from appliance.knowledge.opened import OpenIndex
from appliance.knowledge.stores import vector_store
import time
index = OpenIndex(Path(sys.argv[1]))
store = vector_store("sqlite-vec")(index)
asked = np.load(sys.argv[2])
store.nearest(asked[0], 10)
began = time.perf_counter()
found = [[number for number, _ in store.nearest(vector, 10)] for vector in asked]
print(json.dumps([found, time.perf_counter() - began]))
"""


def measure(quick: bool) -> list[Row]:
    """Shares from 0 to 1; times in milliseconds."""
    english = [each for each in question_sets(QA) if each.lang == "en"]
    chunks = QUICK if quick else CHUNKS
    with tempfile.TemporaryDirectory() as folder:
        rows = _speed(english, Path(folder), chunks)
        if EMBED.exists():
            with WorkerEmbedder(EMBED, digest=hashlib.sha256(EMBED.read_bytes()).hexdigest()) as embedder:
                real = embedder.passages([text for _, text in english[0].passages])
                began = time.perf_counter()
                asked = np.stack([embedder.question(ask.text) for ask in english[0].asks[:ASKED]])
                spent = 1000 * (time.perf_counter() - began) / len(asked)
            rows.append(Row(metric="a question's embedding, mean", value=spent, unit="ms"))
            rows += _stores(real, asked, Path(folder), chunks, ("numpy", "sqlite-vec", "faiss"))
            rows += _stores(real, asked, Path(folder), min(chunks, MILVUS), ("milvus",))
        return rows


def _speed(sets: Sequence[QuestionSet], folder: Path, chunks: int) -> list[Row]:
    sentences = [s for each in sets for _, text in each.passages for s in re.split(r"(?<=[.!?])\s+", text)]
    questions = [ask.text for each in sets for ask in each.asks]
    order = random.Random(chunks)
    passages = [("", " ".join(order.choices(sentences, k=5))) for _ in range(chunks)]
    asked = order.sample(questions, 200)
    bare = plain_search(passages, "unicode61")
    scattered = Scattered()
    began = time.perf_counter()
    path = index_of(passages, "en", folder, scattered)
    built = time.perf_counter() - began
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
    added = statistics.median(h - x for h, x in zip(seconds["hybrid"], seconds["lexical"], strict=True))
    ratio = p95["lexical"] / p95["bare"]
    size = path.stat().st_size / sum(len(text.encode()) for _, text in passages)
    of = f"{chunks} chunks"
    return [
        Row(metric=f"{of}: index built, without embedding", value=built, unit="s"),
        Row(metric=f"{of}: index / text", value=size, unit="ratio"),
        Row(metric=f"{of}: index opens", value=1000 * opened, unit="ms", target=50, lower=True),
        Row(metric=f"{of}: bare FTS5 query, p95", value=1000 * p95["bare"], unit="ms"),
        Row(metric=f"{of}: lexical, p95", value=1000 * p95["lexical"], unit="ms"),
        Row(metric=f"{of}: lexical / bare, p95", value=ratio, unit="ratio", target=1.5, lower=True),
        Row(metric=f"{of}: hybrid adds beside its embedding", value=1000 * added, unit="ms", target=20, lower=True),
    ]  # fmt: skip


class Scattered:
    """An embedder that costs nothing: any vector will do to see what comparing costs."""

    digest = "0" * 64

    def question(self, text: str) -> Vector:
        return self.passages([text])[0]

    def passages(self, texts: Sequence[str]) -> Vector:
        found = np.random.default_rng(len(texts)).standard_normal((len(texts), DIMENSION)).astype(np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def _stores(real: Vector, asked: Vector, folder: Path, chunks: int, kinds: Sequence[str]) -> list[Row]:
    """Vectors between these real ones, asked for by these."""
    random_ = np.random.default_rng(chunks)
    mixed = np.einsum(
        "nk,nkd->nd", random_.dirichlet([1, 1, 1], chunks), real[random_.integers(len(real), size=(chunks, 3))]
    )
    vectors = (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)

    class Mixed(Scattered):
        def passages(self, texts: Sequence[str]) -> Vector:
            return vectors[: len(texts)]

    path = index_of([("", str(number)) for number in range(chunks)], "en", folder, Mixed())
    truth = [set((np.argsort(-(vectors @ vector))[:10] + 1).tolist()) for vector in asked]
    rows = []
    for kind in kinds:
        module = {"faiss": "faiss", "milvus": "pymilvus"}.get(kind)
        if module and importlib.util.find_spec(module) is None:
            continue
        click.echo(f"{kind} with {chunks} vectors", err=True)
        if kind == "sqlite-vec":
            if (found := _with_sqlite_vec(path, asked, folder)) is None:
                continue
            numbers, spent = found
        else:
            with closing(OpenIndex(path)) as index:
                store = vector_store(kind, milvus=str(folder / "milvus.db"), folder=folder / "faiss")(index)
                store.nearest(asked[0], 10)
                began = time.perf_counter()
                numbers = [[number for number, _ in store.nearest(vector, 10)] for vector in asked]
                spent = time.perf_counter() - began
                store.close()
        agree = statistics.mean(len({*one} & other) / 10 for one, other in zip(numbers, truth, strict=True))
        rows += [
            Row(metric=f"{kind}: top 10 of {chunks} as comparing all", value=agree, unit="share", target=0.95),
            Row(metric=f"{kind}: nearest of {chunks}, mean", value=1000 * spent / len(asked), unit="ms"),
        ]
    return rows


def _with_sqlite_vec(path: Path, asked: Vector, folder: Path) -> tuple[list[list[int]], float] | None:
    """What sqlite-vec finds, and its seconds; None where no Python here may load extensions."""
    np.save(folder / "asked.npy", asked)
    places = f"{ROOT}:{Path(sqlite_vec.__file__).parents[1]}"
    for python in (sys.executable, "/usr/bin/python3"):
        child = subprocess.run(
            [python, "-c", SQLITE_VEC, path, folder / "asked.npy"],
            env={"PYTHONPATH": places}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if child.returncode == 0:
            numbers, spent = json.loads(child.stdout)
            return numbers, spent
    return None
