import hashlib
import json
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import LogError
from appliance.log import chain
from appliance.log.chain import GENESIS, STREAMS, Record, check_links


def records(stream: str, number: int, egress: bool = True) -> list[Record]:
    made, previous = [], GENESIS
    for seq in range(1, number + 1):
        salt, body = bytes(chain.salt_bytes(stream, egress)), chain.canonical({"n": seq})
        commitment = chain.commitment(salt, body)
        previous = chain.link(previous, stream, seq, 1, 10 * seq, 1000 * seq, commitment)
        made.append(
            Record(
                stream=stream,
                seq=seq,
                boot=1,
                mono_ms=10 * seq,
                wall_ms=1000 * seq,
                egress=egress,
                salt=salt,
                body=body,
                commitment=commitment,
                hash=previous,
            )
        )
    return made


def test_the_bytes_that_are_hashed_are_the_documented_ones() -> None:
    commitment = hashlib.sha256(b"fieldpost/log/commitment/1" + b"\x00\x02" + b"ab" + b"{}").digest()
    assert chain.commitment(b"ab", b"{}") == commitment
    place = struct.pack(">BQQqq", 4, 7, 2, 30, -5)
    wanted = hashlib.sha256(b"fieldpost/log/link/1" + GENESIS + place + commitment).digest()
    assert chain.link(GENESIS, "chat", 7, 2, 30, -5, commitment) == wanted


def test_streams_keep_their_numbers() -> None:
    assert [chain.stream_number(name) for name in ("safety", "audit", "metric", "feedback", "chat")] == [0, 1, 2, 3, 4]
    assert len(STREAMS) == 5
    with pytest.raises(LogError, match="'gossip' is no stream"):
        chain.stream_number("gossip")


def test_a_salt_cannot_be_mistaken_for_the_start_of_the_body() -> None:
    assert chain.commitment(b"a", b"b") != chain.commitment(b"ab", b"") != chain.commitment(b"", b"ab")


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())))
def test_canonical_json_reads_back_and_is_the_same_for_any_order(body: dict[str, object]) -> None:
    data = chain.canonical(body)
    assert json.loads(data) == body
    assert chain.canonical(dict(reversed(body.items()))) == data


def test_half_a_surrogate_pair_does_not_cost_the_record() -> None:
    assert json.loads(chain.canonical({"question": "fever \ud83d today"})) == {"question": "fever ? today"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"bytes"])
def test_what_json_has_no_form_for_is_refused_in_words(value: object) -> None:
    with pytest.raises(LogError, match="cannot be written as JSON"):
        chain.canonical({"value": value})


def test_a_body_that_is_too_long_is_refused() -> None:
    with pytest.raises(LogError, match="At most"):
        chain.canonical({"text": "x" * chain.MAX_BODY})


def test_a_whole_chain_gives_its_last_hash() -> None:
    made = records("chat", 5)
    assert check_links(GENESIS, made) == made[-1].hash
    assert check_links(made[1].hash, made[2:]) == made[-1].hash
    assert check_links(GENESIS, []) == GENESIS


def test_withheld_and_erased_bodies_keep_the_chain_whole() -> None:
    made = records("chat", 5)
    made[2] = replace(made[2], body=None, salt=b"")
    assert check_links(GENESIS, made) == made[-1].hash


@pytest.mark.parametrize(
    "change",
    [
        {"boot": 2},
        {"mono_ms": 0},
        {"wall_ms": -1},
        {"egress": False},
        {"salt": b"\x01" * 16},
        {"body": b'{"n":9}'},
        {"commitment": b"\x01" * 32},
        {"hash": b"\x01" * 32},
        {"seq": 4},
        {"stream": "feedback"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_record_is_named(change: dict[str, object]) -> None:
    made = records("chat", 5)
    made[2] = replace(made[2], **change)  # type: ignore[arg-type]
    with pytest.raises(LogError, match=f"{made[2].stream} {made[2].seq}"):
        check_links(GENESIS, made)


def test_a_record_left_out_or_doubled_or_swapped_is_named() -> None:
    made = records("audit", 5)
    for broken in (made[:2] + made[3:], made[:3] + made[2:], [made[0], made[2], made[1], *made[3:]]):
        with pytest.raises(LogError, match="is needed there"):
            check_links(GENESIS, broken)


def test_a_body_that_stays_here_cannot_be_guessed_nor_set_free() -> None:
    made = records("audit", 2, egress=False)
    assert all(len(record.salt) == 32 for record in made)
    with pytest.raises(LogError, match="Whether record audit 1 may leave"):
        check_links(GENESIS, [replace(made[0], egress=True)])


def test_numbers_that_do_not_fit_are_refused_in_words() -> None:
    with pytest.raises(LogError, match="out of range"):
        chain.link(GENESIS, "chat", -1, 1, 0, 0, bytes(32))
    with pytest.raises(LogError, match="32 are needed"):
        chain.link(b"", "chat", 1, 1, 0, 0, bytes(32))
