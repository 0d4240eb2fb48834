"""What can still be read of a damaged log, and a new file made of it. What follows for the hub is left to others."""

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from appliance.database import open_database, transaction
from appliance.errors import LogError
from appliance.log import chain
from appliance.log.chain import GENESIS, STREAMS, Record
from appliance.log.migrations import STEPS
from appliance.log.store import COLUMNS, to_record

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PAGE = 4096
"""Bytes of a page, as SQLite makes files."""
_MOST_JUMPS = 30
"""Doublings over unreadable places; beyond a thousand million records there is nothing."""
NOTHING = ("it is missing", "it is empty")
"""What ``damage`` says where there is no log at all."""
Range = tuple[int, int]


def damage(path: Path) -> str:
    """What is wrong with the file of a log, in SQLite's words; empty when it is sound.

    Only damage counts: a disk that is full, or a file that may not be read, is not mended by making another.
    """
    if not path.exists():
        return NOTHING[0]
    if not path.stat().st_size:
        return NOTHING[1]
    try:
        with closing(_open(path)) as database:
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if found == "ok":
                database.execute(f"SELECT {COLUMNS} FROM log LIMIT 1").fetchone()  # noqa: S608
                database.execute("SELECT box, boot FROM meta").fetchone()
            return "" if found == "ok" else " ".join(found.split())[:200]
    except sqlite3.DatabaseError as error:
        lost = "no such table" in str(error) and path.stat().st_size > 0
        return str(error) if lost or (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGE else ""


def read_what_is_left(path: Path) -> tuple[dict[str, list[Record]], dict[str, int]]:
    """Every record that can be read and is what was committed to, by stream and in order; and each stream's last seq
    by the log's own account, as far as that can be read."""
    left: dict[str, list[Record]] = {stream: [] for stream in STREAMS}
    last = dict.fromkeys(STREAMS, 0)
    if not path.exists() or not path.stat().st_size:
        return left, last
    with _readable(path) as file, closing(_open(file)) as database:
        for stream in STREAMS:
            left[stream] = [record for record in _records(database, stream) if _is_sound(record)]
            head = _try(database, "SELECT seq FROM head WHERE stream=?", (stream,))
            told = head[0] if isinstance(head, tuple) and isinstance(head[0], int) else 0
            last[stream] = max([told, *(record.seq for record in left[stream])])
    return left, last


def whole_beginning(records: Sequence[Record]) -> list[Record]:
    """The records from the first of their stream on, as far as each follows from the one before."""
    previous, found = GENESIS, []
    for seq, record in enumerate(records, start=1):
        try:
            if record.seq != seq:
                break
            previous = chain.check_links(previous, [record])
        except LogError:
            break
        found.append(record)
    return found


def missing(records: Sequence[Record], last: int) -> list[Range]:
    """Ranges of numbers up to ``last`` that are not among the records."""
    seqs = [0, *(record.seq for record in records), last + 1]
    return [(before + 1, after - 1) for before, after in pairwise(seqs) if after - before > 1]


def write_anew(path: Path, box: str, kept: Mapping[str, Sequence[Record]], again: Sequence[Record]) -> None:
    """Make a log at ``path``: ``kept`` as they were, from each stream's first on, then ``again`` under new numbers.

    Raises:
        LogError: the disk.
    """
    every = [*again, *(record for records in kept.values() for record in records)]
    try:
        for leftover in path.parent.glob(f"{path.name}*"):
            leftover.unlink()
        with closing(open_database(path, STEPS)) as database, transaction(database):
            boot = max((record.boot for record in every), default=0)
            database.execute("INSERT INTO meta (box, boot) VALUES (?, ?)", (box, boot))
            heads = dict.fromkeys(STREAMS, (0, GENESIS))
            for record in (record for stream in STREAMS for record in kept.get(stream, ())):
                _insert(database, record, record.seq, record.hash)
                heads[record.stream] = record.seq, record.hash
            for record in again:
                seq, previous = heads[record.stream][0] + 1, heads[record.stream][1]
                times = (record.boot, record.mono_ms, record.wall_ms)
                hash = chain.link(previous, record.stream, seq, *times, record.commitment)
                _insert(database, record, seq, hash)
                heads[record.stream] = seq, hash
            for stream, (seq, hash) in heads.items():
                database.execute("INSERT INTO head (stream, seq, hash) VALUES (?, ?, ?)", (stream, seq, hash))
    except (sqlite3.Error, OSError) as error:
        raise LogError(f"The log cannot be made anew: {error}.", todo="Free space on the disk.") from error


def _open(path: Path) -> Database:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    return Database(connection, recursive_triggers=False, execute_plugins=False)


@contextmanager
def _readable(path: Path) -> Iterator[Path]:
    """The file, or a copy whose first page is a new log's: that page says only where the tables begin, and every log
    of these migrations has them at the same places."""
    with closing(_open(path)) as database:
        if isinstance(_try(database, "SELECT stream FROM head", ()), tuple):
            yield path
            return
    with tempfile.TemporaryDirectory(prefix="salvage-", dir=path.parent) as scratch:
        new, copy = Path(scratch) / "new", Path(scratch) / "copy"
        open_database(new, STEPS).close()
        shutil.copyfile(path, copy)
        if (log := path.with_name(f"{path.name}-wal")).exists():
            shutil.copyfile(log, copy.with_name("copy-wal"))
        with new.open("rb") as source, copy.open("r+b") as target:
            first = bytearray(source.read(_PAGE))
            pages = max(1, path.stat().st_size // _PAGE)
            first[28:32] = pages.to_bytes(4, "big")  # how many pages the file has
            target.write(first)
        yield copy


def _records(database: Database, stream: str) -> Iterator[Record]:
    """Row after row; where a page cannot be read, from the first number on that can."""
    query = f"SELECT {COLUMNS} FROM log WHERE stream=? AND seq>? ORDER BY seq LIMIT 1"  # noqa: S608

    def next_after(seq: int) -> Any:
        return _try(database, query, (stream, seq))

    after = 0
    while (row := next_after(after)) is not None:
        if isinstance(row, sqlite3.DatabaseError):
            good = _first_good(next_after, after)
            if good is None:
                return
            after = good
            continue
        try:
            record = to_record(row)
            in_place = record.stream == stream and record.seq > after  # a spoilt page may say anything
        except (TypeError, ValueError):
            in_place = False
        if in_place:
            yield record
        after = record.seq if in_place else after + 1


def _first_good(next_after: Callable[[int], Any], bad: int) -> int | None:
    """The smallest number from which on rows can be read again; doubling, then halving."""
    for jump in range(_MOST_JUMPS):
        good = bad + (1 << jump)
        if not isinstance(next_after(good), sqlite3.DatabaseError):
            low = bad + (1 << jump >> 1) if jump else bad
            while good - low > 1:
                middle = (low + good) // 2
                if isinstance(next_after(middle), sqlite3.DatabaseError):
                    low = middle
                else:
                    good = middle
            return good
    return None


def _try(database: Database, query: str, values: Sequence[object]) -> Any:
    """A row, None, or the error that kept it."""
    try:
        return database.execute(query, values).fetchone()
    except sqlite3.DatabaseError as error:
        return error


def _is_sound(record: Record) -> bool:
    try:
        chain.link_of(GENESIS, record)
        if len(record.hash) != 32:
            return False
        return record.body is None or chain.commitment(record.salt, record.body) == record.commitment
    except (LogError, TypeError):
        return False


def _insert(database: Database, record: Record, seq: int, hash: bytes) -> None:
    values = (
        record.stream, seq, record.boot, record.mono_ms, record.wall_ms, int(record.egress), record.salt, record.body,
        record.commitment, hash,
    )  # fmt: skip
    database.execute(f"INSERT INTO log ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608
