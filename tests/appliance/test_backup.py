"""A backup opens with the recovery key alone, is refused when a byte differs, and brings a box back as itself."""

import shutil
import sqlite3

import pyrage
import pytest

from appliance.backup import back_up, folder, restore
from appliance.config import Home
from appliance.errors import BackupError
from appliance.hub.ingest import Hub
from appliance.hub.stick import import_stick
from appliance.log.store import Log
from appliance.sync.client import export_to_stick, import_from_stick
from appliance.sync.enrol import load_enrolment
from tests.support.site import files_holding
from tests.sync.parts import joined, make_box, stored

SECRET = "Where does Amina live?"


@pytest.fixture
def recovery(tmp_path):
    """(the public half, a file with the secret half and the comments that age-keygen writes)"""
    key = pyrage.x25519.Identity.generate()
    path = tmp_path / "recovery-key.txt"
    path.write_text(f"# created: 2026-11-24\n# public key: {key.to_public()}\n{key}\n")
    return str(key.to_public()), path


@pytest.fixture
def hub(tmp_path):
    with Hub.open(tmp_path / "hub") as opened:
        yield opened


@pytest.fixture
def box(tmp_path, hub, recovery):
    made = joined(tmp_path / "box", hub, recovery=(recovery[0],))
    made.write("chat", {"q": SECRET}, {"q": 2})
    (made.home.root / "config.toml").write_text("[knowledge]\npassages = 2\n")
    (made.home.documents / "texts").mkdir(parents=True)
    (made.home.documents / "texts" / "wells.md.json").write_text("{}")
    return made


@pytest.fixture
def stick(tmp_path):
    path = tmp_path / "stick"
    path.mkdir()
    return path


@pytest.fixture
def machine(tmp_path):
    """Another machine, installed from a stick, without any data."""
    (tmp_path / "other" / "releases" / "1").mkdir(parents=True)
    (tmp_path / "other" / "current").symlink_to("releases/1")
    return Home(root=tmp_path / "other")


def test_a_restored_box_is_the_same_box_with_a_history_of_its_own(box, hub, stick, machine, recovery):
    saved = back_up(box.home, stick)
    export_to_stick(box.home, stick)
    import_stick(hub, stick)
    assert restore(machine, stick, recovery[1]) == box.identity.box == saved.box

    other = type(box)(home=machine)
    assert (other.identity.box, other.identity.epoch) == (box.identity.box, 2)
    assert load_enrolment(machine) == load_enrolment(box.home)
    assert (machine.documents / "texts" / "wells.md.json").read_text() == "{}"
    assert (machine.root / "config.toml").read_text() == "[knowledge]\npassages = 2\n"
    with Log.open_to_read(machine.data / "history" / "1" / "log.sqlite", box.identity.box) as past:
        assert past.verify().records["chat"] == 2

    other.write("chat", {"q": 3})
    export_to_stick(machine, stick)
    import_stick(hub, stick)
    assert import_from_stick(machine, stick).waiting == 0
    assert [(seq, body) for seq, _, body in stored(hub, box, "chat")] == [
        (1, f'{{"q":"{SECRET}"}}'), (2, '{"q":2}'), (1, '{"q":3}'),
    ]  # fmt: skip


def test_all_that_is_restored_belongs_to_its_user_alone(box, stick, machine, recovery):
    back_up(box.home, stick)
    restore(machine, stick, recovery[1])
    modes = {path.stat().st_mode & 0o077 for path in (machine.data, *machine.data.rglob("*"))}
    assert modes == {0}


def test_a_stranger_learns_nothing_from_the_stick(box, stick):
    back_up(box.home, stick)
    for needle in (SECRET, "wells", "passages", "Kisumu"):
        assert files_holding(stick, needle) == []


def test_records_written_during_a_backup_do_no_harm(box, stick, machine, recovery):
    with Log.open(box.home.log, box.identity.box) as log:
        log.append("chat", {"q": "not yet in the database file, but in the write-ahead log"})
        back_up(box.home, stick)
        log.append("chat", {"q": "after it"})
    restore(machine, stick, recovery[1])
    with sqlite3.connect(machine.data / "history" / "1" / "log.sqlite") as database:
        assert database.execute("SELECT count(*) FROM log WHERE stream='chat'").fetchone() == (3,)
    database.close()


def test_each_backup_is_kept_and_the_newest_is_restored(box, stick, machine, recovery):
    for number in range(9):
        assert back_up(box.home, stick).path.name == f"{box.identity.box}-{number + 1}.backup"
    box.write("chat", {"q": "the newest"})
    back_up(box.home, stick)
    restore(machine, stick, recovery[1])
    with Log.open_to_read(machine.data / "history" / "1" / "log.sqlite", box.identity.box) as past:
        assert past.verify().records["chat"] == 3


def test_every_flipped_byte_is_found_and_nothing_is_left(box, stick, machine, recovery):
    path = back_up(box.home, stick).path
    sound = path.read_bytes()
    places = (0, 4, 7, 8, 39, 40, 200, len(sound) // 2, len(sound) - 64, len(sound) - 1)
    for place in places:
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        with pytest.raises(BackupError):
            restore(machine, stick, recovery[1])
    for size in (0, 50, len(sound) - 1):
        path.write_bytes(sound[:size])
        with pytest.raises(BackupError):
            restore(machine, stick, recovery[1])
    assert sorted(p.name for p in machine.root.iterdir()) == ["current", "releases"]


def test_another_recovery_key_does_not_open_it(box, stick, machine, tmp_path):
    back_up(box.home, stick)
    other = tmp_path / "other-key.txt"
    other.write_text(str(pyrage.x25519.Identity.generate()))
    with pytest.raises(BackupError, match="sealed to another recovery key"):
        restore(machine, stick, other)
    other.write_text("nothing of the kind")
    with pytest.raises(BackupError, match="no recovery key"):
        restore(machine, stick, other)


def test_a_box_without_a_recovery_key_says_what_to_name(tmp_path, stick, recovery, machine):
    alone = make_box(tmp_path / "alone")
    alone.write("chat", {"q": 1})
    with pytest.raises(BackupError, match="--recipient age1"):
        back_up(alone.home, stick)
    with pytest.raises(BackupError, match="begins with age1"):
        back_up(alone.home, stick, recipients=["age1nonsense"])
    back_up(alone.home, stick, recipients=[recovery[0]])
    assert restore(machine, stick, recovery[1]) == alone.identity.box


def test_nothing_is_ever_overwritten(box, stick, recovery):
    back_up(box.home, stick)
    (box.home.root / "current").symlink_to("releases/1")
    (box.home.root / "releases" / "1").mkdir(parents=True)
    with pytest.raises(BackupError, match="holds the data of a box already"):
        restore(box.home, stick, recovery[1])
    assert len(box.rows("chat")) == 2


def test_of_several_boxes_one_must_be_named(box, stick, machine, recovery, tmp_path):
    other = make_box(tmp_path / "second")
    other.write("chat", {"q": 1})
    back_up(box.home, stick)
    back_up(other.home, stick, recipients=[recovery[0]])
    with pytest.raises(BackupError, match="--box"):
        restore(machine, stick, recovery[1])
    assert restore(machine, stick, recovery[1], box=other.identity.box) == other.identity.box


def test_a_file_of_another_box_under_this_ones_name_is_refused(box, stick, machine, recovery, tmp_path):
    other = make_box(tmp_path / "second")
    other.write("chat", {"q": 1})
    theirs = back_up(other.home, stick, recipients=[recovery[0]]).path
    shutil.move(theirs, folder(stick) / f"{box.identity.box}-1.backup")
    with pytest.raises(BackupError, match=other.identity.box):
        restore(machine, stick, recovery[1], box=box.identity.box)
