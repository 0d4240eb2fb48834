"""Vectors in Milvus, for hubs that outgrow one machine. Needs the extra ``milvus``.

A file's path opens milvus-lite, which runs in this process; an address such as ``http://milvus:19530`` a cluster. Each
docpack's vectors are a collection, named by the vectors themselves: a newer docpack gets a new one, and what is there
already is not sent again.
"""

import hashlib
import re
from collections.abc import Callable, Sequence

from pymilvus import MilvusClient

from appliance.errors import KnowledgeError
from appliance.knowledge.opened import OpenIndex
from appliance.knowledge.vectors import Vector, VectorStore, unpacked

_AT_ONCE = 1_000
_LOGIN = re.compile(r"(?<=//)[^/\s]*@")


class MilvusVectors:
    """One index's vectors as a collection."""

    def __init__(self, rows: Sequence[tuple[int, bytes]], uri: str, name: str) -> None:
        """Find the collection of these vectors, or make it.

        Args:
            rows: numbers of passages and their packed vectors, at least one.
            uri: of the cluster, or a file's path.
            name: of the docpack, for people who look into Milvus.

        Raises:
            KnowledgeError: Milvus cannot be reached or refuses.
        """
        digest = hashlib.sha256(b"".join(value for _, value in rows)).hexdigest()
        self._collection = f"fieldpost_{re.sub('[^A-Za-z0-9]', '_', name)[:64]}_{digest[:16]}"
        try:
            self._client = MilvusClient(uri)
            if not self._client.has_collection(self._collection) or self._count() != len(rows):
                self._fill(rows)
        except Exception as error:  # pymilvus has several trees of errors, and lets grpc's through
            raise _failed(uri, error) from error
        self._uri = uri

    def nearest(self, vector: Vector, limit: int) -> list[tuple[int, float]]:
        try:
            found = self._client.search(self._collection, data=[vector.tolist()], limit=limit)
        except Exception as error:
            raise _failed(self._uri, error) from error
        return [(int(hit["id"]), float(hit["distance"])) for hit in found[0]]

    def close(self) -> None:
        self._client.close()

    def _count(self) -> int:
        return int(self._client.get_collection_stats(self._collection)["row_count"])

    def _fill(self, rows: Sequence[tuple[int, bytes]]) -> None:
        vectors = unpacked([value for _, value in rows])
        self._client.drop_collection(self._collection)
        self._client.create_collection(
            self._collection, dimension=vectors.shape[1], metric_type="COSINE", consistency_level="Strong"
        )
        entries = [{"id": number, "vector": vector.tolist()} for (number, _), vector in zip(rows, vectors, strict=True)]
        for at in range(0, len(entries), _AT_ONCE):
            self._client.insert(self._collection, entries[at : at + _AT_ONCE])


def milvus_store(uri: str) -> Callable[[OpenIndex], VectorStore]:
    """What a ``Retriever`` takes as its store."""
    return lambda index: MilvusVectors(index.vector_rows(), uri, index.docpack)


def _failed(uri: str, error: Exception) -> KnowledgeError:
    # The status page and the journal show this, and an address may hold a password.
    said = _LOGIN.sub("", f"Milvus at {uri} failed: {error}.")
    return KnowledgeError(said, needed="A running Milvus is needed.", todo="Check its address and state.")
