"""The hub's tables in PostgreSQL: for hubs that outgrow one file, with any number of API processes.

One schema, ``fieldpost``, in whatever database the URL names; records in partitions by box, loaded by COPY.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql as quoted
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool

from appliance.errors import HubError
from appliance.hub.records import RECORD_COLUMNS, TableStorage

SCHEMA = "fieldpost"
_DRAFT = "fieldpost_draft"
_PARTITIONS = 16
_MOST_CONNECTIONS = 8
"""Of one process: a hub's requests are short."""
_PATIENCE_S = 10

_RECORD_TYPES = (
    "text", "int8", "text", "int8", "int8", "int8", "int8", "int8", "int8", "bytea", "text", "bytea", "bytea",
)  # fmt: skip

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE token(
            id text PRIMARY KEY, site text NOT NULL, key bytea NOT NULL, made_ms bigint NOT NULL, box text
        )""",
        """CREATE TABLE box(
            name text PRIMARY KEY, site text NOT NULL, key bytea NOT NULL, token text NOT NULL,
            last_contact_ms bigint NOT NULL, revoked_ms bigint
        )""",
        """CREATE TABLE batch(
            sha text PRIMARY KEY, box text NOT NULL, epoch bigint NOT NULL, stream text NOT NULL,
            first bigint NOT NULL, n bigint NOT NULL, bytes bigint NOT NULL, received_ms bigint NOT NULL
        )""",
        "CREATE INDEX batch_of ON batch(box, epoch, stream, first)",
        # text, not jsonb: the very bytes that the chain was made over are kept.
        """CREATE TABLE record(
            box text NOT NULL, epoch bigint NOT NULL, stream text NOT NULL, seq bigint NOT NULL,
            boot bigint NOT NULL, mono_ms bigint NOT NULL, wall_ms bigint NOT NULL, received_ms bigint NOT NULL,
            egress bigint NOT NULL, salt bytea NOT NULL, body text, "commitment" bytea NOT NULL, hash bytea NOT NULL,
            PRIMARY KEY(box, epoch, stream, seq)
        ) PARTITION BY HASH (box)""",
        *(
            f"CREATE TABLE record_{n} PARTITION OF record FOR VALUES WITH (MODULUS {_PARTITIONS}, REMAINDER {n})"
            for n in range(_PARTITIONS)
        ),
        """CREATE TABLE head(
            box text NOT NULL, epoch bigint NOT NULL, stream text NOT NULL, seq bigint NOT NULL, hash bytea NOT NULL,
            PRIMARY KEY(box, epoch, stream)
        )""",
        """CREATE TABLE erasure(
            box text NOT NULL, epoch bigint NOT NULL, stream text NOT NULL, seq bigint NOT NULL,
            PRIMARY KEY(box, epoch, stream, seq)
        )""",
        "CREATE TABLE unclean(sha text PRIMARY KEY)",
    ),
    (
        """CREATE TABLE told(
            release text NOT NULL, box text NOT NULL, epoch bigint NOT NULL, seq bigint NOT NULL, works bigint NOT NULL,
            PRIMARY KEY(release, box, epoch, seq)
        )""",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresPlace:
    """A schema of a PostgreSQL database; see ``appliance.hub.storage.Place``."""

    url: str

    def open(self) -> TableStorage:
        with self._connected() as connection:
            if not _exists(connection, SCHEMA):
                # Never made by the way: an empty database at a mistyped address must not pass for this hub's.
                raise HubError(
                    f"{self._name} holds no data of a hub.",
                    needed="The database that this hub was moved to is needed.",
                    todo="Bring it back, or make it anew from the archive: fieldpost-hub rebuild --data DIR",
                )
            self._migrate(connection, SCHEMA)
        return TableStorage(_PostgresTables(self.url, SCHEMA, self._name))

    def draft(self) -> TableStorage:
        with self._connected() as connection:
            connection.execute(quoted.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(quoted.Identifier(_DRAFT)))
            connection.execute(quoted.SQL("CREATE SCHEMA {}").format(quoted.Identifier(_DRAFT)))
            self._migrate(connection, _DRAFT)
        return TableStorage(_PostgresTables(self.url, _DRAFT, self._name))

    def adopt(self) -> str | None:
        with self._connected() as connection:
            number, there = 1, _exists(connection, SCHEMA)
            while _exists(connection, f"{SCHEMA}_before_{number}"):
                number += 1
            if there:
                _rename(connection, SCHEMA, f"{SCHEMA}_before_{number}")
            _rename(connection, _DRAFT, SCHEMA)
        return f"the schema {SCHEMA}_before_{number} of {self._name}" if there else None

    @property
    def _name(self) -> str:
        """Where it is, without what is secret in its URL."""
        parts = conninfo_to_dict(self.url)
        return f"PostgreSQL at {parts.get('host') or 'localhost'}, database {parts.get('dbname') or 'by default'}"

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        """One transaction of its own."""
        with _in_words(self._name), psycopg.connect(self.url, connect_timeout=_PATIENCE_S) as connection:
            yield connection

    def _migrate(self, connection: psycopg.Connection[Any], schema: str) -> None:
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('fieldpost migrations', 0))")
        connection.execute(quoted.SQL("SET LOCAL search_path TO {}").format(quoted.Identifier(schema)))
        connection.execute("CREATE TABLE IF NOT EXISTS version(taken bigint NOT NULL)")
        row = connection.execute("SELECT max(taken) FROM version").fetchone()
        taken = (row[0] if row else None) or 0
        if taken > len(_MIGRATIONS):
            raise HubError(
                f"{self._name} was written by a newer Fieldpost (version {taken}, here {len(_MIGRATIONS)}).",
                todo="Install the newer version again; the data is kept as it is.",
            )
        for statements in _MIGRATIONS[taken:]:
            for statement in statements:
                connection.execute(statement.encode())
        if taken < len(_MIGRATIONS):
            connection.execute("INSERT INTO version VALUES (%s)", [len(_MIGRATIONS)])


class _PostgresTables:
    """A few connections that threads share; a lock of the database's own keeps two processes from one box."""

    def __init__(self, url: str, schema: str, name: str) -> None:
        """Raises HubError: nobody answers."""
        self._name = name
        search_path = quoted.SQL("SET search_path TO {}").format(quoted.Identifier(schema))

        def configure(connection: psycopg.Connection[Any]) -> None:
            connection.execute(search_path)
            # Whatever the server's default: what was signed for must survive a power cut.
            connection.execute("SET synchronous_commit TO on")
            connection.commit()

        self._pool = ConnectionPool(
            url, min_size=1, max_size=_MOST_CONNECTIONS, timeout=_PATIENCE_S, open=False, configure=configure,
            check=ConnectionPool.check_connection, kwargs={"connect_timeout": _PATIENCE_S},
        )  # fmt: skip
        with _in_words(name):
            self._pool.open()

    @contextmanager
    def reading(self) -> Iterator["_PostgresStatements"]:
        with _in_words(self._name), self._pool.connection() as connection:
            yield _PostgresStatements(connection)

    @contextmanager
    def writing(self, whose: str) -> Iterator["_PostgresStatements"]:
        with _in_words(self._name), self._pool.connection() as connection:
            # Each statement after it sees what the one before us committed: READ COMMITTED looks anew every time.
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", [whose])
            yield _PostgresStatements(connection)

    def close(self) -> None:
        self._pool.close()


class _PostgresStatements:
    """See ``records.Statements``."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(_placed(sql), values).fetchall()

    def run(self, sql: str, values: Sequence[object] = ()) -> None:
        self._connection.execute(_placed(sql), values)

    def run_many(self, sql: str, values: Collection[Sequence[object]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_placed(sql), values)

    def add_records(self, rows: Sequence[tuple[Any, ...]]) -> None:
        with self._connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.set_types(_RECORD_TYPES)
            for row in rows:
                copy.write_row(row)


_COPY = quoted.SQL("COPY record ({}) FROM STDIN (FORMAT BINARY)").format(
    quoted.SQL(",").join(map(quoted.Identifier, RECORD_COLUMNS))
)


def _placed(sql: str) -> bytes:
    # Our own text from ``records``, which has no other question mark and no percent sign.
    return sql.replace("?", "%s").encode()


def _exists(connection: psycopg.Connection[Any], schema: str) -> bool:
    return connection.execute("SELECT 1 FROM pg_namespace WHERE nspname=%s", [schema]).fetchone() is not None


def _rename(connection: psycopg.Connection[Any], old: str, new: str) -> None:
    command = quoted.SQL("ALTER SCHEMA {} RENAME TO {}")
    connection.execute(command.format(quoted.Identifier(old), quoted.Identifier(new)))


@contextmanager
def _in_words(name: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise HubError(
            f"The hub's data, {name}, cannot be used: {' '.join(str(error).split())}.",
            todo="Is PostgreSQL running, and may this user come in? What was signed for is safe.",
        ) from error
