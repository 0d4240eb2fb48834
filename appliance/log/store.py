"""The log in its SQLite file: appending, reading, verifying.

A record is on the disk when ``append`` returns: write-ahead log with ``synchronous=FULL``, because a record that was
shipped and then lost in a power cut would let its number be used twice. Threads share one connection behind a lock;
processes take turns by ``BEGIN IMMEDIATE``. What a record says is the caller's, already redacted.
"""

import secrets
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from sqlite_utils import Database

from appliance.database import BUSY_S, NewerTables, open_database, open_read_only, transaction
from appliance.errors import LogError
from appliance.log import chain, erasure
from appliance.log.chain import GENESIS, STREAMS, Record
from appliance.log.migrations import STEPS

COLUMNS = 'stream, seq, boot, mono_ms, wall_ms, egress, salt, body, "commitment", hash'
"""Of a record, in the order in which ``to_record`` takes them."""
_PAGE = 1000


class Recorder(Protocol):
    """What the pipeline needs of a log."""

    def append(self, stream: str, body: Mapping[str, object], egress: bool | None = None) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What ``Log.verify`` found."""

    ok: bool
    records: dict[str, int]
    """Records a stream that were found whole."""
    problem: str
    """Empty, or a sentence naming the first bad record."""


class Log:
    """An open log, made by ``Log.open`` or ``Log.open_to_read``; closed by leaving its ``with`` block. Any thread may
    call it."""

    def __init__(self, path: Path, database: Database, boot: int, leaves: Collection[str] = STREAMS) -> None:
        self.path = path
        self._leaves = leaves
        self.boot = boot
        self._database = database
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path, box: str, leaves: Collection[str] = STREAMS) -> "Log":
        """Open the log at ``path``, or begin it for the box with id ``box``.

        ``leaves`` are the streams whose bodies may leave the box (``chain.LEAVES``).

        Raises:
            LogError: the file cannot be opened, is from a newer Fieldpost, or is another box's.
        """
        with _in_words(path):
            database = open_database(path, STEPS)
            try:
                with transaction(database):
                    boot = _open_meta(database, path, box)
            except BaseException:
                database.close()
                raise
        return cls(path, database, boot, leaves)

    @classmethod
    def open_to_read(cls, path: Path, box: str) -> "Log":
        """Open the log at ``path`` of the box with id ``box`` without changing it; ``append`` raises LogError then.

        Raises:
            LogError: there is no log, it cannot be read, is from a newer Fieldpost, or is another box's.
        """
        with _in_words(path):
            database = open_read_only(path, STEPS)
            try:
                owner, boot = database.execute("SELECT box, boot FROM meta").fetchone() or (box, 0)
                _check_owner(path, owner, box)
            except BaseException:
                database.close()
                raise
        return cls(path, database, boot)

    @staticmethod
    def count(path: Path) -> int:
        """How many records the log at ``path`` holds, of all streams; changes nothing.

        Raises:
            LogError: the file cannot be read.
        """
        with _in_words(path), closing(open_read_only(path, STEPS)) as database:
            return int(database.execute("SELECT coalesce(sum(seq), 0) FROM head").fetchone()[0])

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, stream: str, body: Mapping[str, object], egress: bool | None = None) -> int:
        """Write one record and return its ``seq``; it is on the disk then.

        ``egress`` False keeps the body on this box for good: only its commitment is ever shipped. None leaves that to
        what the site shares.

        Raises:
            LogError: nothing was recorded, and why: disk full, file damaged, unknown stream, no JSON.
        """
        chain.stream_number(stream)
        data = chain.canonical(body)
        with self._write() as database:
            return self._insert(database, stream, data, stream in self._leaves if egress is None else egress)

    def erase(self, stream: str, seqs: Sequence[int]) -> int:
        """Take the bodies and salts of some records away for good; how many had one. The chain still verifies.

        In the same transaction a request goes into the audit stream: it names no content, and asks the hub to do the
        same. The bytes are overwritten in the file, and the write-ahead log is emptied.

        Raises:
            LogError: nothing was erased, and why; or the bytes may still be in the write-ahead log.
        """
        chain.stream_number(stream)
        with self._write() as database:
            erased = []
            for seq in sorted(set(seqs)):
                changed = database.execute(
                    "UPDATE log SET body = NULL, salt = x'' WHERE stream = ? AND seq = ? AND body IS NOT NULL",
                    (stream, seq),
                )
                erased += [seq] * changed.rowcount
            for request in erasure.requests(stream, erased):
                self._insert(database, "audit", request, egress=True)
        with self._read() as database:
            busy = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise LogError(
                f"{len(erased)} records are erased, but another program is reading the log.",
                needed="Until it ends, their bytes may stay in the file beside the log.",
                todo="Stop the box for a moment and run this again.",
            )
        return len(erased)

    def _insert(self, database: Database, stream: str, data: bytes, egress: bool) -> int:
        # Inside the transaction, so that times are in the order of the records whoever else appends.
        # The clock that also counts while the machine sleeps: the hub dates records by what lies between them.
        mono_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        wall_ms = time.time_ns() // 1_000_000
        salt = secrets.token_bytes(chain.salt_bytes(stream, egress))
        commitment = chain.commitment(salt, data)
        seq, previous = _head(database, stream)
        seq += 1
        link = chain.link(previous, stream, seq, self.boot, mono_ms, wall_ms, commitment)
        database.execute(
            f"INSERT INTO log ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (stream, seq, self.boot, mono_ms, wall_ms, int(egress), salt, data, commitment, link),
        )
        _set_head(database, stream, seq, link)
        return seq

    def heads(self) -> dict[str, tuple[int, bytes]]:
        """Each stream's last seq and hash; (0, GENESIS) for one without records."""
        with self._read() as database:
            return {stream: _head(database, stream) for stream in STREAMS}

    def rows(self, stream: str, first: int, limit: int) -> list[Record]:
        """At most ``limit`` records of ``stream`` from seq ``first`` on, in order."""
        chain.stream_number(stream)
        query = f"SELECT {COLUMNS} FROM log WHERE stream = ? AND seq >= ? ORDER BY seq LIMIT ?"  # noqa: S608
        with self._read() as database:
            return [to_record(row) for row in database.execute(query, (stream, first, limit)).fetchall()]

    def records(self, streams: Sequence[str] = STREAMS) -> Iterator[Record]:
        """Every record of some streams, stream by stream, in order; read a page at a time."""
        for stream in streams:
            after = 0
            while page := self.rows(stream, after + 1, _PAGE):
                yield from page
                after = page[-1].seq

    def hash_at(self, stream: str, seq: int) -> bytes:
        """The hash of one record; GENESIS for seq 0.

        Raises:
            LogError: there is no such record.
        """
        chain.stream_number(stream)
        if seq == 0:
            return GENESIS
        with self._read() as database:
            row = database.execute("SELECT hash FROM log WHERE stream = ? AND seq = ?", (stream, seq)).fetchone()
        if row is None:
            raise LogError(f"The log has no record {stream} {seq}.", todo="Run: fieldpost log verify")
        return bytes(row[0])

    def verify(self) -> Report:
        """Recompute every commitment and hash, and compare each stream's end with its head. Appending may go on.

        Raises:
            LogError: the file cannot be read at all.
        """
        heads = self.heads()  # what is appended after this is left for the next time
        records = dict.fromkeys(STREAMS, 0)
        problem = ""
        for stream in STREAMS:
            seq, wanted = heads[stream]
            try:
                records[stream] = self._verify_stream(stream, seq, wanted)
            except LogError as error:
                problem = problem or str(error)
        problem = problem or self._strays()
        return Report(ok=not problem, records=records, problem=problem)

    def _verify_stream(self, stream: str, last: int, wanted: bytes) -> int:
        previous, done = GENESIS, 0
        while done < last and (page := self.rows(stream, done + 1, min(_PAGE, last - done))):
            if page[0].seq != done + 1:
                raise LogError(f"Record {stream} {done + 1} is missing.")
            previous = chain.check_links(previous, page)
            done = page[-1].seq
        if done < last:
            raise LogError(f"Record {stream} {done + 1} is missing: the stream should end at {last}.")
        if previous != wanted:
            raise LogError(f"Record {stream} {last} is not the one that the head of {stream} names.")
        return done

    def _strays(self) -> str:
        """A sentence on records that no head covers. Heads and records are read as of one moment."""
        query = """
            SELECT log.stream, log.seq FROM log LEFT JOIN head USING (stream)
            WHERE log.seq > coalesce(head.seq, 0) OR log.seq < 1 LIMIT 1
        """
        with self._read() as database:
            row = database.execute(query).fetchone()
        return "" if row is None else f"Record {row[0]} {row[1]} is beyond what the head of its stream names."

    @contextmanager
    def _read(self) -> Iterator[Database]:
        with self._lock, _in_words(self.path):
            yield self._database

    @contextmanager
    def _write(self) -> Iterator[Database]:
        with self._lock, _in_words(self.path), transaction(self._database):
            yield self._database


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except NewerTables as error:
        raise LogError(
            f"The log {path} cannot be used: {error}.",
            todo="Install the newer release again; the log is kept as it is.",
        ) from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        found, todo = _WORDS.get(code, (f"could not be read or written: {error}", "Run: fieldpost log verify"))
        raise LogError(f"The log {path} {found}.", todo=todo) from error
    except OSError as error:
        raise LogError(f"The log {path} cannot be opened: {error.strerror}.", todo="Check its folder.") from error


_WORDS = {
    sqlite3.SQLITE_FULL: (
        "could not be written: the disk is full",
        "Free some space; what was recorded before is safe.",
    ),
    sqlite3.SQLITE_IOERR: (
        "could not be read or written: the disk gave an error",
        "Check that it is not full, then that it is sound.",
    ),
    sqlite3.SQLITE_BUSY: (
        f"is in use by another program for more than {BUSY_S:.0f} seconds",
        "Close that program and try again.",
    ),
    sqlite3.SQLITE_CORRUPT: ("is damaged", "Keep the file, and bring back a backup."),
    sqlite3.SQLITE_NOTADB: ("is no log", "Keep the file, and bring back a backup."),
    sqlite3.SQLITE_READONLY: ("may not be written", "Check the owner and mode of its folder."),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "Check the owner and mode of its folder."),
}


def _open_meta(database: Database, path: Path, box: str) -> int:
    """Note this opening and return its number, from 1."""
    row = database.execute("SELECT box, boot FROM meta").fetchone()
    if row is None:
        database.execute("INSERT INTO meta (box, boot) VALUES (?, 1)", (box,))
        return 1
    _check_owner(path, row[0], box)
    database.execute("UPDATE meta SET boot = boot + 1")
    return int(row[1]) + 1


def _check_owner(path: Path, owner: str, box: str) -> None:
    if owner != box:
        raise LogError(
            f"The log {path} belongs to box {owner}.",
            needed=f"This is box {box}.",
            todo="Bring back the identity.json that belongs to it, or move all of HOME/data away and enrol again.",
        )


def _head(database: Database, stream: str) -> tuple[int, bytes]:
    row = database.execute("SELECT seq, hash FROM head WHERE stream = ?", (stream,)).fetchone()
    return (0, GENESIS) if row is None else (int(row[0]), bytes(row[1]))


def _set_head(database: Database, stream: str, seq: int, hash: bytes) -> None:
    database.execute("INSERT OR REPLACE INTO head (stream, seq, hash) VALUES (?, ?, ?)", (stream, seq, hash))


def to_record(row: tuple[Any, ...]) -> Record:
    """A row of the log's table as the record that it is."""
    stream, seq, boot, mono_ms, wall_ms, egress, salt, body, commitment, hash = row
    return Record(
        stream=stream,
        seq=seq,
        boot=boot,
        mono_ms=mono_ms,
        wall_ms=wall_ms,
        egress=bool(egress),
        salt=salt,
        body=body,
        commitment=commitment,
        hash=hash,
    )
