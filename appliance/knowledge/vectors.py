"""Vectors of passages, and the nearest of them to a question's: one protocol, and the store that needs nothing more.

By default vectors lie in the index file itself, a row a passage, and all are compared: exact, and quick enough for tens
of thousands. numpy compares them in memory; where they would take too much of it, sqlite-vec does within SQLite, slower
and keeping nothing, if this Python may load extensions (Debian's may).
``vectors_faiss`` and ``vectors_milvus`` are for packs and hubs that outgrow this.
"""

import sqlite3
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import sqlite_vec
from numpy.typing import NDArray

from appliance.errors import ConfigError
from appliance.exchange import Passage

Vector = NDArray[np.float32]
"""Of length 1."""

IN_MEMORY = 256 << 20
"""Bytes that one index's vectors may take: 170,000 of 384 dimensions."""

SAMPLE = 400
"""Passages by whose likeness to each other a model's scale is known."""


class Embedder(Protocol):
    """Turns texts into vectors; see ``appliance.engine.embedding``."""

    @property
    def digest(self) -> str:
        """SHA-256 of the model, by which an index names what made its vectors."""
        ...

    def question(self, text: str) -> Vector:
        """Shape (dimension,)."""
        ...

    def passages(self, texts: Sequence[str]) -> Vector:
        """Shape (texts, dimension)."""
        ...


class VectorStore(Protocol):
    """Finds the nearest vectors."""

    def nearest(self, vector: Vector, limit: int) -> list[tuple[int, float]]:
        """Numbers of passages and their cosine similarity, nearest first."""
        ...

    def close(self) -> None: ...


def embedded(passage: Passage) -> str:
    """What a passage's vector is made of."""
    return "\n".join(part for part in (passage.title, passage.heading, passage.text) if part)


def packed(vectors: Vector) -> list[bytes]:
    """Each vector in a byte a dimension: a quarter of the size, and the same neighbours but for near ties."""
    largest = np.abs(vectors).max(axis=1, keepdims=True).clip(min=1e-12)
    return [row.tobytes() for row in np.rint(vectors * (127 / largest)).astype(np.int8)]


def unpacked(rows: Sequence[bytes]) -> Vector:
    """The vectors again, of length 1, shape (rows, dimension).

    Raises:
        ValueError: they are not all of one size.
    """
    vectors: Vector = np.frombuffer(b"".join(rows), np.int8).reshape(len(rows), -1).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
    return vectors


def likeness(vectors: Vector) -> float:
    """Mean similarity of passages to each other: what a model's cosine says of two texts that share nothing."""
    sample = vectors[:: max(1, len(vectors) // SAMPLE)]
    if len(sample) < 2:
        return 0.0
    total = float((sample.sum(axis=0) ** 2).sum())
    return max(0.0, (total - len(sample)) / (len(sample) * (len(sample) - 1)))


class ExactVectors:
    """Compares with every vector, in memory. They are read with the first question."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._numbers: NDArray[np.int64] = np.empty(0, np.int64)
        self._vectors: Vector | None = None

    def nearest(self, vector: Vector, limit: int) -> list[tuple[int, float]]:
        if self._vectors is None:
            rows = self._db.execute("select passage, value from vector order by passage").fetchall()
            self._numbers = np.array([number for number, _ in rows], np.int64)
            if not rows:
                return []
            self._vectors = unpacked([value for _, value in rows])
        similar = self._vectors @ vector
        limit = min(limit, len(similar))
        first = np.argpartition(-similar, limit - 1)[:limit]
        first = first[np.argsort(-similar[first], kind="stable")]
        return [(int(self._numbers[i]), float(similar[i])) for i in first]

    def close(self) -> None:
        self._vectors = None


class SqliteVecVectors:
    """Compares with every vector within SQLite: nothing is kept in memory."""

    _NEAREST = """
        select passage, 1 - vec_distance_cosine(vec_int8(value), vec_int8(?)) as similar
        from vector order by similar desc, passage limit ?
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def nearest(self, vector: Vector, limit: int) -> list[tuple[int, float]]:
        return self._db.execute(self._NEAREST, [packed(vector[None, :])[0], limit]).fetchall()

    def close(self) -> None:
        pass


def stored_vectors(
    db: sqlite3.Connection, kind: str = "auto", *, passages: int, dimension: int, in_memory: int = IN_MEMORY
) -> VectorStore:
    """The vectors of an index file.

    Args:
        kind: ``numpy``: in memory; ``sqlite-vec``: within SQLite; ``auto``: in memory as long as they take no more of
            it than ``in_memory`` bytes, or this Python may load no extensions.

    Raises:
        ConfigError: sqlite-vec is wanted, and this Python may load no extensions.
    """
    loads = hasattr(db, "enable_load_extension")
    if kind == "sqlite-vec" and not loads:
        raise ConfigError(
            '[knowledge] vectors is "sqlite-vec", and this Python may load no SQLite extensions.',
            needed="Debian's own Python may.",
            todo='Set vectors = "auto", or run Fieldpost with another Python.',
        )
    if kind == "numpy" or (kind == "auto" and (4 * passages * dimension <= in_memory or not loads)):
        return ExactVectors(db)
    db.enable_load_extension(True)
    try:
        sqlite_vec.load(db)
    finally:
        db.enable_load_extension(False)
    return SqliteVecVectors(db)
