"""How an SQLite file of the sync is opened, on the box and at the hub: durable, migrated, one writer at a time.

What is in the file is left to the outbox and to the hub's storage.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

Migration = Sequence[str]
"""Statements that lead from one version of a file to the next; never changed once shipped, only added to."""

_PATIENCE_S = 30


def open_database(path: Path, migrations: Sequence[Migration]) -> Database:
    """Open or make the file, readable by its owner only, at its newest version. Commits are on the disk when done.

    Raises:
        sqlite3.Error: it cannot be opened, is no database, or was written by a newer Fieldpost.
        OSError: it cannot be made.
    """
    path.touch(mode=0o600, exist_ok=True)
    connection = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)
    try:
        database = Database(connection, execute_plugins=False)
        _use_wal(database)
        database.execute("PRAGMA synchronous=FULL")
        with transaction(database):
            taken = int(database.execute("PRAGMA user_version").fetchone()[0])
            if taken > len(migrations):
                raise sqlite3.DatabaseError("it was written by a newer version of Fieldpost")
            for statements in migrations[taken:]:
                for statement in statements:
                    database.execute(statement)
            database.execute(f"PRAGMA user_version={len(migrations)}")
    except BaseException:
        connection.close()
        raise
    return database


@contextmanager
def transaction(database: Database) -> Iterator[None]:
    """All or nothing. Takes the write lock first, so that what is read within stays true until the end."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        database.rollback()
        raise


def _use_wal(database: Database) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while database.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            database.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            # The one change that SQLite does not wait for: another process is opening the same new file.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
