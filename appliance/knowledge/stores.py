"""Which store searches an index's vectors, as the site's settings say: the one place that reaches for optional ones."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

from appliance.errors import ConfigError
from appliance.knowledge.opened import OpenIndex
from appliance.knowledge.vectors import VectorStore

Store = Callable[[OpenIndex], VectorStore]

_MODULES = {"faiss": "faiss", "milvus": "pymilvus"}


def vector_store(kind: str, *, milvus: str = "", folder: Path | None = None) -> Store:
    """The store of this kind, for a ``Retriever``.

    Args:
        kind: ``auto`` (numpy in memory; sqlite-vec where an index's vectors would take too much of it), ``numpy``,
            ``sqlite-vec``, ``faiss`` or ``milvus``.
        milvus: a file's path for milvus-lite, or a cluster's address.
        folder: where FAISS keeps its graphs; without one they are built at each start.

    Raises:
        ConfigError: what it needs is not installed or not set.
    """
    if (module := _MODULES.get(kind)) and importlib.util.find_spec(module) is None:
        raise ConfigError(
            f'[knowledge] vectors is "{kind}", and {module} is not installed.',
            needed=f'pip install "fieldpost[{kind}]"',
            todo='Install it, or set vectors = "auto".',
        )
    if kind == "faiss":
        from appliance.knowledge.vectors_faiss import faiss_store

        return faiss_store(folder)
    if kind == "milvus":
        if not milvus:
            raise ConfigError(
                '[knowledge] vectors is "milvus" and milvus is not set.',
                needed="A file's path or a cluster's address is needed.",
            )
        from appliance.knowledge.vectors_milvus import milvus_store

        return milvus_store(milvus)
    return lambda index: index.vectors(kind)
