"""A box asks the hub to forget: in its tables and its archive, whichever came first, and the chain still holds."""

import json

import pytest

from appliance.errors import BatchRefused
from appliance.log.chain import check_links
from appliance.log.store import Log
from appliance.sync import batch
from appliance.sync.erase import erase
from appliance.sync.wire import public_bytes
from tests.sync.parts import table

NAME = "Amina Odhiambo of Kisumu"


def forget(box, *seqs):
    with Log.open(box.home.log, box.identity.box) as log:
        return erase(box.home, log, {"chat": seqs})


def bodies(hub, stream="chat"):
    rows = table(hub, "SELECT body FROM record WHERE stream=? ORDER BY box, seq", stream)
    return [body and json.loads(body)["q"] for (body,) in rows]


def opened(hub):
    """Every archived batch, as the hub itself can open it."""
    for path in sorted((hub.folder / "batches").rglob("*.*")):
        key = public_bytes(hub.keys.signing)
        key_of = (lambda _: key) if path.suffix == ".erased" else hub.storage.box_key  # noqa: B023
        yield path, batch.open_batch(path.read_bytes(), key_of=key_of, identity=hub.keys.opening)


def in_archive(hub):
    return [record.body for _, one in opened(hub) for record in one.records if one.header.stream == "chat"]


def test_the_hub_forgets_what_it_has(hub, box, same):
    box.write("chat", {"q": "before"}, {"q": NAME}, {"q": "after"})
    for sealed in box.sealed():
        hub.ingest(sealed.path.read_bytes())
    assert bodies(hub) == ["before", NAME, "after"]

    assert forget(box, 2) == 1
    for sealed in box.sealed():
        hub.ingest(sealed.path.read_bytes())
    assert bodies(hub) == ["before", None, "after"]
    assert in_archive(hub) == [b'{"q":"before"}', None, b'{"q":"after"}'] * 2, "as first sealed, and as sealed anew"
    assert same(box, "chat")
    if (hub.folder / "hub.sqlite").exists():  # PostgreSQL's own files are overwritten later: see the README
        assert NAME.encode() not in (hub.folder / "hub.sqlite").read_bytes()
    for _, one in opened(hub):
        assert check_links(one.previous, one.records) == one.records[-1].hash
    assert hub.storage.unclean() == []


def test_a_late_batch_brings_nothing_back(hub, box):
    box.write("chat", {"q": "before"}, {"q": NAME})
    late = [sealed.path.read_bytes() for sealed in box.sealed()]
    forget(box, 2)
    requests = [sealed for sealed in box.sealed() if sealed.stream == "audit"]
    for sealed in requests:
        hub.ingest(sealed.path.read_bytes())
    for data in late:  # from a stick that was filled before
        hub.ingest(data)
    assert bodies(hub) == ["before", None]
    assert in_archive(hub) == [b'{"q":"before"}', None]


def test_a_batch_that_comes_a_second_way_brings_nothing_back_either(hub, box):
    box.write("chat", {"q": NAME})
    first = [sealed.path.read_bytes() for sealed in box.sealed()]
    box.home.outbox.joinpath("outbox.sqlite").unlink()
    again = [sealed.path.read_bytes() for sealed in box.sealed()]
    assert first != again, "another file with the same record"
    for data in first:
        hub.ingest(data)
    forget(box, 1)
    for sealed in box.sealed():
        hub.ingest(sealed.path.read_bytes())
    for data in again:
        hub.ingest(data)
    assert bodies(hub) == [None]
    assert in_archive(hub) == [None] * len(in_archive(hub))


def test_what_waits_for_the_hub_is_sealed_anew_without_it(hub, box):
    box.write("chat", {"q": NAME}, {"q": "stays"})
    old = {sealed.sha for sealed in box.sealed()}
    forget(box, 1)
    assert not any(path.stem in old for path in box.home.outbox.glob("*.batch"))
    for sealed in box.sealed():
        hub.ingest(sealed.path.read_bytes())
    assert bodies(hub) == [None, "stays"]


def test_a_crash_before_the_archive_is_written_anew_is_made_good(hub, box):
    box.write("chat", {"q": NAME})
    for sealed in box.sealed():
        hub.ingest(sealed.path.read_bytes())
    forget(box, 1)
    for sealed in box.sealed():  # up to the commit, and no further
        one = batch.open_batch(sealed.path.read_bytes(), key_of=hub.storage.box_key, identity=hub.keys.opening)
        hub.storage.merge(sealed.sha, one, sealed.size, 0, archive=lambda: None)
    assert len(hub.storage.unclean()) == 1
    box.write("chat", {"q": "next"})
    for sealed in box.sealed():
        hub.ingest(sealed.path.read_bytes())
    assert hub.storage.unclean() == []
    assert NAME.encode() not in b"".join(r or b"" for r in in_archive(hub))


def test_one_box_cannot_make_the_hub_forget_anothers(hub, box, make_box):
    other = make_box("other", admitted=True)
    for one in (box, other):
        one.write("chat", {"q": one.home.root.name})
        for sealed in one.sealed():
            hub.ingest(sealed.path.read_bytes())
    forget(other, 1)
    for sealed in other.sealed():
        hub.ingest(sealed.path.read_bytes())
    assert sorted(str(body) for body in bodies(hub)) == ["None", "box"]


def test_what_the_hub_signed_does_not_pass_for_a_batch_of_the_box(hub, box):
    box.write("chat", {"q": NAME})
    for sealed in box.sealed():
        hub.ingest(sealed.path.read_bytes())
    forget(box, 1)
    for sealed in box.sealed():
        hub.ingest(sealed.path.read_bytes())
    (path,) = (hub.folder / "batches").rglob("*.erased")
    with pytest.raises(BatchRefused, match="not signed"):
        hub.ingest(path.read_bytes())
