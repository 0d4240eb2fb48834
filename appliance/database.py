"""How every SQLite file of the box and the hub is opened: private, durable, migrated, one writer at a time.

What is in a file, and what its failures mean to a person, is left to whoever owns the file.
"""

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

Migration = Sequence[str]
"""Statements that lead from one version of a file to the next; never changed once shipped, only added to."""

BUSY_S = 30.0
"""Seconds to wait for another process that writes."""


class NewerTables(sqlite3.DatabaseError):
    """The file was written by a newer Fieldpost; it is left as it is."""


def open_database(path: Path, migrations: Sequence[Migration]) -> Database:
    """Open or make the file, readable by its owner only, at its newest version. Commits are on the disk when done.

    A newer file is refused before anything is written to it. Migrations run in one transaction, so that a power cut
    leaves the file before or after them.

    Raises:
        NewerTables: see there.
        sqlite3.Error: it cannot be opened, or is no database.
        OSError: it cannot be made.
    """
    # Made by hand so that no other user can read it, not even for a moment; SQLite's -wal and -shm follow its mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    database = _connect(path.as_posix(), uri=False)
    try:
        check_version(database, migrations)
        _use_wal(database)
        # NORMAL could lose the last commits in a power cut: a number already told to the hub would be used again.
        database.execute("PRAGMA synchronous = FULL")
        # What is deleted or erased is overwritten with zeros: a stolen disk must not give it back.
        database.execute("PRAGMA secure_delete = ON")
        with transaction(database):
            for statements in migrations[check_version(database, migrations) :]:
                for statement in statements:
                    database.execute(statement)
            database.execute(f"PRAGMA user_version = {len(migrations)}")
    except BaseException:
        database.close()
        raise
    return database


def open_read_only(path: Path, migrations: Sequence[Migration]) -> Database:
    """Open an existing file without changing it; raises as ``open_database`` does."""
    database = _connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        check_version(database, migrations)
    except BaseException:
        database.close()
        raise
    return database


def check_version(database: Database, migrations: Sequence[Migration]) -> int:
    """How many migrations the file has taken; raises NewerTables when that is more than there are."""
    taken = int(database.execute("PRAGMA user_version").fetchone()[0])
    if taken > len(migrations):
        raise NewerTables(
            f"it was written by a newer Fieldpost (version {taken} of its tables, here {len(migrations)})"
        )
    return taken


@contextmanager
def transaction(database: Database) -> Iterator[None]:
    """All or nothing. Takes the write lock first, so that what is read within stays true until the end."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        # A full disk rolls back by itself, and then there is no transaction left to end.
        if database.conn.in_transaction:
            database.execute("ROLLBACK")
        raise


def _connect(target: str, *, uri: bool) -> Database:
    # Our own connection: sqlite-utils' default one belongs to a single thread, and would begin transactions for us.
    connection = sqlite3.connect(target, uri=uri, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    return Database(connection, recursive_triggers=False, execute_plugins=False)


def _use_wal(database: Database) -> None:
    deadline = time.monotonic() + BUSY_S
    while database.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            database.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # The one change that SQLite does not wait for: another process is opening the same new file.
            if (error.sqlite_errorcode & 0xFF) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)  # until the other has ended; SQLite's own patience does not hold here
