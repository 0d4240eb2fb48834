"""The hub's tables in ``DIR/hub.sqlite``: the default, good for hundreds of boxes on one machine."""

import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from appliance.database import Migration, open_database, transaction
from appliance.errors import HubError
from appliance.hub.records import RECORD_COLUMNS, TableStorage

DATABASE = "hub.sqlite"
_FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm")

_MIGRATIONS: tuple[Migration, ...] = (
    (
        """CREATE TABLE token(
            id TEXT PRIMARY KEY, site TEXT NOT NULL, key BLOB NOT NULL, made_ms INTEGER NOT NULL, box TEXT
        ) STRICT""",
        """CREATE TABLE box(
            name TEXT PRIMARY KEY, site TEXT NOT NULL, key BLOB NOT NULL, token TEXT NOT NULL,
            last_contact_ms INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE batch(
            sha TEXT PRIMARY KEY, box TEXT NOT NULL, epoch INTEGER NOT NULL, stream TEXT NOT NULL,
            first INTEGER NOT NULL, n INTEGER NOT NULL, bytes INTEGER NOT NULL, received_ms INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE record(
            box TEXT NOT NULL, epoch INTEGER NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL,
            boot INTEGER NOT NULL, mono_ms INTEGER NOT NULL, wall_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL,
            egress INTEGER NOT NULL, salt BLOB NOT NULL, body TEXT, "commitment" BLOB NOT NULL, hash BLOB NOT NULL,
            PRIMARY KEY(box, epoch, stream, seq)
        ) STRICT""",
        # Up to where a stream has no gap: what the hub signs for.
        """CREATE TABLE head(
            box TEXT NOT NULL, epoch INTEGER NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL,
            PRIMARY KEY(box, epoch, stream)
        ) STRICT""",
    ),
    (
        # What boxes asked to be forgotten, kept for good: a stick that took its time may still bring it.
        """CREATE TABLE erasure(
            box TEXT NOT NULL, epoch INTEGER NOT NULL, stream TEXT NOT NULL, seq INTEGER NOT NULL,
            PRIMARY KEY(box, epoch, stream, seq)
        ) STRICT, WITHOUT ROWID""",
        # Archived batches that still hold something erased.
        "CREATE TABLE unclean(sha TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
    ),
    ("ALTER TABLE box ADD COLUMN revoked_ms INTEGER",),
    (
        """CREATE TABLE told(
            release TEXT NOT NULL, box TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,
            works INTEGER NOT NULL, PRIMARY KEY(release, box, epoch, seq)
        ) STRICT, WITHOUT ROWID""",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlitePlace:
    """``DIR/hub.sqlite``; see ``appliance.hub.storage.Place``."""

    folder: Path

    def open(self) -> TableStorage:
        if self._draft.exists() and not (self.folder / DATABASE).exists():
            # Else an empty database would begin here, and boxes be told that all is to be sent again.
            raise HubError(
                f"The database of {self.folder} was being made anew, and that was cut short.",
                todo="Run: fieldpost-hub rebuild --data DIR",
            )
        return TableStorage(_SqliteTables(self.folder / DATABASE))

    def draft(self) -> TableStorage:
        for name in _FILES:
            self._draft.with_name(name.replace(DATABASE, self._draft.name)).unlink(missing_ok=True)
        return TableStorage(_SqliteTables(self._draft))

    def adopt(self) -> str | None:
        kept = self._set_aside()
        self._draft.rename(self.folder / DATABASE)
        return str(kept) if kept else None

    @property
    def _draft(self) -> Path:
        return self.folder / f"{DATABASE}.new"

    def _set_aside(self) -> Path | None:
        if not (self.folder / DATABASE).exists():
            return None
        number = 1
        while (kept := self.folder / f"before-rebuild-{number}").exists():
            number += 1
        kept.mkdir(mode=0o700)
        # The write-ahead log first: a database without it is older, but never wrong.
        for name in reversed(_FILES):
            if (self.folder / name).exists():
                (self.folder / name).rename(kept / name)
        return kept


class _SqliteTables:
    """One connection behind a lock; processes take turns by ``BEGIN IMMEDIATE``. See ``records.Tables``."""

    def __init__(self, path: Path) -> None:
        """Raises HubError: the file cannot be opened."""
        self._path = path
        self._lock = threading.Lock()
        with _in_words(path):
            self._database: Database = open_database(path, _MIGRATIONS)

    @contextmanager
    def reading(self) -> Iterator["_SqliteStatements"]:
        with self._lock, _in_words(self._path):
            yield _SqliteStatements(self._database)

    @contextmanager
    def writing(self, whose: str) -> Iterator["_SqliteStatements"]:
        with self._lock, _in_words(self._path), transaction(self._database):
            yield _SqliteStatements(self._database)

    def close(self) -> None:
        with self._lock:
            self._database.close()


class _SqliteStatements:
    """See ``records.Statements``."""

    def __init__(self, database: Database) -> None:
        self._connection = database.conn

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def run(self, sql: str, values: Sequence[object] = ()) -> None:
        self._connection.execute(sql, values)

    def run_many(self, sql: str, values: Collection[Sequence[object]]) -> None:
        self._connection.executemany(sql, values)

    def add_records(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._connection.executemany(_ADD, rows)


_ADD = f"INSERT INTO record VALUES ({','.join('?' * len(RECORD_COLUMNS))})"  # noqa: S608


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise HubError(
            f"The hub's data {path} cannot be used: {error}.",
            todo="Check the disk's space and the folder's owner. What was signed for is safe.",
        ) from error
