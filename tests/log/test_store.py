import errno
import sqlite3
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import LogError
from appliance.log import migrations, store
from appliance.log.chain import GENESIS, STREAMS
from appliance.log.store import Log


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
def log(path: Path) -> Iterator[Log]:
    with Log.open(path, "box-1") as opened:
        yield opened


def change(path: Path, *statements: str) -> None:
    """What someone with a SQLite shell could do."""
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            assert connection.execute(statement).rowcount == 1, statement
    connection.close()


def test_records_come_back_in_order_with_their_bodies(log: Log) -> None:
    assert [log.append("chat", {"b": number, "a": "homa"}) for number in range(3)] == [1, 2, 3]
    assert log.append("audit", {"who": "nurse"}, egress=False) == 1
    rows = log.rows("chat", 2, 10)
    assert [(row.seq, row.body) for row in rows] == [(2, b'{"a":"homa","b":1}'), (3, b'{"a":"homa","b":2}')]
    assert [len(row.salt) for row in rows] == [16, 16]
    assert rows[0].salt != rows[1].salt
    assert log.rows("chat", 1, 1)[0].hash == log.hash_at("chat", 1)
    assert [row.egress for row in log.rows("audit", 1, 9)] == [False]
    assert log.rows("safety", 1, 9) == []
    assert log.heads() == dict.fromkeys(STREAMS, (0, GENESIS)) | {
        "chat": (3, log.hash_at("chat", 3)),
        "audit": (1, log.hash_at("audit", 1)),
    }


def test_hash_at_the_beginning_and_beyond_the_end(log: Log) -> None:
    assert log.hash_at("chat", 0) == GENESIS
    with pytest.raises(LogError, match="no record chat 1"):
        log.hash_at("chat", 1)


def test_a_later_opening_goes_on_where_the_last_one_ended(path: Path) -> None:
    for opening in (1, 2, 3):
        with Log.open(path, "box-1") as log:
            assert log.append("metric", {"opening": opening}) == opening
    with Log.open(path, "box-1") as log:
        assert [row.boot for row in log.rows("metric", 1, 9)] == [1, 2, 3]
        assert log.verify().ok


def test_nobody_else_may_read_it(path: Path) -> None:
    path.touch(mode=0o644)
    with Log.open(path, "box-1") as log:
        log.append("chat", {})
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_every_commit_is_synced(log: Log) -> None:
    assert log._database.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert log._database.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_count_reads_only(path: Path) -> None:
    with Log.open(path, "box-1") as log:
        log.append("chat", {})
        log.append("audit", {})
        assert Log.count(path) == 2
    before = path.read_bytes()
    assert Log.count(path) == 2
    assert path.read_bytes() == before
    with pytest.raises(LogError, match="cannot be opened"):
        Log.count(path.with_name("none.sqlite"))
    assert not path.with_name("none.sqlite").exists()


def test_opening_to_read_changes_nothing_and_sees_what_is_written_meanwhile(path: Path) -> None:
    with Log.open(path, "box-1") as log:
        log.append("chat", {"n": 1})
    before = path.read_bytes()
    with Log.open_to_read(path, "box-1") as reader:
        assert reader.verify().records["chat"] == 1
        with pytest.raises(LogError, match="may not be written"):
            reader.append("chat", {"n": 2})
        assert path.read_bytes() == before
        with Log.open(path, "box-1") as log:
            assert log.boot == reader.boot + 1 == 2
            log.append("chat", {"n": 2})
            assert [row.boot for row in reader.rows("chat", 1, 9)] == [1, 2]
    with pytest.raises(LogError, match="belongs to box box-1"):
        Log.open_to_read(path, "box-2")
    with pytest.raises(LogError, match="cannot be opened"):
        Log.open_to_read(path.with_name("none.sqlite"), "box-1")
    assert not path.with_name("none.sqlite").exists()


def test_threads_share_a_log_without_losing_a_record(log: Log) -> None:
    def write() -> None:
        for number in range(20):
            log.append("chat", {"n": number})

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = log.verify()
    assert (report.ok, report.records["chat"]) == (True, 80)


def test_what_cannot_be_recorded_leaves_no_trace(log: Log) -> None:
    for stream, body in (("gossip", {}), ("chat", {"x": object()})):
        with pytest.raises(LogError):
            log.append(stream, body)
    assert log.verify().records == dict.fromkeys(STREAMS, 0)
    assert log.append("chat", {}) == 1


TAMPERINGS = {
    "stream": "UPDATE log SET stream = 'safety' WHERE stream = 'chat' AND seq = 3",
    "seq": "UPDATE log SET seq = 30 WHERE stream = 'chat' AND seq = 3",
    "boot": "UPDATE log SET boot = boot + 1 WHERE stream = 'chat' AND seq = 3",
    "mono_ms": "UPDATE log SET mono_ms = mono_ms + 1 WHERE stream = 'chat' AND seq = 3",
    "wall_ms": "UPDATE log SET wall_ms = -1 WHERE stream = 'chat' AND seq = 3",
    "egress": "UPDATE log SET egress = 0 WHERE stream = 'chat' AND seq = 3",
    "salt": "UPDATE log SET salt = zeroblob(16) WHERE stream = 'chat' AND seq = 3",
    "body": "UPDATE log SET body = CAST('{}' AS BLOB) WHERE stream = 'chat' AND seq = 3",
    "commitment": "UPDATE log SET \"commitment\" = zeroblob(32) WHERE stream = 'chat' AND seq = 3",
    "hash": "UPDATE log SET hash = zeroblob(32) WHERE stream = 'chat' AND seq = 3",
    "record": "DELETE FROM log WHERE stream = 'chat' AND seq = 3",
}


@pytest.mark.parametrize("column", TAMPERINGS)
def test_a_changed_column_is_found_and_its_record_named(path: Path, column: str) -> None:
    with Log.open(path, "box-1") as log:
        for number in range(5):
            log.append("chat", {"n": number})
        assert log.verify().ok
        change(path, TAMPERINGS[column])
        report = log.verify()
        assert not report.ok
        assert "chat 3" in report.problem


def test_every_column_of_the_log_is_tampered_with(log: Log) -> None:
    columns = {row[1] for row in log._database.execute("PRAGMA table_info(log)").fetchall()}
    assert columns == set(TAMPERINGS) - {"record"}


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DELETE FROM log WHERE stream = 'chat' AND seq = 1", "Record chat 1 is missing"),
        ("DELETE FROM log WHERE stream = 'chat' AND seq = 5", "Record chat 5 is missing"),
        ("DELETE FROM head WHERE stream = 'chat'", "chat 1 is beyond"),
        ("UPDATE head SET hash = zeroblob(32) WHERE stream = 'chat'", "Record chat 5 is not the one"),
        ("UPDATE head SET seq = 4 WHERE stream = 'chat'", "Record chat 4 is not the one"),
    ],
)
def test_missing_records_and_changed_heads_are_named(path: Path, statement: str, problem: str) -> None:
    with Log.open(path, "box-1") as log:
        for number in range(5):
            log.append("chat", {"n": number})
        change(path, statement)
        assert problem in log.verify().problem


def test_a_long_log_is_verified_across_pages(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PAGE", 7)
    with Log.open(path, "box-1") as log:
        for number in range(30):
            log.append("audit", {"n": number})
        assert log.verify().records["audit"] == 30
        change(path, "UPDATE log SET boot = 9 WHERE stream = 'audit' AND seq = 15")
        assert "audit 15" in log.verify().problem


def test_a_clock_in_1970_or_before_is_accepted(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    for wall in (0, 1_000_000_000, -5_000_000, 2_000_000_000_000_000_000, 0):
        monkeypatch.setattr(store.time, "time_ns", lambda wall=wall: wall)
        log.append("chat", {})
    assert [row.wall_ms for row in log.rows("chat", 1, 9)] == [0, 1000, -5, 2_000_000_000_000, 0]
    assert log.verify().ok


def test_a_newer_database_is_refused_and_left_alone(path: Path) -> None:
    Log.open(path, "box-1").close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(migrations.STEPS) + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(LogError, match="newer Fieldpost"):
        Log.open(path, "box-1")
    with pytest.raises(LogError, match="newer Fieldpost"):
        Log.count(path)
    assert path.read_bytes() == before


def test_another_boxs_log_is_refused(path: Path) -> None:
    Log.open(path, "box-1").close()
    with pytest.raises(LogError, match="belongs to box box-1"):
        Log.open(path, "box-2")


def test_a_file_that_is_no_log_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(LogError, match="is no log"):
        Log.open(path, "box-1")
    assert path.read_bytes() == b"Dear diary, " * 1000


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="cannot be opened"):
        Log.open(tmp_path / "none" / "log.sqlite", "box-1")


def test_a_writer_that_never_ends_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BUSY_S", 0.05)
    with Log.open(path, "box-1") as log:
        log._database.execute("PRAGMA busy_timeout = 50")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogError, match="in use by another program"):
            log.append("chat", {})
        other.execute("ROLLBACK")
        other.close()
        assert log.append("chat", {}) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False, text=True
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.needs_root
def test_a_full_disk_costs_no_record_and_the_log_goes_on_when_there_is_room(small_disk: Path) -> None:
    path = small_disk / "log.sqlite"
    with Log.open(path, "box-1") as log:
        written = log.append("chat", {"n": 0})
        filler = small_disk / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
        except OSError as error:
            assert error.errno == errno.ENOSPC
        with pytest.raises(LogError, match="the disk is full"):
            while True:
                written = log.append("chat", {"n": written, "text": "x" * 2000})
        with pytest.raises(LogError, match="the disk is full"):
            log.append("chat", {"text": "x" * 2000})
        report = log.verify()
        assert (report.ok, report.records["chat"]) == (True, written)
        filler.unlink()
        assert log.append("chat", {"text": "x" * 2000}) == written + 1
    with Log.open(path, "box-1") as log:
        assert log.verify().records["chat"] == written + 1
