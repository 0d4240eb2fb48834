"""A revoked component is disabled as soon as the box sees metadata that say so, whatever becomes of the rest."""

import json
import shutil

import pytest

from appliance.config import Home
from appliance.release import load_release
from bundles.contributors import read_contributors, revoke_component, write_contributors
from bundles.errors import SigningError
from bundles.format.errors import TrustRefused
from installer.cli import main
from installer.errors import HomeRefused, SourceDamaged
from installer.preflight import locked
from installer.revocations import learn, read_revoked
from tests.support.bundle_factory import adapter, make_bundle, make_keys, model

BAD = "adapters/fieldpost/steps-0.1.0"


@pytest.fixture
def keys(tmp_path):
    return make_keys(tmp_path / "ngo")


@pytest.fixture
def installed(keys, tmp_path, home, put):
    put(make_bundle(tmp_path / "1", keys, components=[model(), adapter()]), home)
    return Home(root=home)


def revoke(keys, target=BAD, reason="wrong doses"):
    write_contributors(keys.folder, revoke_component(read_contributors(keys.folder), target, reason))


def stick_without(keys, folder):
    return make_bundle(folder, keys, components=[model()], version="0.2.0")


def test_a_stick_that_installs_brings_the_list(keys, tmp_path, installed, put):
    revoke(keys)
    put(stick_without(keys, tmp_path / "2"), installed.root)
    assert read_revoked(installed.root) == {BAD: "wrong doses"}
    # Also when the box goes back to the release before.
    (installed.root / "current").unlink()
    (installed.root / "current").symlink_to("releases/1")
    assert load_release(installed).revoked == {BAD: "wrong doses"} and not load_release(installed).adapters


def test_a_stick_that_cannot_be_installed_brings_it_too(keys, tmp_path, installed, put):
    revoke(keys)
    stick = make_bundle(tmp_path / "2", keys, components=[model(b"GGUF new")], version="0.2.0")
    for blob in (stick / "blobs/sha256").iterdir():
        if blob.read_bytes().endswith(b"GGUF new"):
            blob.unlink()
    with pytest.raises(SourceDamaged):
        put(stick, installed.root)
    assert not load_release(installed).adapters


def test_metadata_alone_are_enough(keys, tmp_path, installed):
    revoke(keys)
    stick = stick_without(keys, tmp_path / "2")
    for path in stick.iterdir():
        if path.name != "tuf":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    learned = learn(stick, installed.root)
    assert learned.newer and learned.published == "2026-11-24T08:00:00Z"
    assert not load_release(installed).adapters
    assert load_release(installed).number == 1


def test_an_older_list_never_takes_the_place_of_a_newer(keys, tmp_path, installed, put):
    harmless = stick_without(keys, tmp_path / "2")
    revoke(keys)
    learn(stick_without(keys, tmp_path / "3"), installed.root)
    # That stick is newer than what is installed, and older than what this box has seen signed.
    with pytest.raises(TrustRefused, match="is older than what this box already has"):
        put(harmless, installed.root)
    assert read_revoked(installed.root) == {BAD: "wrong doses"}


def test_what_a_box_has_seen_signed_is_its_floor_and_not_what_is_installed(keys, tmp_path, installed, put):
    stick = stick_without(keys, tmp_path / "2")
    assert learn(stick, installed.root).newer
    assert learn(stick, installed.root).newer, "seen twice is not installed"
    put(stick, installed.root)
    assert not learn(stick, installed.root).newer


def test_nothing_is_learnt_while_an_installer_is_at_work(keys, tmp_path, installed):
    with locked(installed.root), pytest.raises(HomeRefused, match="Another installer"):
        learn(stick_without(keys, tmp_path / "2"), installed.root)


def test_what_was_revoked_by_mistake_can_be_given_back(keys, tmp_path, installed):
    revoke(keys)
    learn(stick_without(keys, tmp_path / "2"), installed.root)
    known = json.loads((keys.folder / "contributors.json").read_text())
    (keys.folder / "contributors.json").write_text(json.dumps({**known, "revoked": {}}))
    learn(make_bundle(tmp_path / "3", keys, version="0.3.0"), installed.root)
    assert load_release(installed).adapters.keys() == {"steps"}


def test_a_revoked_component_is_not_signed_again(keys, tmp_path, installed):
    revoke(keys)
    with pytest.raises(SigningError, match=f"{BAD} was revoked"):
        make_bundle(tmp_path / "2", keys, components=[model(), adapter()])


def test_strangers_and_older_metadata_revoke_nothing(keys, tmp_path, installed, put):
    old = stick_without(keys, tmp_path / "2")
    put(make_bundle(tmp_path / "3", keys, components=[model(), adapter()], version="0.3.0"), installed.root)
    with pytest.raises(TrustRefused, match="older"):
        learn(old, installed.root)
    stranger = make_keys(tmp_path / "stranger")
    revoke(stranger)
    with pytest.raises(HomeRefused, match="fingerprint"):
        learn(stick_without(stranger, tmp_path / "4"), installed.root)
    forged = stick_without(stranger, tmp_path / "5")
    shutil.copy(keys.root, forged / "tuf")
    with pytest.raises(TrustRefused):
        learn(forged, installed.root)
    assert read_revoked(installed.root) == {} and load_release(installed).adapters


def test_status_tells(keys, tmp_path, installed, capsys):
    revoke(keys)
    stick = stick_without(keys, tmp_path / "2")
    assert main(["status", "--home", str(installed.root), "--from", str(stick)]) == 0
    shown = capsys.readouterr().out
    assert f"Disabled: {BAD} was taken back by your organisation: wrong doses" in shown
    assert "was signed on 2026-11-24; an update waits there" in shown
    assert main(["status", "--home", str(installed.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["revoked"] == {BAD: "wrong doses"}


def test_a_list_that_rotted_stops_the_installer(keys, tmp_path, installed, put):
    (installed.root / "revoked.json").write_text('{"format": 1}')
    with pytest.raises(HomeRefused, match="may not use any more"):
        put(stick_without(keys, tmp_path / "2"), installed.root)
