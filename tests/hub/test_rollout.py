"""Releases go out in stages, only what headquarters signed, piece by piece; what fails on a canary goes no further."""

import json
import re
import shutil
from dataclasses import dataclass, field

import pytest
from click.testing import CliRunner

from appliance.errors import HubError, SyncError
from appliance.hub.cli import main
from appliance.hub.ingest import Hub
from appliance.hub.places import SQLITE
from appliance.hub.releases import Releases
from appliance.hub.rollout import CANARIES, EVERYBODY, HALTED, Rollout, Told, progress, wanted
from appliance.hub.wishes import begin, desired, put_in_group, standing
from appliance.log.store import Log
from appliance.sync.budget import Budget
from appliance.sync.client import sync_over_http
from appliance.sync.download import AT_ONCE
from appliance.sync.installer import BoxInstaller
from appliance.sync.transport import HubLink
from appliance.sync.update import FETCH, INSTALL, MOST_TRIES, NEVER, load_desired, note_desired, update
from appliance.sync.wire import public_bytes, read_receipt
from bundles.update import write_update
from tests.support.bundle_factory import docpack, make_bundle, make_keys, model, part
from tests.support.site import ROOT, installer, run, serving

WEIGHTS = bytes(range(256)) * 2000
DAY_S = 86_400


@pytest.fixture(scope="session")
def ngo(tmp_path_factory):
    """Signing keys, a first bundle, a second, and what a site with the first needs for the second."""
    folder = tmp_path_factory.mktemp("ngo")
    keys = make_keys(folder / "keys")
    pyz = (ROOT / "dist" / "installer.pyz").read_bytes()
    guide = "".join(f"Step {n}: boil the water for {n} minutes.\n" for n in range(20_000))

    def made(version, text):
        documents = part("docpack", "guides", {"water.md": text.encode(), "index.sqlite": b"index"},
                         version=version, annotations={"org.fieldpost.language": "en"})  # fmt: skip
        parts = [model(WEIGHTS), documents]
        return make_bundle(folder / version, keys, version=version, components=parts, installer=pyz)

    old, new = made("1.0", guide), made("1.1", guide.replace("minutes", "long minutes", 10))
    write_update(old, new, folder / "update")
    return {"keys": keys, "old": old, "new": new, "update": folder / "update"}


@pytest.fixture
def database():
    """Releases lie in the hub's folder, whichever database it has."""
    return SQLITE


@pytest.fixture
def releases(hub, ngo):
    found = Releases(hub.folder)
    for name in ("old", "new", "update"):
        found.publish(ngo[name], ngo["keys"].fingerprint)
    return found


@dataclass
class Folder:
    """The hub's releases without a wire between; counts what is asked for."""

    releases: Releases
    asked: list[tuple[str, int]] = field(default_factory=list)

    def listing(self, release):
        return json.dumps(self.releases.files(release)).encode()

    def piece(self, release, path, first, count):
        self.asked.append((path, count))
        return self.releases.file(release, path).read_bytes()[first : first + count]


@dataclass
class Trying:
    """A box's installer whose answer is known beforehand."""

    problem: str = ""
    newer: bool = True
    installed: int = 0

    def learn(self, folder):
        assert (folder / "tuf" / "timestamp.json").exists()
        return self.newer

    def install(self, folder):
        self.installed += 1

    def works(self):
        return self.problem


def contact(hub, box):
    """What a sync does: what waits goes to the hub, and its receipt comes back."""
    for sealed in box.sealed() if box.home.log.exists() else ():
        hub.ingest(sealed.path.read_bytes())
    box_key = {"box": box.identity.box, "epoch": box.identity.epoch}
    note_desired(
        box.home, read_receipt(hub.receipt(box.identity.box), public_bytes(hub.keys.signing), **box_key).desired
    )


def take(box, source, trying, *, daily=0, day=0, manner=INSTALL, most=None):
    budget = Budget(box.home.data / "incoming.json", daily, now=lambda: day * DAY_S)
    with Log.open(box.home.log, box.identity.box) as log:
        return update(box.home, source, trying, log.append, manner=manner, budget=budget, most=most)


def test_a_rollout_to_fifty_boxes_stops_by_itself_when_the_canaries_fail(hub, make_box, releases, ngo):
    boxes = [make_box(f"box{n}", admitted=True) for n in range(50)]
    names = [box.identity.box for box in boxes]
    source = Folder(releases)
    begin(hub.folder, hub.storage, "demo 1.0", group="all", canaries=(), tolerate=0)
    begin(hub.folder, hub.storage, "demo 1.1", group="all", canaries=tuple(names[:3]), tolerate=0)
    new = releases.find("demo 1.1").id
    tried = {name: Trying(problem="the model does not load" if name == names[1] else "") for name in names}
    for _ in range(3):
        for box in boxes:
            contact(hub, box)
            if load_desired(box.home).release == new:
                take(box, source, tried[box.identity.box])
    assert {name for name in names if tried[name].installed} == set(names[:3])
    rollout, now = standing(hub.folder, hub.storage)["all"]
    assert (now.stage, now.failed, rollout.before) == (HALTED, (names[1],), releases.find("demo 1.0").id)
    shown = CliRunner().invoke(main, ["rollout", "--data", str(hub.folder)]).output
    assert "demo 1.1, halted" in shown
    assert names[1] in shown


def test_it_goes_on_to_everybody_when_the_canaries_are_well(hub, make_box, releases, ngo):
    boxes = [make_box(f"box{n}", admitted=True) for n in range(4)]
    release = releases.find("demo 1.1").id
    begin(hub.folder, hub.storage, release, group="all", canaries=(boxes[0].identity.box,), tolerate=0)
    source, tried = Folder(releases), Trying()
    for box in reversed(boxes):  # the canary last: nobody else has it in the first round
        contact(hub, box)
        take(box, source, tried)
    assert tried.installed == 1
    for _ in range(2):
        for box in boxes:
            contact(hub, box)
            take(box, source, tried)
    assert tried.installed == 4
    assert len(standing(hub.folder, hub.storage)["all"][1].works) == 4


def test_the_stages():
    rollout = Rollout(release="new", before="old", canaries=("a", "b"), tolerate=1)

    def told(*said):
        return [Told(box=box, works=works, at=(1, n)) for n, (box, works) in enumerate(said)]

    def stage(*said):
        return progress(rollout, told(*said)).stage

    assert stage() == CANARIES
    assert stage(("a", True)) == CANARIES
    assert stage(("a", True), ("b", True)) == EVERYBODY
    assert stage(("a", True), ("b", True), ("c", False)) == EVERYBODY
    assert stage(("a", True), ("b", True), ("c", False), ("d", False)) == HALTED
    assert stage(("a", False), ("a", True), ("b", True)) == HALTED
    halted = progress(rollout, told(("a", True), ("b", False)))
    assert [wanted(rollout, halted, box) for box in "abc"] == ["", "", "old"]
    first = progress(rollout, told(("a", True)))
    assert [wanted(rollout, first, box) for box in "abc"] == ["new", "new", "old"]


def test_a_group_has_its_own_release_and_a_rebuild_forgets_nothing(hub, make_box, releases):
    clinic, school = make_box("clinic", admitted=True), make_box("school", admitted=True)
    hub.admit(clinic.introduction())
    put_in_group(hub.folder, hub.storage, clinic.identity.box, "clinics")
    with pytest.raises(HubError, match="is of the group all"):
        begin(hub.folder, hub.storage, "demo 1.1", group="clinics", canaries=(school.identity.box,), tolerate=0)
    release = begin(hub.folder, hub.storage, "demo 1.1", group="clinics", canaries=(), tolerate=0).release
    assert desired(hub.folder, hub.storage, school.identity.box) == ""
    contact(hub, clinic)
    take(clinic, Folder(releases), Trying(problem="no"))
    contact(hub, clinic)
    hub.__exit__()
    rebuilt = CliRunner().invoke(main, ["rebuild", "--data", str(hub.folder)])
    assert rebuilt.exit_code == 0
    with Hub.open(hub.folder) as again:
        assert standing(again.folder, again.storage)["clinics"][1].failed == (clinic.identity.box,)
        assert again.storage.told(release)[0].works is False


def test_it_comes_in_pieces_within_each_days_bytes_and_only_what_is_not_here(box, releases, ngo, tmp_path):
    installer("install", "--from", ngo["old"], "--home", box.home.root, "--fingerprint", ngo["keys"].fingerprint)
    note_desired(box.home, releases.find("demo 1.1").id)
    source, real = Folder(releases), Quiet(box.home)
    day, daily = 0, 60_000
    while not take(box, source, real, daily=daily, day=day).settled:
        used = json.loads((box.home.data / "incoming.json").read_text())
        assert (used["day"], used["bytes"]) == (day, daily)
        day += 1
        assert day < 40
    assert day > 3
    fetched = {path for path, _ in source.asked}
    whole = sum(releases.files(releases.find("demo 1.1").id).values())
    assert not any(path.startswith("blobs/") and releases.files(releases.find("demo 1.1").id)[path] > 100_000
                   for path in fetched), "the guide came as a delta, the weights were here"  # fmt: skip
    assert sum(count for _, count in source.asked) < whole - len(WEIGHTS)
    assert json.loads(installer("status", "--home", box.home.root, "--json").stdout)["version"] == "1.1"
    assert not (box.home.data / "incoming").exists()
    (said,) = [json.loads(row.body) for row in box.rows("metric")]
    assert (said["event"], said["works"]) == ("release", True)


class Quiet(BoxInstaller):
    """The real installer, on a box whose model is no model."""

    def works(self):
        return ""


def swap(releases, new, folder):
    """A hub that lies: under the release's id lies another bundle."""
    target = releases.find(new).folder
    shutil.rmtree(target)
    shutil.copytree(folder, target)
    (target / "name").write_text(new)


def test_a_hub_that_offers_an_older_or_unsigned_release_is_refused_and_told_so(box, releases, ngo, tmp_path):
    installer("install", "--from", ngo["new"], "--home", box.home.root, "--fingerprint", ngo["keys"].fingerprint)
    strangers = make_bundle(tmp_path / "strangers", make_keys(tmp_path / "others"), components=[model(), docpack()])
    before = (box.home.root / "current").readlink()
    for offered, why in ((ngo["old"], "older|version"), (strangers, "trusts|fingerprint")):
        note_desired(box.home, "")
        swap(releases, "demo 1.1", offered)
        note_desired(box.home, releases.find("demo 1.1").id)
        source = Folder(releases)
        settled = take(box, source, Quiet(box.home))
        assert settled.settled
        assert re.search(why, settled.problem), settled.problem
        assert all(path.startswith("tuf/") for path, _ in source.asked), "nothing else was even asked for"
        assert take(box, source, Quiet(box.home)) == settled, "and it is not asked for again"
    assert (box.home.root / "current").readlink() == before
    assert [json.loads(row.body)["works"] for row in box.rows("metric")] == [False, False]


@pytest.mark.parametrize("victim", ["index.json", "NOTICES.txt", "tuf/2.targets.json", "manifest", "layer"])
def test_one_changed_byte_is_refused_before_anything_is_installed(box, releases, ngo, victim):
    release = releases.find("demo 1.1")
    blobs = sorted((release.folder / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    path = {"manifest": blobs[1], "layer": blobs[-1]}.get(victim, release.folder / victim)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)
    note_desired(box.home, release.id)
    trying = Trying()
    settled = take(box, Folder(releases), trying)
    assert (settled.settled, trying.installed) == (True, 0)
    assert "refused" in settled.problem
    assert not (box.home.data / "incoming").exists()


def test_a_delta_that_misleads_is_put_aside_and_the_file_comes_whole(box, releases, ngo):
    installer("install", "--from", ngo["old"], "--home", box.home.root, "--fingerprint", ngo["keys"].fingerprint)
    release = releases.find("demo 1.1")
    (delta,) = (release.folder / "deltas").iterdir()
    delta.write_bytes(b"x" * delta.stat().st_size)
    note_desired(box.home, release.id)
    with pytest.raises(SyncError):
        take(box, Folder(releases), Quiet(box.home))
    assert take(box, Folder(releases), Quiet(box.home)).problem == ""
    assert json.loads(installer("status", "--home", box.home.root, "--json").stdout)["version"] == "1.1"


def test_what_cannot_be_installed_is_tried_some_times_and_then_told(box, releases):
    class Full(Trying):
        def install(self, folder):
            raise SyncError("The disk is full.")

    note_desired(box.home, releases.find("demo 1.1").id)
    for _ in range(MOST_TRIES - 1):
        with pytest.raises(SyncError, match="full"):
            take(box, Folder(releases), Full())
    assert take(box, Folder(releases), Full()).problem == "The disk is full."


def test_a_site_may_keep_to_sticks_or_only_have_it_brought(box, releases):
    note_desired(box.home, releases.find("demo 1.1").id)
    source, trying = Folder(releases), Trying()
    assert not take(box, source, trying, manner=NEVER).settled
    assert source.asked == []
    assert take(box, source, trying, manner=FETCH).left == 0
    assert (box.home.data / "incoming" / "index.json").exists()
    assert trying.installed == 0
    asked = len(source.asked)
    assert take(box, source, trying).settled
    assert (len(source.asked), trying.installed) == (asked, 1)


def test_a_release_that_came_by_stick_meanwhile_is_not_fetched(box, releases):
    note_desired(box.home, releases.find("demo 1.1").id)
    source, trying = Folder(releases), Trying(newer=False)
    assert take(box, source, trying).problem == ""
    assert all(path.startswith("tuf/") for path, _ in source.asked)


def test_over_http_with_ranges_from_the_first_receipt_on(hub, make_box, releases, ngo):
    with serving("fieldpost-hub", "--data", hub.folder) as server:
        box = make_box(url=server.url)
        begin(hub.folder, hub.storage, "demo 1.1", group="all", canaries=(), tolerate=0)
        box.write("chat", {"q": 1})
        assert load_desired(box.home).release == ""
        sync_over_http(box.home)
        release = releases.find("demo 1.1")
        assert load_desired(box.home).release == release.id
        trying = Trying()
        with HubLink(server.url) as link:
            assert not take(box, link, trying, most=AT_ONCE).settled
            while not take(box, link, trying, most=4 * AT_ONCE).settled:
                pass
            with pytest.raises(SyncError):
                link.listing("0" * 64)
            for path in ("../hub.json", "..%2fhub.json", "name%00", "tuf/../../../hub.json"):
                with pytest.raises(SyncError):
                    link.piece(release.id, path, 0, 10)
        assert trying.installed == 1
        sync_over_http(box.home)
    assert [told.works for told in hub.storage.told(release.id)] == [True]


def test_a_box_does_all_of_it_by_one_command(hub, make_box, releases, ngo):
    """The real installer and the real doctor, who finds that this bundle's model is none, and says so to the hub."""
    with serving("fieldpost-hub", "--data", hub.folder) as server:
        box = make_box(url=server.url)
        root = box.home.root
        installer("install", "--from", ngo["old"], "--home", root, "--fingerprint", ngo["keys"].fingerprint)
        begin(hub.folder, hub.storage, "demo 1.1", group="all", canaries=(), tolerate=0)
        box.write("chat", {"q": 1})
        run("fieldpost", "sync", "run", "--home", root)
        told = json.loads(run("fieldpost", "sync", "update", "--home", root, "--json").stdout)
        assert told["settled"]
        assert told["problem"]
        assert json.loads(installer("status", "--home", root, "--json").stdout)["version"] == "1.1"
        run("fieldpost", "sync", "run", "--home", root)
    assert standing(hub.folder, hub.storage)["all"][1].stage == HALTED


def test_the_hub_gives_out_nothing_that_headquarters_did_not_sign(hub, ngo, tmp_path):
    releases = Releases(hub.folder)
    with pytest.raises(HubError, match="Add: --fingerprint"):
        releases.publish(ngo["old"], None)
    with pytest.raises(HubError, match="not there"):
        releases.publish(ngo["update"], ngo["keys"].fingerprint)
    releases.publish(ngo["old"], ngo["keys"].fingerprint)
    strangers = make_keys(tmp_path / "others")
    other = make_bundle(tmp_path / "other", strangers, components=[model()])
    with pytest.raises(HubError, match="fingerprint"):
        releases.publish(other, strangers.fingerprint)
    changed = shutil.copytree(ngo["new"], tmp_path / "changed")
    victim = max((changed / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    victim.write_bytes(b"x" + victim.read_bytes()[1:])
    with pytest.raises(HubError, match="not whole"):
        releases.publish(changed, None)
    assert [one.name for one in releases.all()] == ["demo 1.0"]


def test_the_commands(hub, make_box, ngo):
    box = make_box(admitted=True)
    cli = CliRunner()

    def ok(*words):
        done = cli.invoke(main, [*map(str, words), "--data", str(hub.folder)])
        assert done.exit_code == 0, done.output
        return done.output

    assert "demo 1.0 can be given out" in ok("publish", ngo["old"], "--fingerprint", ngo["keys"].fingerprint)
    assert "No release" in ok("rollout")
    ok("group", box.identity.box, "clinics")
    assert "waits for box-" in ok("rollout", "demo 1.0", "--group", "clinics", "--canary", box.identity.box)
    assert json.loads(ok("rollout", "--json"))["clinics"]["stage"] == CANARIES
    assert cli.invoke(main, ["rollout", "demo 9", "--data", str(hub.folder)]).exit_code == 1
