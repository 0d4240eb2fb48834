"""What a hub keeps, in one SQLite file: tokens, boxes, the names of batches, and every record once.

Whether a box may say what it says was checked before; here it is decided whether it fits what is there already.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from sqlite_utils import Database

from appliance.database import Migration, open_database, transaction
from appliance.errors import ForkDetected, HubError
from appliance.log import chain
from appliance.log.chain import GENESIS, STREAMS
from appliance.log.erasure import read_request
from appliance.sync.batch import Batch, Header
from appliance.sync.wire import NEW_HISTORY, Introduction

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
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBox:
    """An enrolled box, as people ask about it."""

    box: str
    site: str
    last_contact_ms: int
    records: dict[str, int]
    """Records a stream, of all epochs; every stream is there."""
    revoked_ms: int | None
    """When it was shut out, if it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """What the hub must not forget about a box; kept outside the database too."""

    box: str
    site: str
    key: bytes
    token: str
    revoked_ms: int | None


class Storage(Protocol):
    """What the hub needs of its memory. Each method is whole or not at all, and safe to call from any thread."""

    def add_token(self, token: str, site: str, key: bytes, now_ms: int) -> None:
        """Remember a token by the public half of its secret."""

    def token_key(self, token: str) -> bytes | None:
        """The public half of a token's secret."""

    def admit(self, introduction: Introduction, key: bytes, now_ms: int) -> bool:
        """Use up the token for this box; False if another box has used it, or this one was shut out since.

        Again for the same box is True.
        """

    def admitted(self, box: str) -> Admitted | None:
        """An enrolled box, shut out or not."""

    def readmit(self, box: Admitted, now_ms: int) -> None:
        """Put a box back as it was, into a database that is made anew."""

    def revoke(self, box: str, now_ms: int) -> None:
        """Shut a box out: nothing more is taken from it until it comes with a new token."""

    def box_key(self, box: str) -> bytes | None:
        """An enrolled box's public key, shut out or not."""

    def batch(self, sha: str) -> tuple[Header, int] | None:
        """What is in a batch that was merged before, and its size in bytes."""

    def merge(self, sha: str, batch: Batch, size: int, now_ms: int, *, archive: Callable[[], None]) -> None:
        """Take in a batch. ``archive`` is called once it is known to fit, before it counts as received.

        Raises:
            ForkDetected: it does not fit; nothing was changed.
        """

    def unclean(self) -> list[str]:
        """Archived batches that still hold a body that is to be forgotten."""

    def erased(self, header: Header) -> set[int]:
        """Records of a batch that are to be forgotten."""

    def clean(self, sha: str) -> None:
        """The archive does not hold it any more."""

    def heads(self, box: str, epoch: int | None) -> tuple[int, dict[str, tuple[int, bytes]]]:
        """The epoch (the newest for None) and how far each stream has come without a gap."""

    def boxes(self) -> list[KnownBox]:
        """Every enrolled box, by the name of its site."""


class SqliteStorage:
    """Storage in ``DIR/hub.sqlite``; closed by leaving its ``with`` block. Several processes may have it open."""

    def __init__(self, path: Path) -> None:
        """Raises HubError: the file cannot be opened."""
        self._path = path
        self._lock = threading.Lock()
        with _in_words(path):
            self._database: Database = open_database(path, _MIGRATIONS)

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_token(self, token: str, site: str, key: bytes, now_ms: int) -> None:
        with self._write() as database:
            database.execute("INSERT INTO token(id, site, key, made_ms) VALUES (?,?,?,?)", [token, site, key, now_ms])

    def token_key(self, token: str) -> bytes | None:
        with self._read() as database:
            row = database.execute("SELECT key FROM token WHERE id=?", [token]).fetchone()
        return bytes(row[0]) if row else None

    def admit(self, introduction: Introduction, key: bytes, now_ms: int) -> bool:
        with self._write() as database:
            row = database.execute("SELECT site, box FROM token WHERE id=?", [introduction.token]).fetchone()
            if row is None or row[1] not in (None, introduction.box):
                return False
            shut_out = "SELECT 1 FROM box WHERE name=? AND token=? AND revoked_ms IS NOT NULL"
            if database.execute(shut_out, [introduction.box, introduction.token]).fetchone():
                return False
            database.execute("UPDATE token SET box=? WHERE id=?", [introduction.box, introduction.token])
            _put_box(
                database,
                Admitted(box=introduction.box, site=row[0], key=key, token=introduction.token, revoked_ms=None),
                now_ms,
            )
        return True

    def admitted(self, box: str) -> Admitted | None:
        with self._read() as database:
            row = database.execute("SELECT site, key, token, revoked_ms FROM box WHERE name=?", [box]).fetchone()
        if row is None:
            return None
        return Admitted(box=box, site=row[0], key=bytes(row[1]), token=row[2], revoked_ms=row[3])

    def readmit(self, box: Admitted, now_ms: int) -> None:
        with self._write() as database:
            _put_box(database, box, now_ms)

    def revoke(self, box: str, now_ms: int) -> None:
        with self._write() as database:
            database.execute("UPDATE box SET revoked_ms=coalesce(revoked_ms, ?) WHERE name=?", [now_ms, box])

    def box_key(self, box: str) -> bytes | None:
        with self._read() as database:
            row = database.execute("SELECT key FROM box WHERE name=?", [box]).fetchone()
        return bytes(row[0]) if row else None

    def batch(self, sha: str) -> tuple[Header, int] | None:
        query = "SELECT bytes, box, epoch, stream, first, n FROM batch WHERE sha=?"
        with self._read() as database:
            row = database.execute(query, [sha]).fetchone()
        if row is None:
            return None
        size, box, epoch, stream, first, n = row
        return Header(box=box, epoch=epoch, stream=stream, first=first, n=n), size

    def merge(self, sha: str, batch: Batch, size: int, now_ms: int, *, archive: Callable[[], None]) -> None:
        header = batch.header
        place = (header.box, header.epoch, header.stream)
        with self._write() as database:
            if database.execute("SELECT 1 FROM batch WHERE sha=?", [sha]).fetchone():
                return
            _check_fit(database, batch)
            database.conn.executemany(
                "INSERT OR IGNORE INTO record VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
                [
                    (
                        *place, r.seq, r.boot, r.mono_ms, r.wall_ms, now_ms, r.egress, r.salt,
                        None if r.body is None else r.body.decode("utf-8"), r.commitment, r.hash,
                    )
                    for r in batch.records
                ],
            )  # fmt: skip
            database.execute(
                "INSERT INTO batch VALUES (?,?,?,?,?,?,?,?)", [sha, *place, header.first, header.n, size, now_ms]
            )
            database.execute("UPDATE box SET last_contact_ms=? WHERE name=?", [now_ms, header.box])
            _advance(database, place)
            _forget(database, sha, batch)
            archive()

    def unclean(self) -> list[str]:
        with self._read() as database:
            return [sha for (sha,) in database.execute("SELECT sha FROM unclean ORDER BY sha").fetchall()]

    def erased(self, header: Header) -> set[int]:
        query = "SELECT seq FROM erasure WHERE box=? AND epoch=? AND stream=? AND seq BETWEEN ? AND ?"
        places = [header.box, header.epoch, header.stream, header.first, header.last]
        with self._read() as database:
            return {seq for (seq,) in database.execute(query, places).fetchall()}

    def clean(self, sha: str) -> None:
        with self._write() as database:
            database.execute("DELETE FROM unclean WHERE sha=?", [sha])

    def heads(self, box: str, epoch: int | None) -> tuple[int, dict[str, tuple[int, bytes]]]:
        with self._read() as database:
            if epoch is None:
                epoch = database.execute("SELECT max(epoch) FROM head WHERE box=?", [box]).fetchone()[0] or 1
            rows = database.execute("SELECT stream, seq, hash FROM head WHERE box=? AND epoch=?", [box, epoch])
            found = {stream: (seq, bytes(hash)) for stream, seq, hash in rows.fetchall()}
        return epoch, {stream: found.get(stream, (0, GENESIS)) for stream in STREAMS}

    def boxes(self) -> list[KnownBox]:
        with self._read() as database:
            boxes = database.execute(
                "SELECT name, site, last_contact_ms, revoked_ms FROM box ORDER BY site, name"
            ).fetchall()
            counted = database.execute("SELECT box, stream, count(*) FROM record GROUP BY box, stream").fetchall()
        numbers = {(box, stream): number for box, stream, number in counted}
        return [
            KnownBox(
                box=name,
                site=site,
                last_contact_ms=contact_ms,
                records={stream: numbers.get((name, stream), 0) for stream in STREAMS},
                revoked_ms=revoked_ms,
            )
            for name, site, contact_ms, revoked_ms in boxes
        ]

    @contextmanager
    def _read(self) -> Iterator[Database]:
        with self._lock, _in_words(self._path):
            yield self._database

    @contextmanager
    def _write(self) -> Iterator[Database]:
        with self._lock, _in_words(self._path), transaction(self._database):
            yield self._database


def _put_box(database: Database, box: Admitted, now_ms: int) -> None:
    database.execute(
        """INSERT INTO box VALUES (:box, :site, :key, :token, :now, :revoked) ON CONFLICT(name)
           DO UPDATE SET site=:site, token=:token, last_contact_ms=:now, revoked_ms=:revoked""",
        {
            "box": box.box,
            "site": box.site,
            "key": box.key,
            "token": box.token,
            "now": now_ms,
            "revoked": box.revoked_ms,
        },
    )


def _check_fit(database: Database, batch: Batch) -> None:
    """Every record that is there already, and both joints, must match: else the box was copied or rolled back."""
    header, records = batch.header, batch.records
    rows = database.execute(
        """SELECT seq, boot, mono_ms, wall_ms, "commitment", hash FROM record
           WHERE box=? AND epoch=? AND stream=? AND seq BETWEEN ? AND ?""",
        [header.box, header.epoch, header.stream, header.first - 1, header.last + 1],
    ).fetchall()
    have = {row[0]: row for row in rows}
    before = GENESIS if header.first == 1 else bytes(have[header.first - 1][5]) if header.first - 1 in have else None
    if before is not None and before != batch.previous:
        raise _fork(header, header.first)
    for record in records:
        if record.seq in have and bytes(have[record.seq][5]) != record.hash:
            raise _fork(header, record.seq)
    if after := have.get(header.last + 1):
        seq, boot, mono_ms, wall_ms, commitment, hash = after
        if chain.link(records[-1].hash, header.stream, seq, boot, mono_ms, wall_ms, bytes(commitment)) != bytes(hash):
            raise _fork(header, seq)


def _fork(header: Header, seq: int) -> ForkDetected:
    return ForkDetected(
        f"Two histories under the name {header.box}: record {header.stream} {seq} is another one here.",
        needed="What was received before stays; nothing of this batch was merged.",
        todo=f"The box was copied or rolled back. At the box, bring back its newest backup. Or: {NEW_HISTORY}",
    )


def _advance(database: Database, place: tuple[str, int, str]) -> None:
    where = "box=? AND epoch=? AND stream=?"
    row = database.execute(f"SELECT seq FROM head WHERE {where}", place).fetchone()  # noqa: S608
    seq, hash = (row[0] if row else 0), None
    following = database.execute(f"SELECT seq, hash FROM record WHERE {where} AND seq>? ORDER BY seq", (*place, seq))  # noqa: S608
    for next_seq, next_hash in following:
        if next_seq != seq + 1:
            break
        seq, hash = next_seq, next_hash
    if hash is not None:
        database.execute("INSERT OR REPLACE INTO head VALUES (?,?,?,?,?)", (*place, seq, hash))


def _forget(database: Database, sha: str, batch: Batch) -> None:
    """Take away what this batch asks to be forgotten, and what earlier ones asked and it brings all the same."""
    box, epoch, stream = batch.header.box, batch.header.epoch, batch.header.stream
    places = [(box, epoch, e.stream, seq) for e in filter(None, map(read_request, batch.records)) for seq in e.seqs]
    database.conn.executemany("INSERT OR IGNORE INTO erasure VALUES (?,?,?,?)", places)
    database.conn.executemany(
        """INSERT OR IGNORE INTO unclean SELECT sha FROM batch
           WHERE box=? AND epoch=? AND stream=? AND ? BETWEEN first AND first + n - 1""",
        places,
    )
    brought = [
        (box, epoch, stream, r.seq)
        for r in batch.records
        if r.body is not None
        and database.execute(
            "SELECT 1 FROM erasure WHERE box=? AND epoch=? AND stream=? AND seq=?", [box, epoch, stream, r.seq]
        ).fetchone()
    ]
    if brought:
        database.execute("INSERT OR IGNORE INTO unclean VALUES (?)", [sha])
    database.conn.executemany(
        "UPDATE record SET body=NULL, salt=x'' WHERE box=? AND epoch=? AND stream=? AND seq=?", places + brought
    )


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise HubError(
            f"The hub's data {path} cannot be used: {error}.",
            todo="Check the disk's space and the folder's owner. What was signed for is safe.",
        ) from error
