"""Batches on their way in: files in ``DIR/partial`` that grow from the byte at which a link broke.

Nothing in them is believed; they are bounded in size and number, and outlive a crash of the hub.
"""

import contextlib
import fcntl
import os
from pathlib import Path

from appliance.errors import HubError
from appliance.sync.batch import MAX_BATCH

MOST_PARTIAL = 2000
"""Batches that may be on their way at once, a gigabyte at most; the one that was quiet the longest makes room."""


class Taken(Exception):
    """The bytes do not go where the file ends, or another request has taken the upload over."""


class Uploads:
    """The folder of partial files. Called from one thread only; other processes may use the same folder."""

    def __init__(self, folder: Path, most: int = MOST_PARTIAL) -> None:
        """Raises HubError: the folder cannot be made."""
        self._folder, self._most = folder, most
        self._writers: dict[str, object] = {}
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise HubError(f"{folder} cannot be made: {error.strerror}.", todo="Check the folder's owner.") from error

    def offset(self, sha: str) -> int:
        """How many bytes of a batch are there."""
        try:
            return self._path(sha).stat().st_size
        except FileNotFoundError:
            return 0

    def begin(self, sha: str) -> object:
        """Take an upload over: whoever else was writing it, on a link that is dead by now, is refused from here on."""
        if not self._path(sha).exists():
            self._make_room()
        writer = self._writers[sha] = object()
        return writer

    def add(self, sha: str, writer: object, offset: int, chunk: bytes) -> int:
        """Append at ``offset``; the new offset.

        Raises:
            Taken: the file does not end there, or is another writer's now.
            ValueError: it would be larger than any batch.
            OSError: the disk.
        """
        if self._writers.get(sha) is not writer:
            raise Taken
        if offset + len(chunk) > MAX_BATCH:
            raise ValueError(f"more than {MAX_BATCH} bytes")
        with self._path(sha).open("ab") as file:
            # Another process of this hub may write it too, for the same box on a newer link.
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_size != offset:
                raise Taken
            file.write(chunk)
            file.flush()
        return offset + len(chunk)

    def read(self, sha: str) -> bytes:
        """What has arrived."""
        try:
            return self._path(sha).read_bytes()
        except FileNotFoundError:
            return b""

    def end(self, sha: str, writer: object) -> None:
        """The request is over; the file stays."""
        if self._writers.get(sha) is writer:
            del self._writers[sha]

    def drop(self, sha: str) -> None:
        """Forget what has arrived."""
        self._path(sha).unlink(missing_ok=True)

    def _path(self, sha: str) -> Path:
        return self._folder / sha

    def _make_room(self) -> None:
        ages = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                ages.append((path.stat().st_mtime_ns, path))
        for _, path in sorted(ages)[: max(0, len(ages) - self._most + 1)]:
            path.unlink(missing_ok=True)
