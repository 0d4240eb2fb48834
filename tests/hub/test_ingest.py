"""What the hub takes in: each record once, and nothing that is not signed, sealed for it, and of one history."""

import dataclasses
import shutil

import pytest

from appliance.errors import BatchRefused, ForkDetected, HubError
from appliance.hub.ingest import Hub
from appliance.log import chain
from appliance.log.chain import GENESIS, Record
from appliance.sync import batch
from appliance.sync.wire import public_bytes, read_receipt
from tests.sync.parts import batches_at, stored, table


def receipt_of(hub, box):
    return read_receipt(
        hub.receipt(box.identity.box), public_bytes(hub.keys.signing), box=box.identity.box, epoch=box.identity.epoch
    )


def column(hub, names, stream):
    """Some columns of a stream's records."""
    return table(hub, f"SELECT {names} FROM record WHERE stream=? ORDER BY seq", stream)


def sealed_by_hand(box, hub, bodies, *, wall_ms=0, previous=GENESIS, first=1):
    records, before = [], previous
    for seq, body in enumerate(bodies, start=first):
        salt, data = bytes(chain.salt_bytes("chat", True)), chain.canonical(body)
        commitment = chain.commitment(salt, data)
        before = chain.link(before, "chat", seq, 1, seq, wall_ms, commitment)
        records.append(
            Record(
                stream="chat", seq=seq, boot=1, mono_ms=seq, wall_ms=wall_ms, egress=True, salt=salt, body=data,
                commitment=commitment, hash=before,
            )
        )  # fmt: skip
    data = batch.seal(
        records, box=box.identity.box, epoch=1, previous=previous, key=box.identity.key, recipients=[hub.keys.recipient]
    )
    return data, records


def test_a_batch_twice_is_stored_once_archived_and_signed_for(hub, box, same):
    box.write("chat", {"q": 1}, {"q": 2})
    box.write("feedback", {"text": "stays at home"}, egress=False)
    for sealed in box.sealed() * 2:
        hub.ingest(sealed.path.read_bytes())
        assert (hub.folder / "batches" / sealed.sha[:2] / f"{sealed.sha}.batch").exists()
    assert same(box, "chat")
    assert same(box, "feedback")
    assert column(hub, "body, salt, egress", "feedback") == [(None, b"", 0)]
    receipt = receipt_of(hub, box)
    assert dict(receipt.ack) == {"safety": 0, "audit": 0, "metric": 0, "feedback": 1, "chat": 2}
    assert receipt.heads["chat"] == box.rows("chat")[-1].hash


@pytest.mark.parametrize("place", [0, 4, 6, 8, 20, 30, 48, 60, 300, -100, -64, -1])
def test_a_changed_byte_is_refused_before_anything_is_opened(hub, box, place):
    box.write("chat", {"q": 1})
    (sealed,) = box.sealed()
    data = bytearray(sealed.path.read_bytes())
    data[place] ^= 1
    # A hub whose opening key is no key at all: whoever got as far as decrypting would speak of another hub.
    blind = dataclasses.replace(hub, keys=dataclasses.replace(hub.keys, opening="none"))
    with pytest.raises(BatchRefused) as refused:
        blind.ingest(bytes(data))
    assert "another hub" not in str(refused.value)
    assert batches_at(hub, box) == 0


@pytest.mark.parametrize("size", [0, 1, 47, 48, 112, 113, 200])
def test_a_batch_cut_short_is_refused(hub, box, size):
    box.write("chat", {"q": 1})
    (sealed,) = box.sealed()
    with pytest.raises(BatchRefused):
        hub.ingest(sealed.path.read_bytes()[:size])


def test_a_box_that_is_not_enrolled_is_refused(hub, make_box):
    stranger = make_box("stranger")
    stranger.write("chat", {"q": 1})
    with pytest.raises(BatchRefused, match="not enrolled"):
        hub.ingest(stranger.sealed()[0].path.read_bytes())


def test_a_batch_sealed_for_another_hub_is_refused(hub, box, tmp_path):
    with Hub.open(tmp_path / "other") as other:
        data, _ = sealed_by_hand(box, other, [{"q": 1}])
    with pytest.raises(BatchRefused, match="another hub"):
        hub.ingest(data)


def test_another_record_under_the_same_number_is_a_fork_and_nothing_of_it_is_merged(hub, box):
    ours, records = sealed_by_hand(box, hub, [{"q": 1}, {"q": 2}])
    theirs, _ = sealed_by_hand(box, hub, [{"q": 1}, {"q": "other"}, {"q": 3}])
    hub.ingest(ours)
    with pytest.raises(ForkDetected, match="chat 2"):
        hub.ingest(theirs)
    assert [digest for _, digest, _ in stored(hub, box, "chat")] == [r.hash for r in records]
    assert batches_at(hub, box) == 1
    assert len(list((hub.folder / "batches").rglob("*.batch"))) == 1


def test_a_joint_that_does_not_fit_is_a_fork_on_either_side(hub, box):
    first, records = sealed_by_hand(box, hub, [{"q": 1}])
    after_other, _ = sealed_by_hand(box, hub, [{"q": 2}], previous=b"x" * 32, first=2)
    hub.ingest(first)
    with pytest.raises(ForkDetected, match="chat 2"):
        hub.ingest(after_other)
    later, _ = sealed_by_hand(box, hub, [{"q": 4}], previous=b"y" * 32, first=4)
    hub.ingest(later)
    between, _ = sealed_by_hand(box, hub, [{"q": 2}, {"q": 3}], previous=records[0].hash, first=2)
    with pytest.raises(ForkDetected, match="chat 4"):
        hub.ingest(between)


def test_batches_out_of_order_are_signed_for_only_up_to_the_gap(hub, box):
    first, records = sealed_by_hand(box, hub, [{"q": 1}])
    second, more = sealed_by_hand(box, hub, [{"q": 2}], previous=records[-1].hash, first=2)
    third, _ = sealed_by_hand(box, hub, [{"q": 3}], previous=more[-1].hash, first=3)
    seen = []
    for data in (third, first, second):
        hub.ingest(data)
        seen.append(receipt_of(hub, box).ack["chat"])
    assert seen == [0, 1, 3]


@pytest.mark.parametrize("wall_ms", [0, -86_400_000, 4_102_444_800_000])
def test_a_box_whose_clock_is_wrong_is_understood(hub, box, wall_ms):
    data, _ = sealed_by_hand(box, hub, [{"q": 1}], wall_ms=wall_ms)
    hub.ingest(data)
    assert column(hub, "wall_ms", "chat") == [(wall_ms,)]


def test_its_files_are_the_hubs_alone_and_lost_keys_are_not_made_anew(hub, box):
    assert hub.folder.stat().st_mode & 0o777 == 0o700
    assert (hub.folder / "hub.json").stat().st_mode & 0o777 == 0o600
    (kept,) = [file for file in (hub.folder / "hub.sqlite", hub.folder / "database") if file.exists()]
    assert kept.stat().st_mode & 0o777 == 0o600
    shutil.move(hub.folder / "hub.json", hub.folder / "elsewhere.json")
    with pytest.raises(HubError, match="missing"):
        Hub.open(hub.folder)
