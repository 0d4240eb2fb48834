"""Vectors in FAISS, for packs of hundreds of thousands of passages. Needs the extra ``faiss``.

A graph (HNSW; Malkov and Yashunin, 2018) that visits a small part of the vectors: nearly the same neighbours as
comparing with all, in a time that hardly grows. Building it takes minutes for large packs, so it is kept in a folder of
its own, named by the vectors it was built from.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import faiss
import numpy as np

from appliance.knowledge.opened import OpenIndex
from appliance.knowledge.vectors import Vector, VectorStore, unpacked

_LINKS, _BUILD, _SEARCH = 32, 200, 128


class FaissVectors:
    """One index's vectors as a graph."""

    def __init__(self, rows: Sequence[tuple[int, bytes]], folder: Path | None) -> None:
        """Read the graph of these vectors from the folder, or build it there; without one, in memory only.

        Args:
            rows: numbers of passages and their packed vectors, at least one.
        """
        self._numbers = [number for number, _ in rows]
        digest = hashlib.sha256(b"".join(value for _, value in rows)).hexdigest()
        kept = folder / f"{digest[:32]}.faiss" if folder else None
        if kept and (found := _read(kept)) is not None:
            self._graph = found
            return
        vectors = unpacked([value for _, value in rows])
        self._graph = faiss.IndexHNSWFlat(vectors.shape[1], _LINKS, faiss.METRIC_INNER_PRODUCT)
        self._graph.hnsw.efConstruction = _BUILD
        self._graph.hnsw.efSearch = _SEARCH
        self._graph.add(vectors)
        if kept is None:
            return
        kept.parent.mkdir(parents=True, exist_ok=True)
        being_written = kept.with_suffix(".part")
        faiss.write_index(self._graph, str(being_written))
        with being_written.open("rb") as file:
            os.fsync(file.fileno())
        being_written.replace(kept)

    def nearest(self, vector: Vector, limit: int) -> list[tuple[int, float]]:
        similar, places = self._graph.search(np.ascontiguousarray(vector[None, :], np.float32), limit)
        return [
            (self._numbers[place], float(likeness))
            for place, likeness in zip(places[0], similar[0], strict=True)
            if place >= 0
        ]

    def close(self) -> None:
        self._graph = None


def _read(kept: Path) -> faiss.Index | None:
    """A graph that was kept; None where there is none, or where a disk gives back half of one: it is built again."""
    try:
        return faiss.read_index(str(kept)) if kept.exists() else None
    except RuntimeError:
        return None


def faiss_store(folder: Path | None) -> Callable[[OpenIndex], VectorStore]:
    """What a ``Retriever`` takes as its store; graphs are kept in the folder."""
    return lambda index: FaissVectors(index.vector_rows(), folder)
