"""All documents a box answers from: those of the release, and those added on it, which may change while it runs.

Searching is ``retrieve``'s; this only opens the indexes anew when the added ones have changed.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.errors import KnowledgeError
from appliance.exchange import Passage
from appliance.knowledge.retrieve import Retriever

_Stamp = tuple[int, int, int]


class Shelf:
    """Searches release and added documents together. Any thread may ask. A context manager; ``close`` it otherwise."""

    def __init__(
        self, release: Sequence[Path], added: Path, *, open_all: Callable[[Sequence[Path]], Retriever] = Retriever
    ) -> None:
        """Open the indexes.

        Args:
            release: the indexes of the installed docpacks.
            added: the index of the added documents, which need not be there.

        Raises:
            KnowledgeError: an index of the release is none of ours. A damaged one of the added documents is left out.
        """
        self._release = list(release)
        self._added = added
        self._open_all = open_all
        self._lock = threading.Lock()
        self._stamp: _Stamp | None = None
        self.problem = ""
        """Why the added documents cannot be searched; empty while they can."""
        self._open: Retriever = open_all(self._release)
        with self._lock:
            self._look()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._open.close()

    @property
    def empty(self) -> bool:
        """No document at all."""
        return not self._release and self._stamp is None

    def search(self, query: str, limit: int, *, spoken: str = "") -> list[Passage]:
        """As ``Retriever.search``, over all documents there are now."""
        with self._lock:
            self._look()
            return self._open.search(query, limit, spoken=spoken)

    def document(self, docpack: str, path: str) -> tuple[str, str, str]:
        """As ``Retriever.document``."""
        with self._lock:
            self._look()
            return self._open.document(docpack, path)

    def _look(self) -> None:
        """Open everything anew if the added documents' index is another file than it was."""
        stamp: _Stamp | None = None
        with suppress(OSError):
            found = self._added.stat()
            stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        self.problem = ""
        try:
            opened = self._open_all([*self._release, self._added] if stamp else self._release)
        except KnowledgeError as error:
            self.problem = str(error)
            opened = self._open_all(self._release)
        self._open.close()
        self._open = opened
