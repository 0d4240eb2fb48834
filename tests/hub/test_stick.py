"""The stick's way: what is whole and signed is taken in, all else is left alone, and the receipt goes back."""

import json

import pytest

from appliance.errors import BatchRefused, SyncError
from appliance.hub.ingest import Hub
from appliance.hub.stick import import_stick
from appliance.sync.client import export_to_stick, import_from_stick, sync_state
from tests.support.site import run


@pytest.fixture
def stick(tmp_path):
    (tmp_path / "stick").mkdir()
    return tmp_path / "stick"


def test_there_and_back(hub, make_box, stick, same):
    box = make_box()
    box.write("chat", {"q": 1}, {"q": 2})
    report = export_to_stick(box.home, stick)
    assert (report.sent, report.waiting, report.hub) == (1, 2, "(stick only)")
    imported = import_stick(hub, stick)
    assert (imported.batches, imported.enrolled, imported.refused) == (1, (box.identity.box,), ())
    assert list((stick / "FIELDPOST" / "up").iterdir()) == []
    back = import_from_stick(box.home, stick)
    assert (back.acknowledged, back.waiting) == (2, 0)
    assert box.sealed() == []
    assert same(box, "chat")
    assert sync_state(box.home).last_contact


def test_half_files_strangers_and_rubbish_are_left_alone_and_the_rest_comes_in(hub, box, make_box, stick, same):
    stranger = make_box("stranger")
    for one in (box, stranger):
        one.write("chat", {"q": 1})
        one.write("metric", {"n": 1})
        export_to_stick(one.home, stick)
    up = stick / "FIELDPOST" / "up"
    for file in up.glob("*.enrol"):
        file.unlink()
    half, whole = box.sealed()
    (up / f"{half.sha}.batch").write_bytes(half.path.read_bytes()[:200])
    (up / f"{'0' * 64}.batch").write_bytes(b"rubbish")
    (up / f".{'1' * 64}.batch.part").write_bytes(b"pulled out too early")
    (up / f"{'2' * 64}.batch").symlink_to("/etc/passwd")
    imported = import_stick(hub, stick)
    assert (imported.batches, imported.receipts) == (1, (box.identity.box,))
    assert len(imported.refused) == 5
    assert same(box, whole.stream)
    assert not same(box, half.stream)
    assert import_from_stick(box.home, stick).waiting == 1
    assert [sealed.sha for sealed in box.sealed()] == [half.sha]


def test_another_hubs_note_lets_the_box_forget_nothing(hub, box, stick, tmp_path):
    box.write("chat", {"q": 1})
    export_to_stick(box.home, stick)
    note = stick / "FIELDPOST" / "ack" / f"{box.identity.box}.note"
    note.parent.mkdir()
    with Hub.open(tmp_path / "other") as other:
        note.write_bytes(other.receipt(box.identity.box))
    with pytest.raises(BatchRefused, match="not signed"):
        import_from_stick(box.home, stick)
    note.write_bytes(hub.receipt("box-" + "a" * 16))
    with pytest.raises(BatchRefused, match="receipt is for"):
        import_from_stick(box.home, stick)
    assert len(box.sealed()) == 1


def test_an_old_note_takes_nothing_back(hub, box, stick):
    box.write("chat", {"q": 1})
    export_to_stick(box.home, stick)
    import_stick(hub, stick)
    note = stick / "FIELDPOST" / "ack" / f"{box.identity.box}.note"
    old = note.read_bytes()
    import_from_stick(box.home, stick)
    box.write("chat", {"q": 2})
    export_to_stick(box.home, stick)
    import_stick(hub, stick)
    assert import_from_stick(box.home, stick).waiting == 0
    note.write_bytes(old)
    assert import_from_stick(box.home, stick).waiting == 0


def test_a_stick_without_anything_is_told(hub, box, stick):
    with pytest.raises(SyncError, match="nothing from a box"):
        import_stick(hub, stick)
    with pytest.raises(SyncError, match="no receipt"):
        import_from_stick(box.home, stick)


def test_the_commands(hub, tmp_path, stick):
    made = run("fieldpost-hub", "enrol", "--data", hub.folder, "--name", "Island school")
    assert "works once" in made.stderr
    home = tmp_path / "home"
    home.mkdir()
    unknown = run("fieldpost", "sync", "export", "--stick", stick, "--home", home, check=False)
    assert (unknown.returncode, "fieldpost sync enrol TOKEN" in unknown.stderr) == (1, True)
    run("fieldpost", "sync", "enrol", made.stdout.split()[-1], "--home", home)
    run("fieldpost", "sync", "export", "--stick", stick, "--home", home)
    assert json.loads(run("fieldpost-hub", "import", stick, "--data", hub.folder, "--json").stdout)["batches"] == 0
    up = stick / "FIELDPOST" / "up"
    (up / f"{'0' * 64}.batch").write_bytes(b"rubbish")
    told = run("fieldpost-hub", "import", stick, "--data", hub.folder, check=False)
    assert (told.returncode, "1 files of" in told.stderr, "Batches" in told.stdout) == (1, True, True)
    assert "0 [" not in told.stderr and "%" not in told.stderr  # no bar where nobody looks on
    status = json.loads(run("fieldpost-hub", "status", "--data", hub.folder, "--json").stdout)
    assert [box["name"] for box in status["boxes"]] == ["Island school"]
    assert status["records"] == {"safety": 0, "audit": 0, "metric": 0, "feedback": 0, "chat": 0}
    assert "Island school" in run("fieldpost-hub", "status", "--data", hub.folder).stdout
    bad = run("fieldpost-hub", "enrol", "--data", hub.folder, "--name", "x", "--url", "nowhere", check=False)
    assert (bad.returncode, bad.stderr.startswith("Error: ")) == (1, True)
