"""Sealed batches that the hub has not acknowledged: a folder of files and a small table of what is in them.

A batch, once sealed, is never cut again: the same file goes over every way until a receipt covers it. Sending, and
checking that a receipt is the hub's, are left to others.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from sqlite_utils import Database

from appliance.database import Migration, open_database, transaction
from appliance.errors import ForkDetected, LogError, SyncError
from appliance.files import write_private
from appliance.log.chain import STREAMS, Record
from appliance.sync import batch
from appliance.sync.identity import Identity
from appliance.sync.wire import NEW_HISTORY, Receipt

SEGMENT = 64 * 1024
"""Bytes a batch should have at most: at 32 kbit/s a safety event waits 16 s behind one."""
_LINES_AT_ONCE = 256 * 1024
LINK, STICK = "link", "stick"
"""The ways to the hub."""

_MIGRATIONS: tuple[Migration, ...] = (
    (
        """CREATE TABLE batch(
            sha TEXT PRIMARY KEY, stream TEXT NOT NULL, first INTEGER NOT NULL, n INTEGER NOT NULL,
            bytes INTEGER NOT NULL, tried INTEGER NOT NULL DEFAULT 0
        )""",
        "CREATE TABLE ack(stream TEXT PRIMARY KEY, seq INTEGER NOT NULL)",
        "CREATE TABLE contact(hub_time_ms INTEGER NOT NULL, wall_ms INTEGER NOT NULL, way TEXT NOT NULL)",
    ),
)


class LogReader(Protocol):
    """What sync needs to see of the log; see ``appliance.log.store.Log``."""

    def heads(self) -> Mapping[str, tuple[int, bytes]]: ...

    def rows(self, stream: str, first: int, limit: int) -> list[Record]: ...

    def hash_at(self, stream: str, seq: int) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """One batch in the outbox."""

    sha: str
    stream: str
    first: int
    n: int
    size: int
    """Bytes."""
    tried: bool
    """Whether some of it may be at the hub already."""
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """The last receipt that was taken."""

    hub_time_ms: int
    wall_ms: int
    """By the box's own clock."""
    way: str


class Outbox:
    """An open outbox; closed by leaving its ``with`` block. One process at a time changes it: see client."""

    def __init__(self, folder: Path) -> None:
        """Raises SyncError: the folder's table cannot be opened."""
        self._folder = folder
        with _speaking(folder):
            self._database: Database = open_database(folder / "outbox.sqlite", _MIGRATIONS)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def mend(self) -> None:
        """After a crash: drop files that no row names, and rows whose file is gone or damaged (sealed anew then)."""
        with _speaking(self._folder):
            named = {sealed.path for sealed in self.waiting()}
            for file in self._folder.iterdir():
                if file.suffix in (".batch", ".tmp") and file not in named:
                    file.unlink()
            for sealed in self.waiting():
                if not sealed.path.exists() or batch.name(sealed.path.read_bytes()) != sealed.sha:
                    self._forget([sealed])

    def seal_new(self, log: LogReader, identity: Identity, recipients: Sequence[str]) -> None:
        """Seal every record that is in no batch yet.

        Raises:
            SyncError: the disk is full.
            LogError: the log cannot be read.
        """
        heads = log.heads()
        for stream in STREAMS:
            for first, last in self._missing(stream, heads[stream][0]):
                while first <= last:
                    first += self._seal(log, identity, recipients, stream, first, last)

    def unseal(self, stream: str, seqs: Collection[int]) -> None:
        """Drop the batches that hold any of these records: they are sealed anew from what the log says now."""
        held = [s for s in self.waiting() if s.stream == stream and any(s.first <= n < s.first + s.n for n in seqs)]
        with _speaking(self._folder):
            self._forget(held)

    def waiting(self) -> list[Sealed]:
        """All batches in the order in which they are sent: safety first, chat last."""
        with _speaking(self._folder):
            rows = self._database.execute("SELECT sha, stream, first, n, bytes, tried FROM batch").fetchall()
        found = [
            Sealed(
                sha=sha,
                stream=stream,
                first=first,
                n=n,
                size=size,
                tried=bool(tried),
                path=self._folder / f"{sha}.batch",
            )
            for sha, stream, first, n, size, tried in rows
        ]
        return sorted(found, key=lambda sealed: (STREAMS.index(sealed.stream), sealed.first))

    def mark_tried(self, sealed: Sealed) -> None:
        """From now on some of it may be at the hub."""
        with _speaking(self._folder), transaction(self._database):
            self._database.execute("UPDATE batch SET tried=1 WHERE sha=?", [sealed.sha])

    def acknowledged(self) -> dict[str, int]:
        """Stream to the last record up to which the hub has all."""
        with _speaking(self._folder):
            rows = dict(self._database.execute("SELECT stream, seq FROM ack").fetchall())
        return {stream: rows.get(stream, 0) for stream in STREAMS}

    def last_contact(self) -> Contact | None:
        with _speaking(self._folder):
            row = self._database.execute("SELECT hub_time_ms, wall_ms, way FROM contact").fetchone()
        return Contact(hub_time_ms=row[0], wall_ms=row[1], way=row[2]) if row else None

    def take(self, receipt: Receipt, log: LogReader, *, wall_ms: int, way: str) -> None:
        """Believe a verified receipt: note it, and only then drop the batches that it covers.

        A receipt that has *less* than an older one means that the hub lost data, unless it only took a long way on a
        stick: what the hub lost is sealed again.

        Raises:
            ForkDetected: the hub has records under this box's name that this log does not.
        """
        heads = log.heads()
        for stream, seq in receipt.ack.items():
            ours = log.hash_at(stream, seq) if seq <= heads[stream][0] else None
            if ours != receipt.heads[stream]:
                raise fork(f"the hub's record {stream} {seq} is not in this box's log")
        last = self.last_contact()
        late = way != LINK and last is not None and receipt.hub_time_ms <= last.hub_time_ms
        before = self.acknowledged()
        has = {stream: max(receipt.ack.get(stream, 0), before[stream] if late else 0) for stream in STREAMS}
        with _speaking(self._folder):
            with transaction(self._database):
                for stream in STREAMS:
                    self._database.execute("INSERT OR REPLACE INTO ack VALUES (?,?)", [stream, has[stream]])
                self._database.execute("DELETE FROM contact")
                self._database.execute("INSERT INTO contact VALUES (?,?,?)", [receipt.hub_time_ms, wall_ms, way])
            self._forget([s for s in self.waiting() if s.first + s.n - 1 <= has[s.stream]])

    def _missing(self, stream: str, last: int) -> list[tuple[int, int]]:
        """Ranges of records that are neither acknowledged nor in a batch."""
        gaps, following = [], self.acknowledged()[stream] + 1
        for sealed in self.waiting():
            if sealed.stream == stream:
                if sealed.first > following:
                    gaps.append((following, sealed.first - 1))
                following = max(following, sealed.first + sealed.n)
        return [*gaps, (following, last)]

    def _seal(
        self, log: LogReader, identity: Identity, recipients: Sequence[str], stream: str, first: int, last: int
    ) -> int:
        records: list[Record] = []
        size = 0
        for record in log.rows(stream, first, min(batch.MAX_RECORDS, last - first + 1)):
            size += len(record.body or b"") + 100
            if records and size > _LINES_AT_ONCE:
                break
            records.append(record)
        if not records or records[0].seq != first:
            raise LogError(f"Record {stream} {first} is missing.", todo="Run: fieldpost log verify")
        previous = log.hash_at(stream, first - 1)
        while True:
            data = batch.seal(
                records,
                box=identity.box,
                epoch=identity.epoch,
                previous=previous,
                key=identity.key,
                recipients=recipients,
            )
            if len(data) <= SEGMENT or len(records) == 1:
                break
            records = records[: len(records) // 2]
        sha = batch.name(data)
        with _speaking(self._folder):
            write_private(self._folder / f"{sha}.batch", data)
            with transaction(self._database):
                self._database.execute(
                    "INSERT INTO batch(sha, stream, first, n, bytes) VALUES (?,?,?,?,?)",
                    [sha, stream, first, len(records), len(data)],
                )
        return len(records)

    def _forget(self, batches: Sequence[Sealed]) -> None:
        with transaction(self._database):
            for sealed in batches:
                self._database.execute("DELETE FROM batch WHERE sha=?", [sealed.sha])
        for sealed in batches:
            sealed.path.unlink(missing_ok=True)


def fork(what: str) -> ForkDetected:
    """Two histories under this box's name."""
    return ForkDetected(
        f"Two histories under this box's name: {what}.",
        needed="The log must be the one that the hub has seen. It was rolled back, or the box was copied.",
        todo=f"Nothing was merged. Bring back the newest backup of HOME/data. Or: {NEW_HISTORY}",
    )


@contextmanager
def _speaking(folder: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise SyncError(
            f"The outbox {folder} cannot be used: {error}.", todo="Free space on the box's disk."
        ) from error
