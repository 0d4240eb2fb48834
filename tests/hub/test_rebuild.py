"""The database made anew: the same history, the same receipts, the same boxes, from the files beside it."""

import json

import psycopg
import pytest
from click.testing import CliRunner

from appliance.errors import BatchRefused, HubError
from appliance.hub.cli import main
from appliance.hub.ingest import Hub
from appliance.hub.places import SQLITE, place_of
from appliance.hub.rebuild import rebuild
from appliance.log.store import Log
from appliance.sync.erase import erase
from appliance.sync.wire import public_bytes, read_receipt


@pytest.fixture
def fill(hub, make_box):
    """Two boxes whose records came in, one of them erased."""

    def fill_hub():
        boxes = []
        for name in ("kisumu", "mwanza"):
            box = make_box(name)
            hub.admit(box.introduction())
            box.write("chat", {"q": f"{name} asked"}, {"q": "stays"})
            box.write("safety", {"event": "x"}, egress=False)
            boxes.append(box)
        for box in boxes:
            for sealed in box.sealed():
                hub.ingest(sealed.path.read_bytes())
        with Log.open(boxes[0].home.log, boxes[0].identity.box) as log:
            erase(boxes[0].home, log, {"chat": [1]})
        for sealed in boxes[0].sealed():
            hub.ingest(sealed.path.read_bytes())
        return boxes

    return fill_hub


def history(folder):
    with place_of(folder).open() as storage, storage._tables.reading() as database:
        rows = database.rows(
            "SELECT box, epoch, stream, seq, boot, mono_ms, wall_ms, salt, body, hash FROM record ORDER BY 1, 2, 3, 4"
        )
        return rows, database.rows("SELECT * FROM head ORDER BY 1, 2, 3")


def spoil(folder, database, how):
    """The database is lost, or damaged as its kind can be."""
    file = folder / "hub.sqlite"
    if database == SQLITE and how == "lost":
        file.unlink()
    elif database == SQLITE:
        file.write_bytes(b"\xff" * 100_000)
    else:
        with psycopg.connect(database) as connection:
            connection.execute("DROP SCHEMA fieldpost CASCADE" if how == "lost" else "DROP TABLE fieldpost.head")


@pytest.mark.parametrize("how", ["damaged", "lost", "whole"])
def test_everything_is_there_again(hub, database, fill, how):
    boxes = fill()
    wanted = history(hub.folder)
    acks = {box.identity.box: read(hub, box).ack for box in boxes}
    hub.__exit__()
    if how != "whole":
        spoil(hub.folder, database, how)

    rebuilt = rebuild(hub.folder)
    assert (rebuilt.boxes, rebuilt.refused) == (2, ())
    assert history(hub.folder) == wanted
    assert (rebuilt.before is None) == (how == "lost")
    with Hub.open(hub.folder) as again:
        assert {box.identity.box: read(again, box).ack for box in boxes} == acks
        boxes[1].write("chat", {"q": "goes on"})
        for sealed in boxes[1].sealed():
            again.ingest(sealed.path.read_bytes())
        assert read(again, boxes[1]).ack["chat"] == 3


def read(hub, box):
    signed = hub.receipt(box.identity.box)
    return read_receipt(signed, public_bytes(hub.keys.signing), box=box.identity.box, epoch=1)


def test_what_was_shut_out_stays_shut_out(hub, fill):
    boxes = fill()
    hub.revoke(boxes[0].identity.box)
    hub.__exit__()
    rebuild(hub.folder)
    boxes[0].write("chat", {"q": "too late"})
    with Hub.open(hub.folder) as again, pytest.raises(BatchRefused, match="shut out"):
        for sealed in boxes[0].sealed():
            again.ingest(sealed.path.read_bytes())


def test_a_damaged_batch_is_named_and_the_rest_is_there(hub, fill):
    boxes = fill()
    hub.__exit__()
    victim = max((hub.folder / "batches").rglob("*.batch"))
    victim.write_bytes(victim.read_bytes()[:-1] + b"\xff")  # never a signature's last byte
    (told,) = rebuild(hub.folder).refused
    assert told.startswith(victim.name)
    rows, _ = history(hub.folder)
    assert {row[0] for row in rows} == {box.identity.box for box in boxes}


def test_a_running_hub_is_left_alone(hub, fill):
    fill()
    before = history(hub.folder)
    with pytest.raises(HubError, match=r"is running\. Stop it"):
        rebuild(hub.folder)
    assert history(hub.folder) == before


def test_no_keys_no_hub(tmp_path):
    with pytest.raises(HubError, match=r"hub\.json holds the keys"):
        rebuild(tmp_path)


def test_a_box_shut_out_comes_back_with_a_new_token_only(hub, make_box):
    box = make_box()
    hub.admit(box.introduction())
    hub.revoke(box.identity.box)
    with pytest.raises(BatchRefused, match="shut out"):
        hub.admit(box.introduction())
    box.write("chat", {"q": "stolen"})
    (sealed,) = box.sealed()
    with pytest.raises(BatchRefused, match="shut out"):
        hub.ingest(sealed.path.read_bytes())


def test_by_command(hub, fill):
    boxes = fill()
    hub.__exit__()
    name = boxes[0].identity.box

    def run(*words):
        result = CliRunner().invoke(main, [*words, "--data", str(hub.folder)])
        return result.exit_code, result.output

    assert run("revoke", name) == (0, f"{name} is shut out.\n")
    assert run("revoke", "box-aaaaaaaaaaaaaaaa")[0] == 1
    code, output = run("rebuild", "--json")
    assert code == 0
    assert json.loads(output)["boxes"] == 2
    (listed,) = [b for b in json.loads(run("status", "--json")[1])["boxes"] if b["box"] == name]
    assert listed["revoked"]
    assert "shut out" in run("status")[1]


@pytest.mark.parametrize("database", [SQLITE], indirect=True)  # in PostgreSQL that is one transaction
def test_cut_short_between_the_old_database_and_the_new_it_says_so_and_is_done_again(hub, fill):
    fill()
    wanted = history(hub.folder)
    hub.__exit__()
    rebuild(hub.folder)
    (hub.folder / "hub.sqlite").rename(hub.folder / "hub.sqlite.new")
    with pytest.raises(HubError, match="cut short"):
        Hub.open(hub.folder)
    rebuild(hub.folder)
    assert history(hub.folder) == wanted
