"""By stick: there and back, with what sticks do to files, and what strangers put on them."""

import random
import shutil
import subprocess

import pytest

from appliance.errors import BatchRefused, ForkDetected, SyncError
from appliance.hub.ingest import Hub
from appliance.hub.stick import import_stick
from appliance.log.chain import GENESIS
from appliance.sync import stick as on_stick
from appliance.sync.batch import name, seal
from appliance.sync.client import export_to_stick, import_from_stick, sync_state
from appliance.sync.enrol import enrol, load_enrolment
from tests.sync.parts import batches_at, joined, make_box, same_history, stored, token_of
from tests.sync.test_batch import chained


@pytest.fixture
def hub(tmp_path):
    with Hub.open(tmp_path / "hub") as opened:
        yield opened


@pytest.fixture
def box(tmp_path, hub):
    return joined(tmp_path / "box", hub)


@pytest.fixture
def stick(tmp_path):
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


def test_there_and_back(box, hub, stick):
    box.write("chat", {"q": 1}, {"q": 2})
    box.write("safety", {"event": "x"})
    assert export_to_stick(box.home, stick).sent == 2
    assert sync_state(box.home).pending == 3
    import_stick(hub, stick)
    assert same_history(hub, box, "chat")
    assert import_from_stick(box.home, stick).waiting == 0
    assert box.batches() == []
    assert load_enrolment(box.home).secret == ""


def test_what_no_receipt_covers_goes_on_every_stick_as_the_same_files(box, hub, stick, tmp_path):
    box.write("chat", {"q": 1})
    export_to_stick(box.home, stick)
    first = {path.name for path in (stick / "FIELDPOST" / "up").iterdir()}
    box.write("chat", {"q": 2})
    other = tmp_path / "other"
    other.mkdir()
    assert export_to_stick(box.home, other).sent == 2
    assert first < {path.name for path in (other / "FIELDPOST" / "up").iterdir()}
    import_stick(hub, other)
    import_stick(hub, stick)
    import_stick(hub, other)
    assert same_history(hub, box, "chat")
    assert batches_at(hub, box) == 2


def test_sticks_that_come_in_the_wrong_order_close_the_gap(box, hub, stick, tmp_path):
    late = tmp_path / "late"
    late.mkdir()
    box.write("chat", {"q": 1})
    export_to_stick(box.home, late)
    box.write("chat", {"q": 2})
    export_to_stick(box.home, stick)
    for path in (late / "FIELDPOST" / "up").glob("*.batch"):
        (stick / "FIELDPOST" / "up" / path.name).unlink()
    import_stick(hub, stick)
    import_from_stick(box.home, stick)
    assert sync_state(box.home).pending == 2, "the hub cannot sign for what has a gap before it"
    import_stick(hub, late)
    import_stick(hub, stick)
    import_from_stick(box.home, late)
    assert sync_state(box.home).pending == 0
    assert same_history(hub, box, "chat")


def test_half_written_damaged_and_strange_files_are_passed_over(box, hub, stick, tmp_path):
    box.write("chat", {"q": 1})
    export_to_stick(box.home, stick)
    up = stick / "FIELDPOST" / "up"
    (whole,) = up.glob("*.batch")
    data = whole.read_bytes()
    (up / f".{'1' * 64}.batch.part").write_bytes(data[:100])
    (up / f"{'2' * 64}.batch").write_bytes(data[:100])
    (up / f"{name(data[:-1])}.batch").write_bytes(data[:-1])
    (up / f"{'3' * 64}.batch").symlink_to("/etc/passwd")
    (up / f"{'4' * 64}.batch").mkdir()
    (up / "x.batch").write_bytes(data)
    with (up / f"{'5' * 64}.batch").open("wb") as file:
        file.truncate(1 << 30)
    import_stick(hub, stick)
    assert same_history(hub, box, "chat")
    assert batches_at(hub, box) == 1


def test_a_folder_that_is_a_link_leads_nowhere(box, hub, stick, tmp_path):
    box.write("chat", {"q": 1})
    outside = tmp_path / "outside"
    outside.mkdir()
    (stick / "FIELDPOST").mkdir()
    (stick / "FIELDPOST" / "up").symlink_to(outside)
    with pytest.raises(SyncError, match="is a link"):
        export_to_stick(box.home, stick)
    assert list(outside.iterdir()) == []


def test_another_hubs_receipt_is_refused_and_nothing_is_dropped(box, hub, stick, tmp_path):
    box.write("chat", {"q": 1})
    export_to_stick(box.home, stick)
    with Hub.open(tmp_path / "other") as other:
        forged = other.receipt(box.identity.box, 1)
    on_stick.put(on_stick.ack(stick) / f"{box.identity.box}.note", forged)
    before = box.batches()
    with pytest.raises(BatchRefused, match="not signed by this box's hub"):
        import_from_stick(box.home, stick)
    assert box.batches() == before != []


def test_another_boxs_receipt_is_refused(box, hub, stick, tmp_path):
    other = joined(tmp_path / "second", hub)
    for one in (box, other):
        one.write("chat", {"q": 1})
        export_to_stick(one.home, stick)
    import_stick(hub, stick)
    ack = stick / "FIELDPOST" / "ack"
    shutil.copy(ack / f"{other.identity.box}.note", ack / f"{box.identity.box}.note")
    with pytest.raises(BatchRefused, match="is for"):
        import_from_stick(box.home, stick)
    assert sync_state(box.home).pending == 1


def test_a_token_lets_one_box_in(hub, stick, tmp_path):
    token = token_of(hub)
    boxes = [make_box(tmp_path / "first"), make_box(tmp_path / "second")]
    for one in boxes:
        enrol(one.home, token)
        one.write("chat", {"q": 1})
        export_to_stick(one.home, stick)
        import_stick(hub, stick)
    first, second = boxes
    assert same_history(hub, first, "chat")
    assert stored(hub, second, "chat") == []
    import_from_stick(first.home, stick)
    with pytest.raises(SyncError, match="no receipt"):
        import_from_stick(second.home, stick)


def test_a_copied_box_on_a_stick_is_a_fork_and_nothing_of_it_is_merged(box, hub, stick, tmp_path):
    box.write("chat", {"q": 1})
    export_to_stick(box.home, stick)
    import_stick(hub, stick)
    import_from_stick(box.home, stick)
    shutil.copytree(box.home.root, tmp_path / "copy")
    copy = type(box)(home=type(box.home)(root=tmp_path / "copy"))
    box.write("chat", {"q": "the one"})
    copy.write("chat", {"q": "the other"}, {"q": "and more"})
    export_to_stick(box.home, stick)
    import_stick(hub, stick)
    export_to_stick(copy.home, stick)
    import_stick(hub, stick)
    assert same_history(hub, box, "chat")
    with pytest.raises(ForkDetected):
        import_from_stick(copy.home, stick)
    assert import_from_stick(box.home, stick).waiting == 0


def test_a_clock_that_starts_in_1970_does_not_matter(box, hub, stick):
    export_to_stick(box.home, stick)
    import_stick(hub, stick)
    identity, enrolment = box.identity, load_enrolment(box.home)
    for first, wall_ms in ((1, 0), (2, 1_900_000_000_000), (3, -5)):
        previous = stored(hub, box, "chat")[-1][1] if first > 1 else GENESIS
        data = seal(
            chained([{"q": first}], first=first, previous=previous, wall_ms=wall_ms),
            box=identity.box,
            epoch=1,
            previous=previous,
            key=identity.key,
            recipients=enrolment.recipients,
        )
        hub.ingest(data)
    assert [seq for seq, _, _ in stored(hub, box, "chat")] == [1, 2, 3]


def test_secrets_are_private_and_the_tokens_secret_is_kept_nowhere(box, hub, stick):
    secret = load_enrolment(box.home).secret
    box.write("chat", {"q": 1})
    export_to_stick(box.home, stick)
    import_stick(hub, stick)
    import_from_stick(box.home, stick)
    for path in (box.home.identity, box.home.enrolment, hub.folder / "hub.json", hub.folder / "hub.sqlite"):
        assert path.stat().st_mode & 0o077 == 0
    assert hub.folder.stat().st_mode & 0o077 == 0
    for folder in (box.home.root, hub.folder, stick):
        for path in folder.rglob("*"):
            assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_a_stick_with_too_many_files_is_told_and_none_is_dropped_unseen(stick, monkeypatch):
    monkeypatch.setattr(on_stick, "MOST_FILES", 2)
    up = on_stick.up(stick)
    up.mkdir(parents=True)
    for n in range(3):
        (up / f"{n:064x}.batch").touch()
        if n < 2:
            assert len(on_stick.names(up, on_stick.BATCH)) == n + 1
    with pytest.raises(SyncError, match="holds 3 files"):
        on_stick.names(up, on_stick.BATCH)


@pytest.mark.needs_root
def test_a_full_stick_is_named_and_what_is_on_it_stays_good(box, hub, tmp_path):
    stick = tmp_path / "small"
    stick.mkdir()
    box.write("chat", *({"t": random.Random(n).randbytes(3000).hex()} for n in range(60)))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=140k", "tmpfs", stick], check=True)
    try:
        with pytest.raises(SyncError, match="stick is full"):
            export_to_stick(box.home, stick)
        assert sync_state(box.home).pending == 60
        import_stick(hub, stick)
        assert 0 < len(stored(hub, box, "chat")) < 60
    finally:
        subprocess.run(["umount", stick], check=True)
    roomy = tmp_path / "roomy"
    roomy.mkdir()
    export_to_stick(box.home, roomy)
    import_stick(hub, roomy)
    assert import_from_stick(box.home, roomy).waiting == 0
    assert same_history(hub, box, "chat")
