"""The hub's memory in tables: one text of SQL for SQLite and PostgreSQL, and the rules by which a batch fits.

Opening, locking and bulk loading differ, and are left to ``database_sqlite`` and ``database_postgres``.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

from appliance.errors import ForkDetected
from appliance.hub.rollout import Told, read_told
from appliance.hub.storage import Admitted, Kept, KnownBox
from appliance.log import chain
from appliance.log.chain import GENESIS, STREAMS
from appliance.log.erasure import read_request
from appliance.sync.batch import Batch, Header
from appliance.sync.wire import NEW_HISTORY, Introduction

RECORD_COLUMNS = (
    "box", "epoch", "stream", "seq", "boot", "mono_ms", "wall_ms", "received_ms", "egress", "salt", "body",
    "commitment", "hash",
)  # fmt: skip
"""The columns of a record, in the order of ``Statements.add_records``."""

_AT = "box=? AND epoch=? AND stream=?"
_Place = tuple[str, int, str]
_Row = tuple[Any, ...]


class Statements(Protocol):
    """A database during one transaction; ``?`` stands for a value."""

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[_Row]:
        """What a query finds. Bytes are ``bytes``."""

    def run(self, sql: str, values: Sequence[object] = ()) -> None: ...

    def run_many(self, sql: str, values: Collection[Sequence[object]]) -> None: ...

    def add_records(self, rows: Sequence[_Row]) -> None:
        """Rows of ``record`` that are known to be new, by ``RECORD_COLUMNS``."""


class Tables(Protocol):
    """An open database that has the hub's tables. Any thread may call it."""

    def reading(self) -> AbstractContextManager[Statements]:
        """For one query."""

    def writing(self, whose: str) -> AbstractContextManager[Statements]:
        """A transaction: nobody else writes what belongs to the same box or token until it ends."""

    def close(self) -> None: ...


class TableStorage:
    """``appliance.hub.storage.Storage`` on tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tables.close()

    def add_token(self, token: str, site: str, key: bytes, now_ms: int) -> None:
        with self._tables.writing(token) as database:
            database.run("INSERT INTO token(id, site, key, made_ms) VALUES (?,?,?,?)", [token, site, key, now_ms])

    def token_key(self, token: str) -> bytes | None:
        return self._key("SELECT key FROM token WHERE id=?", token)

    def admit(self, introduction: Introduction, key: bytes, now_ms: int) -> bool:
        box = introduction.box
        with self._tables.writing(introduction.token) as database:
            rows = database.rows("SELECT site, box FROM token WHERE id=?", [introduction.token])
            if not rows or rows[0][1] not in (None, box):
                return False
            shut_out = "SELECT 1 FROM box WHERE name=? AND token=? AND revoked_ms IS NOT NULL"
            if database.rows(shut_out, [box, introduction.token]):
                return False
            database.run("UPDATE token SET box=? WHERE id=?", [box, introduction.token])
            known = Admitted(box=box, site=rows[0][0], key=key, token=introduction.token, revoked_ms=None)
            _put_box(database, known, now_ms)
        return True

    def admitted(self, box: str) -> Admitted | None:
        with self._tables.reading() as database:
            rows = database.rows("SELECT site, key, token, revoked_ms FROM box WHERE name=?", [box])
        if not rows:
            return None
        ((site, key, token, revoked_ms),) = rows
        return Admitted(box=box, site=site, key=key, token=token, revoked_ms=revoked_ms)

    def readmit(self, box: Admitted, now_ms: int) -> None:
        with self._tables.writing(box.box) as database:
            _put_box(database, box, now_ms)

    def revoke(self, box: str, now_ms: int) -> None:
        with self._tables.writing(box) as database:
            database.run("UPDATE box SET revoked_ms=coalesce(revoked_ms, ?) WHERE name=?", [now_ms, box])

    def box_key(self, box: str) -> bytes | None:
        return self._key("SELECT key FROM box WHERE name=?", box)

    def batch(self, sha: str) -> tuple[Header, int] | None:
        with self._tables.reading() as database:
            rows = database.rows("SELECT bytes, box, epoch, stream, first, n FROM batch WHERE sha=?", [sha])
        if not rows:
            return None
        ((size, box, epoch, stream, first, n),) = rows
        return Header(box=box, epoch=epoch, stream=stream, first=first, n=n), size

    def merge(self, sha: str, batch: Batch, size: int, now_ms: int, *, archive: Callable[[], None]) -> None:
        header = batch.header
        place = (header.box, header.epoch, header.stream)
        # A request to forget speaks of other streams of its box: one batch of a box at a time, not one of a stream.
        with self._tables.writing(header.box) as database:
            if database.rows("SELECT 1 FROM batch WHERE sha=?", [sha]):
                return
            have = _have(database, header)
            check_fit(batch, have)
            database.add_records(
                [
                    (
                        *place, r.seq, r.boot, r.mono_ms, r.wall_ms, now_ms, int(r.egress), r.salt,
                        None if r.body is None else r.body.decode("utf-8"), r.commitment, r.hash,
                    )
                    for r in batch.records
                    if r.seq not in have
                ]
            )  # fmt: skip
            database.run(
                "INSERT INTO batch VALUES (?,?,?,?,?,?,?,?)", [sha, *place, header.first, header.n, size, now_ms]
            )
            database.run("UPDATE box SET last_contact_ms=? WHERE name=?", [now_ms, header.box])
            _advance(database, place, batch)
            _forget(database, sha, batch)
            _listen(database, batch)
            archive()

    def kept(self, box: str) -> list[Kept]:
        names = "epoch, stream, seq, boot, mono_ms, wall_ms, received_ms, body"
        with self._tables.reading() as database:
            rows = database.rows(f"SELECT {names} FROM record WHERE box=? ORDER BY epoch, stream, seq", [box])  # noqa: S608
        return [Kept(box=box, **dict(zip(names.split(", "), row, strict=True))) for row in rows]

    def told(self, release: str) -> list[Told]:
        with self._tables.reading() as database:
            rows = database.rows("SELECT box, works, epoch, seq FROM told WHERE release=?", [release])
        return [Told(box=box, works=bool(works), at=(epoch, seq)) for box, works, epoch, seq in rows]

    def unclean(self) -> list[str]:
        with self._tables.reading() as database:
            return [sha for (sha,) in database.rows("SELECT sha FROM unclean ORDER BY sha")]

    def erased(self, header: Header) -> set[int]:
        with self._tables.reading() as database:
            return _erased(database, header)

    def clean(self, sha: str) -> None:
        with self._tables.writing(sha) as database:
            database.run("DELETE FROM unclean WHERE sha=?", [sha])

    def heads(self, box: str, epoch: int | None) -> tuple[int, dict[str, tuple[int, bytes]]]:
        with self._tables.reading() as database:
            # One query, so that the streams are as of one moment.
            rows = database.rows("SELECT epoch, stream, seq, hash FROM head WHERE box=?", [box])
        epoch = epoch or max((row[0] for row in rows), default=1)
        found = {stream: (seq, hash) for of, stream, seq, hash in rows if of == epoch}
        return epoch, {stream: found.get(stream, (0, GENESIS)) for stream in STREAMS}

    def boxes(self) -> list[KnownBox]:
        with self._tables.reading() as database:
            boxes = database.rows("SELECT name, site, last_contact_ms, revoked_ms FROM box")
            counted = database.rows("SELECT box, stream, count(*) FROM record GROUP BY box, stream")
        numbers = {(box, stream): number for box, stream, number in counted}
        return [
            KnownBox(
                box=name,
                site=site,
                last_contact_ms=contact_ms,
                records={stream: numbers.get((name, stream), 0) for stream in STREAMS},
                revoked_ms=revoked_ms,
            )
            # Ordered here: databases sort letters by the language they were set up in.
            for name, site, contact_ms, revoked_ms in sorted(boxes, key=lambda row: (row[1], row[0]))
        ]

    def _key(self, sql: str, name: str) -> bytes | None:
        with self._tables.reading() as database:
            rows = database.rows(sql, [name])
        return bytes(rows[0][0]) if rows else None


def check_fit(batch: Batch, have: Mapping[int, _Row]) -> None:
    """Every record that is there already, and both joints, must match: else the box was copied or rolled back.

    Args:
        have: seq to ``(seq, boot, mono_ms, wall_ms, commitment, hash)`` of what is there, from one before the batch to
            one after it.

    Raises:
        ForkDetected: naming the first record that is another one here.
    """
    header, records = batch.header, batch.records
    before = GENESIS if header.first == 1 else have[header.first - 1][5] if header.first - 1 in have else None
    if before is not None and before != batch.previous:
        raise _fork(header, header.first)
    for record in records:
        if record.seq in have and have[record.seq][5] != record.hash:
            raise _fork(header, record.seq)
    if after := have.get(header.last + 1):
        seq, boot, mono_ms, wall_ms, commitment, hash = after
        if chain.link(records[-1].hash, header.stream, seq, boot, mono_ms, wall_ms, commitment) != hash:
            raise _fork(header, seq)


def _fork(header: Header, seq: int) -> ForkDetected:
    return ForkDetected(
        f"Two histories under the name {header.box}: record {header.stream} {seq} is another one here.",
        needed="What was received before stays; nothing of this batch was merged.",
        todo=f"The box was copied or rolled back. At the box, bring back its newest backup. Or: {NEW_HISTORY}",
    )


def _have(database: Statements, header: Header) -> dict[int, _Row]:
    rows = database.rows(
        f"""SELECT seq, boot, mono_ms, wall_ms, "commitment", hash FROM record
            WHERE {_AT} AND seq BETWEEN ? AND ?""",  # noqa: S608
        [header.box, header.epoch, header.stream, header.first - 1, header.last + 1],
    )
    return {row[0]: row for row in rows}


def _put_box(database: Statements, box: Admitted, now_ms: int) -> None:
    database.run(
        """INSERT INTO box(name, site, key, token, last_contact_ms, revoked_ms) VALUES (?,?,?,?,?,?)
           ON CONFLICT(name) DO UPDATE SET site=excluded.site, token=excluded.token,
           last_contact_ms=excluded.last_contact_ms, revoked_ms=excluded.revoked_ms""",
        [box.box, box.site, box.key, box.token, now_ms, box.revoked_ms],
    )


def _advance(database: Statements, place: _Place, batch: Batch) -> None:
    """Move the stream's head over this batch, and over what waited behind it."""
    rows = database.rows(f"SELECT seq FROM head WHERE {_AT}", place)  # noqa: S608
    head, header = (rows[0][0] if rows else 0), batch.header
    if not header.first - 1 <= head < header.last:
        return
    seq, hash = header.last, batch.records[-1].hash
    if database.rows(f"SELECT 1 FROM record WHERE {_AT} AND seq=?", (*place, seq + 1)):  # noqa: S608
        waited = f"SELECT seq, hash FROM record WHERE {_AT} AND seq>? ORDER BY seq"  # noqa: S608
        for next_seq, next_hash in database.rows(waited, (*place, seq)):
            if next_seq != seq + 1:
                break
            seq, hash = next_seq, next_hash
    database.run(
        """INSERT INTO head(box, epoch, stream, seq, hash) VALUES (?,?,?,?,?)
           ON CONFLICT(box, epoch, stream) DO UPDATE SET seq=excluded.seq, hash=excluded.hash""",
        (*place, seq, hash),
    )


def _listen(database: Statements, batch: Batch) -> None:
    """Keep what a box says of a release, where rollouts look for it."""
    header = batch.header
    said = [
        (release, header.box, header.epoch, record.seq, int(works))
        for record in batch.records
        if (read := read_told(record)) is not None
        for release, works in [read]
    ]
    if said:
        database.run_many("INSERT INTO told VALUES (?,?,?,?,?) ON CONFLICT DO NOTHING", said)


def _erased(database: Statements, header: Header) -> set[int]:
    rows = database.rows(
        f"SELECT seq FROM erasure WHERE {_AT} AND seq BETWEEN ? AND ?",  # noqa: S608
        [header.box, header.epoch, header.stream, header.first, header.last],
    )
    return {seq for (seq,) in rows}


def _forget(database: Statements, sha: str, batch: Batch) -> None:
    """Take away what this batch asks to be forgotten, and what earlier ones asked and it brings all the same."""
    header = batch.header
    box, epoch = header.box, header.epoch
    asked = [(box, epoch, e.stream, seq) for e in filter(None, map(read_request, batch.records)) for seq in e.seqs]
    if asked:
        database.run_many("INSERT INTO erasure VALUES (?,?,?,?) ON CONFLICT DO NOTHING", asked)
        database.run_many(
            f"""INSERT INTO unclean SELECT sha FROM batch WHERE {_AT} AND ? BETWEEN first AND first + n - 1
                ON CONFLICT DO NOTHING""",  # noqa: S608
            asked,
        )
    gone = _erased(database, header)
    brought = [(box, epoch, header.stream, r.seq) for r in batch.records if r.body is not None and r.seq in gone]
    if brought:
        database.run("INSERT INTO unclean VALUES (?) ON CONFLICT DO NOTHING", [sha])
    if asked or brought:
        database.run_many(
            f"UPDATE record SET body=NULL, salt=? WHERE {_AT} AND seq=?",  # noqa: S608
            [(b"", *one) for one in {*asked, *brought}],
        )
