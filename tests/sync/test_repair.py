"""A damaged log: what can be read is saved, the rest is named, no number is used twice, and the box goes on."""

import json
import random
import shutil

import pytest

from appliance.hub.ingest import Hub
from appliance.log.store import Log
from appliance.sync.client import export_to_stick, import_from_stick, sync_state
from appliance.sync.repair import repair_log
from tests.sync.parts import batches_at, joined, make_box

PAGE = 4096


@pytest.fixture
def hub(tmp_path):
    with Hub.open(tmp_path / "hub") as opened:
        yield opened


@pytest.fixture
def box(tmp_path, hub):
    return joined(tmp_path / "box", hub)


def write(box, count, stream="chat"):
    box.write(stream, *({"q": f"{stream} {n}", "text": "x" * 300} for n in range(count)))


def carry(hub, box, stick, *, back=True):
    """By stick to the hub, and, unless it is lost on the way, back."""
    from appliance.hub.stick import import_stick

    export_to_stick(box.home, stick)
    import_stick(hub, stick)
    if back:
        import_from_stick(box.home, stick)


def bodies(box, stream="chat"):
    return [json.loads(row.body)["q"] for row in box.rows(stream)]


def page_of(box, text):
    """The page of the log's file on which a text stands."""
    data = box.home.log.read_bytes()
    return data.index(text.encode()) // PAGE


def spoil(path, page, *, count=PAGE):
    with path.open("r+b") as file:
        file.seek(page * PAGE)
        file.write(b"\xff" * count)


def verified(box):
    with Log.open_to_read(box.home.log, box.identity.box) as log:
        return log.verify()


def told(box):
    (one,) = [row for row in (json.loads(row.body) for row in box.rows("audit")) if row["event"] == "repaired"]
    return one


def test_a_sound_log_and_a_box_that_has_not_begun_are_left_alone(box, tmp_path):
    assert repair_log(make_box(tmp_path / "new").home) is None
    write(box, 3)
    before = box.home.log.read_bytes()
    assert repair_log(box.home) is None
    assert box.home.log.read_bytes() == before


def test_what_never_left_the_box_goes_on_under_the_same_history(box):
    write(box, 200)
    write(box, 3, "safety")
    spoil(box.home.log, page_of(box, "chat 100"))
    repaired = repair_log(box.home)
    assert not repaired.new_history
    assert box.identity.epoch == 1
    assert verified(box).ok
    saved = bodies(box)
    assert saved == sorted(set(saved), key=lambda text: int(text.split()[1])), "in order, each once"
    (lost,) = repaired.lost
    first, last = map(int, lost.removeprefix("chat ").split("-"))
    assert first <= 101 <= last
    assert last - first < 30, "one page's worth"
    assert len(saved) == 200 - (last - first + 1)
    assert bodies(box, "safety") == ["safety 0", "safety 1", "safety 2"]
    assert told(box)["lost"] == list(repaired.lost)
    assert repair_log(box.home) is None
    write(box, 1)
    assert verified(box).ok


def test_what_the_hub_has_is_never_numbered_again_and_what_it_lacks_still_arrives(hub, box, tmp_path):
    write(box, 120)
    carry(hub, box, tmp_path)
    write(box, 120)
    box.write("feedback", {"text": "stays at home"}, egress=False)
    spoil(box.home.log, page_of(box, "chat 30"))
    repaired = repair_log(box.home)
    assert repaired.new_history
    assert box.identity.epoch == 2
    assert all(int(number) <= 120 for one in repaired.lost for number in one.removeprefix("chat ").split("-"))
    assert verified(box).ok
    assert len(bodies(box)) == 120, "only what the hub has not acknowledged"
    assert [row.body for row in box.rows("feedback")] != [None], "its body is still here"
    carry(hub, box, tmp_path)
    assert sync_state(box.home).pending == 0
    with hub.storage._tables.reading() as database:
        rows = database.rows("SELECT epoch, count(*) FROM record WHERE stream='chat' GROUP BY epoch ORDER BY epoch")
        texts = database.rows("SELECT body, egress FROM record WHERE stream='feedback'")
    assert rows == [(1, 120), (2, 120)]
    assert texts == [(None, 0)], "what was to stay on the box stays"
    assert (repaired.kept / "log.sqlite").exists()


def test_a_batch_that_arrived_without_a_receipt_is_known_by_its_commitments(hub, box, tmp_path):
    write(box, 60)
    carry(hub, box, tmp_path, back=False)
    spoil(box.home.log, page_of(box, "chat 30"))
    assert repair_log(box.home).new_history
    carry(hub, box, tmp_path)
    with hub.storage._tables.reading() as database:
        ((different,),) = database.rows('SELECT count(DISTINCT "commitment") FROM record WHERE stream=?', ["chat"])
    assert different == 60, "the hub has every record, also those that the box has lost"


@pytest.mark.parametrize("how", ["empty", "missing", "half"])
def test_a_file_that_is_gone_begins_a_new_history_when_the_hub_knows_the_old(hub, box, tmp_path, how):
    write(box, 80)
    carry(hub, box, tmp_path)
    data = box.home.log.read_bytes()
    if how == "missing":
        box.home.log.unlink()
    else:
        box.home.log.write_bytes(
            {"no header": b"\0" * PAGE + data[PAGE:], "empty": b"", "half": data[: len(data) // 2]}[how]
        )
    repaired = repair_log(box.home)
    assert repaired.new_history
    write(box, 2)
    assert verified(box).ok
    carry(hub, box, tmp_path)
    assert sync_state(box.home).pending == 0
    assert batches_at(hub, box) >= 2


def test_a_file_without_its_first_page_is_read_all_the_same(box):
    write(box, 80)
    write(box, 2, "safety")
    spoil(box.home.log, 0)
    repaired = repair_log(box.home)
    assert (repaired.saved, repaired.lost, repaired.new_history) == (82, (), False)
    assert bodies(box) == [f"chat {n}" for n in range(80)]
    assert verified(box).ok


def test_a_plug_pulled_between_the_last_two_steps(box):
    write(box, 40)
    spoil(box.home.log, page_of(box, "chat 20"))
    repair_log(box.home)
    saved = bodies(box)
    box.home.log.rename(box.home.log.with_name("log.mended"))
    assert repair_log(box.home) is None
    assert bodies(box) == saved


def test_whatever_is_spoilt_the_box_goes_on_and_nothing_is_made_up(box, tmp_path):
    write(box, 60)
    write(box, 60, "metric")
    originals = {row.commitment for stream in ("chat", "metric") for row in box.rows(stream)}
    shutil.copytree(box.home.data, tmp_path / "before")
    size = box.home.log.stat().st_size
    for seed in range(25):
        rng = random.Random(seed)
        shutil.rmtree(box.home.data)
        shutil.copytree(tmp_path / "before", box.home.data)
        for _ in range(rng.randrange(1, 4)):
            spoil(box.home.log, rng.randrange(size // PAGE), count=rng.choice([1, 20, 400, PAGE]))
        repaired = repair_log(box.home)
        with Log.open(box.home.log, box.identity.box) as log:
            log.append("chat", {"q": "goes on"})
        if repaired is not None:
            report = verified(box)
            assert report.ok, (seed, report.problem)
            saved = [row.commitment for stream in ("chat", "metric") for row in box.rows(stream)][:-1]
            assert len(set(saved) & originals) >= repaired.saved - 1, seed
