"""Erasing: the words are gone from every byte of the file, the chain still verifies, the request says only where."""

import json
import sqlite3

import pytest

from appliance.errors import LogError
from appliance.log import erasure
from appliance.log.chain import MAX_BODY
from appliance.log.store import Log

NAME = "Amina Odhiambo of Kisumu"


def audit_of(log):
    return [json.loads(record.body) for record in log.rows("audit", 1, 10)]


def bytes_of(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


@pytest.mark.parametrize("length", [10, 3_000, 100_000], ids=["in-a-page", "in-a-page-alone", "over-many-pages"])
def test_what_is_erased_is_in_no_byte_of_the_log(tmp_path, length):
    path = tmp_path / "log.sqlite"
    with Log.open(path, "box-1") as log:
        for number in range(40):
            words = NAME if number % 2 else "somebody else"
            log.append("chat", {"question": f"{words} asked. " + "x" * length, "number": number})
        assert NAME.encode() in bytes_of(tmp_path)
        assert log.erase("chat", range(2, 41, 2)) == 20
        assert NAME.encode() not in bytes_of(tmp_path)
        assert b"somebody else" in bytes_of(tmp_path)
        assert log.verify().ok
        rows = log.rows("chat", 1, 40)
    assert [row.seq for row in rows if row.body is None] == list(range(2, 41, 2))
    assert {row.salt for row in rows if row.body is None} == {b""}, "with its salt a short text could be guessed"


def test_the_request_names_places_and_nothing_else(tmp_path):
    with Log.open(tmp_path / "log.sqlite", "box-1") as log:
        for _ in range(3):
            log.append("chat", {"question": NAME})
        assert log.erase("chat", [3, 1, 3]) == 2
        assert audit_of(log) == [{"v": 1, "event": "erased", "stream": "chat", "seqs": [1, 3]}]
        assert erasure.read_request(log.rows("audit", 1, 1)[0]) == erasure.Erasure(stream="chat", seqs=(1, 3))


def test_again_erases_nothing_and_asks_nothing(tmp_path):
    with Log.open(tmp_path / "log.sqlite", "box-1") as log:
        log.append("chat", {"question": NAME})
        assert [log.erase("chat", [1]), log.erase("chat", [1, 99])] == [1, 0]
        assert len(audit_of(log)) == 1


def test_requests_fit_a_record_whatever_their_number():
    bodies = list(erasure.requests("chat", list(range(1, 60_000))))
    assert all(len(body) < MAX_BODY for body in bodies)
    assert [seq for body in bodies for seq in json.loads(body)["seqs"]] == list(range(1, 60_000))


def test_a_program_that_reads_on_is_told_of(tmp_path):
    path = tmp_path / "log.sqlite"
    with Log.open(path, "box-1") as log:
        log.append("chat", {"question": NAME})
        reader = sqlite3.connect(path)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM log").fetchone()
        log._database.execute("PRAGMA busy_timeout = 50")
        with pytest.raises(LogError, match=r"1 records are erased, but .* Stop the box"):
            log.erase("chat", [1])
        reader.close()
        log.erase("chat", [1])
        assert NAME.encode() not in bytes_of(tmp_path)


@pytest.mark.parametrize(
    "body",
    [
        {"event": "erased", "stream": "nowhere", "seqs": [1]},
        {"event": "erased", "stream": "chat", "seqs": "all"},
        {"event": "erased", "stream": "chat", "seqs": [True]},
        {"event": "erased", "stream": "chat", "seqs": [0]},
        {"event": "signed-in"},
    ],
)
def test_other_words_in_the_audit_stream_are_no_request(tmp_path, body):
    with Log.open(tmp_path / "log.sqlite", "box-1") as log:
        log.append("audit", body)
        assert erasure.read_request(log.rows("audit", 1, 1)[0]) is None
