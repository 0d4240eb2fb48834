"""Tests of installer.install: a whole release or none, from sticks in every state."""

import hashlib
import json
import random
import shutil
import subprocess
from datetime import UTC, datetime

import pytest

from bundles.format.errors import BundleError, DamagedFile, TrustRefused
from installer.errors import HomeRefused, NoSpace, NotConfirmed, SourceDamaged
from installer.install import install
from tests.support.bundle_factory import make_bundle, make_keys, model, whole
from tests.support.gguf import holding

SEED = 20261124


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def assert_release_is_whole(home):
    """Every file of the release in use has the bytes that its release.json names."""
    release = home / "current"
    facts = json.loads((release / "release.json").read_bytes())
    checked = 0
    for component in facts["components"]:
        for file in component["files"]:
            data = (release / component["folder"] / file["path"]).read_bytes()
            assert f"sha256:{hashlib.sha256(data).hexdigest()}" == file["digest"]
            checked += 1
    assert checked > 0
    return facts


def test_a_stick_becomes_the_release_in_use(stick, home, put):
    done = put(stick, home)
    assert (done.release, done.bundle, done.changed) == (1, "demo", True)
    facts = assert_release_is_whole(home)
    assert [c["kind"] for c in facts["components"]] == ["model", "adapter", "langpack", "docpack", "evalset"]
    assert str((home / "current").readlink()) == "releases/1"
    weights = home / "current" / "models" / "fieldpost" / "answers" / "answers.gguf"
    assert weights.stat().st_mode & 0o777 == 0o444
    assert files(home / "staging") == []


def test_installing_again_changes_nothing(stick, home, put):
    put(stick, home)
    before = {p: (home / "releases" / p).stat().st_mtime_ns for p in files(home / "releases")}
    state = (home / "state.json").read_bytes()
    done = put(stick, home)
    assert (done.release, done.changed) == (1, False)
    assert {p: (home / "releases" / p).stat().st_mtime_ns for p in files(home / "releases")} == before
    assert (home / "state.json").read_bytes() == state


def test_an_update_makes_a_new_release_and_keeps_the_old(tmp_path, home, keys, put):
    put(make_bundle(tmp_path / "old", keys, components=[model(b"one")]), home)
    new = make_bundle(tmp_path / "new", keys, version="0.2.0", components=[model(b"two")])
    done = put(new, home)
    assert (done.release, done.version) == (2, "0.2.0")
    assert json.loads((home / "state.json").read_bytes())["previous"] == 1
    put(new, home)  # installing the same again does not forget which one was before
    assert json.loads((home / "state.json").read_bytes())["previous"] == 1
    assert (home / "releases" / "1" / "release.json").exists()
    assert assert_release_is_whole(home)["version"] == "0.2.0"


def test_the_signed_installer_is_kept_on_the_box_and_replaced_by_the_next(tmp_path, stick, home, keys, put):
    put(stick, home)
    kept = home / "installer.pyz"
    assert kept.read_bytes() == (stick / "installer.pyz").read_bytes()
    assert kept.stat().st_mode & 0o777 == 0o755
    kept.write_bytes(b"rotten")  # installing again repairs it
    put(stick, home)
    assert kept.read_bytes() == (stick / "installer.pyz").read_bytes()
    put(make_bundle(tmp_path / "new", keys, version="0.1.5", installer=b"a newer one"), home)
    assert kept.read_bytes() == b"a newer one"
    assert not list(home.glob("*.tmp"))


def test_what_a_release_is_made_of_is_kept_with_it_also_where_an_older_installer_did_not(stick, home, put):
    put(stick, home)
    for name in ("NOTICES.txt", "bom.cdx.json"):
        kept = home / "current" / name
        assert kept.read_bytes() == (stick / name).read_bytes()
        kept.unlink()
        done = put(stick, home)
        assert (done.release, done.changed) == (1, False)
        assert kept.read_bytes() == (stick / name).read_bytes()


def test_an_installer_with_other_bytes_than_the_signed_ones_is_never_kept(tmp_path, stick, home, keys, put):
    put(stick, home)
    trusted = (home / "installer.pyz").read_bytes()
    new = make_bundle(tmp_path / "new", keys, version="0.1.6", components=[model(b"six")])
    bad = bytearray((new / "installer.pyz").read_bytes())
    bad[len(bad) // 2] ^= 1
    (new / "installer.pyz").write_bytes(bad)
    with pytest.raises(DamagedFile, match=r"installer\.pyz"):
        put(new, home)
    assert (home / "installer.pyz").read_bytes() == trusted
    assert assert_release_is_whole(home)["version"] == "0.1.0"


def test_an_installer_swapped_after_it_was_verified_is_never_kept(tmp_path, stick, home, keys, put):
    put(stick, home)
    trusted = (home / "installer.pyz").read_bytes()
    new = make_bundle(tmp_path / "new", keys, version="0.1.7", components=[model(b"7")], installer=b"signed")

    def swap(what, done, total):
        if what == "Copying":  # the signatures have been checked by now
            (new / "installer.pyz").write_bytes(b"forged")

    with pytest.raises(DamagedFile, match=r"installer\.pyz"):
        install(new, home, confirm=lambda *_: None, progress=swap)
    assert (home / "installer.pyz").read_bytes() == trusted
    assert str((home / "current").readlink()) == "releases/1"


def test_an_older_stick_is_refused_and_nothing_changes(tmp_path, home, keys, put):
    old = make_bundle(tmp_path / "old", keys, version="0.3.0", components=[model(b"one")])
    put(make_bundle(tmp_path / "new", keys, version="0.4.0", components=[model(b"two")]), home)
    with pytest.raises(TrustRefused, match="older"):
        put(old, home)
    shutil.rmtree(home / "trust" / "metadata")
    with pytest.raises(TrustRefused, match="older"):
        put(old, home)
    assert assert_release_is_whole(home)["version"] == "0.4.0"


def test_another_organisations_stick_is_refused_with_both_fingerprints(tmp_path, stick, home, keys, put):
    put(stick, home)
    others = make_keys(tmp_path / "others")
    foreign = make_bundle(tmp_path / "foreign", others, components=whole())
    with pytest.raises(HomeRefused, match="this stick has the fingerprint") as refused:
        install(foreign, home, confirm=lambda *_: None, progress=lambda *_: None)
    assert others.fingerprint in str(refused.value)
    assert keys.fingerprint in str(refused.value)


def test_a_lost_state_never_means_trusting_whatever_comes_next(stick, home, put):
    put(stick, home)
    (home / "state.json").unlink()
    with pytest.raises(HomeRefused, match="whom this box trusts"):
        put(stick, home)
    (home / "state.json").write_text("{")
    with pytest.raises(HomeRefused, match="cannot be read"):
        put(stick, home)


def test_without_a_confirmed_fingerprint_nothing_is_installed(stick, home):
    def refuse(found, known):
        raise NotConfirmed("no")

    with pytest.raises(NotConfirmed):
        install(stick, home, confirm=refuse, progress=lambda *_: None)
    assert not (home / "current").exists()
    assert files(home / "blobs") == []


def flips(path, chance):
    """Places to flip a bit at: all of a small file's bytes would take minutes; these are seeded."""
    size = path.stat().st_size
    return sorted({0, size - 1, chance.randrange(size)})


def test_any_flipped_byte_is_refused_the_file_named_and_nothing_activated(stick, tmp_path, put):
    chance = random.Random(SEED)
    names = files(stick)
    assert {n.split("/")[0] for n in names} >= {"blobs", "tuf", "installer.pyz", "install.sh", "START-HERE.txt"}
    tried = 0
    for name in names:
        path = stick / name
        good = path.read_bytes()
        for place in flips(path, chance):
            home = tmp_path / f"home-{tried}"
            bad = bytearray(good)
            bad[place] ^= 1 << chance.randrange(8)
            path.write_bytes(bad)
            with pytest.raises(BundleError) as refused:
                install(stick, home, confirm=lambda *_: None, progress=lambda *_: None)
            assert name in str(refused.value), (name, place)
            assert not (home / "current").exists(), (name, place)
            tried += 1
        path.write_bytes(good)
    assert tried > 60
    assert put(stick, tmp_path / "home").changed


def test_any_byte_of_the_signed_metadata_counts(stick, tmp_path):
    # Case of a hex digit, white space, a spelling of a number: JSON forgives much, the installer nothing.
    path = stick / "tuf" / "timestamp.json"
    good = path.read_bytes()
    for place in random.Random(SEED).sample(range(len(good)), 120):
        bad = bytearray(good)
        bad[place] ^= 0x20
        path.write_bytes(bad)
        with pytest.raises(BundleError, match=r"timestamp\.json"):
            install(stick, tmp_path / "home", confirm=lambda *_: None, progress=lambda *_: None)
    assert not (tmp_path / "home" / "current").exists()


def test_damaged_and_missing_files_are_all_named_and_a_second_stick_fills_in(stick, made_stick, home, put):
    index = json.loads((stick / "index.json").read_bytes())
    layers = []
    for entry in index["manifests"]:
        manifest = json.loads((stick / "blobs" / "sha256" / entry["digest"][7:]).read_bytes())
        layers += [layer["digest"][7:] for layer in manifest["layers"]]
    missing, damaged = layers[0], layers[2]
    (stick / "blobs" / "sha256" / missing).unlink()
    path = stick / "blobs" / "sha256" / damaged
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(SourceDamaged) as refused:
        put(stick, home)
    assert missing in str(refused.value)
    assert damaged in str(refused.value)
    assert "another stick" in str(refused.value)
    kept = len(files(home / "blobs"))
    assert kept == len(set(layers)) - 2
    assert not (home / "current").exists()
    for name in set(layers) - {missing, damaged}:  # the second stick needs only the rest
        (stick / "blobs" / "sha256" / name).unlink()
    for name in (missing, damaged):
        shutil.copy(made_stick / "blobs" / "sha256" / name, stick / "blobs" / "sha256" / name)
    assert put(stick, home).changed
    assert_release_is_whole(home)


def test_a_file_that_rotted_on_the_box_is_repaired_by_installing_again(stick, home, put):
    put(stick, home)
    weights = home / "current" / "models" / "fieldpost" / "answers" / "answers.gguf"
    blob = home / "blobs" / "sha256" / hashlib.sha256(weights.read_bytes()).hexdigest()
    blob.chmod(0o644)
    blob.write_bytes(b"rotten weights")
    assert weights.read_bytes() == b"rotten weights"
    put(stick, home)
    assert_release_is_whole(home)


def test_a_half_copied_file_is_taken_up_where_it_stopped(tmp_path, home, keys, put):
    weights = holding(random.Random(SEED).randbytes(5 << 20))
    stick = make_bundle(tmp_path / "big", keys, version="5.0.0", components=[model(weights)])
    part = home / "staging" / f"{hashlib.sha256(weights).hexdigest()}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(weights[: 3 << 20])
    copied = []

    def progress(what, done, total):
        if what == "Copying":
            copied.append(done)

    install(stick, home, confirm=lambda *_: None, progress=progress)
    steps = [after - before for before, after in zip([0, *copied], copied, strict=False)]
    assert 3 << 20 in steps, "what was there already is counted at once"
    assert_release_is_whole(home)


@pytest.mark.parametrize("rest", [b"", b"garbage", b"x" * (7 << 20)])
def test_a_wrong_half_file_costs_one_more_try_at_most(tmp_path, home, keys, put, rest):
    weights = holding(random.Random(SEED).randbytes(5 << 20))
    stick = make_bundle(tmp_path / "big", keys, version="6.0.0", components=[model(weights)])
    part = home / "staging" / f"{hashlib.sha256(weights).hexdigest()}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(rest)
    try:
        put(stick, home)
    except SourceDamaged:
        put(stick, home)
    assert_release_is_whole(home)


@pytest.mark.needs_root
def test_a_full_disk_is_told_before_anything_is_copied(tmp_path, stick, put):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    try:
        with pytest.raises(NoSpace, match="MiB are needed"):
            put(stick, disk / "home")
        assert files(disk / "home" / "blobs") == []
    finally:
        subprocess.run(["umount", disk], check=True)


def test_home_on_the_stick_is_refused(stick, put):
    with pytest.raises(HomeRefused, match="on the stick"):
        put(stick, stick / "home")


def test_two_installers_at_once_do_not_mix(stick, home, put):
    import fcntl

    home.mkdir()
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(HomeRefused, match="Another installer"):
            put(stick, home)


def test_a_bundle_signed_in_any_year_installs_whatever_the_box_believes(tmp_path, home):
    keys = make_keys(tmp_path / "keys", date=datetime(1990, 1, 1, tzinfo=UTC))
    stick = make_bundle(tmp_path / "stick", keys, date=datetime(1990, 1, 1, tzinfo=UTC))
    assert install(stick, home, confirm=lambda *_: None, progress=lambda *_: None).changed


def test_a_stick_without_a_bundle_says_what_is_missing(tmp_path, home, put):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"tuf/1\.root\.json is missing"):
        put(tmp_path / "empty", home)


def test_an_unsigned_extra_file_is_never_touched(stick, home, put):
    (stick / "autorun.sh").write_text("#!/bin/sh\n")
    (stick / "blobs" / "sha256" / "extra").write_bytes(b"x")
    put(stick, home)
    assert "extra" not in " ".join(files(home))


def test_damage_is_its_own_error(stick, home, put):
    (stick / "install.sh").write_text("rm -rf /")
    with pytest.raises(DamagedFile, match=r"install\.sh"):
        put(stick, home)


def test_the_stick_is_compared_with_the_expected_fingerprint_at_every_install(stick, home, put):
    put(stick, home)
    asked = []

    def confirm(found, known):
        asked.append(known)
        raise NotConfirmed("another one was expected")

    with pytest.raises(NotConfirmed):
        install(stick, home, confirm=confirm, progress=lambda *_: None)
    assert asked == [True]


def test_a_release_whose_description_rotted_is_replaced_by_a_new_one(stick, home, put):
    put(stick, home)
    rotten = home / "releases" / "1" / "release.json"
    rotten.write_bytes(b"\0" * 100)
    assert put(stick, home).release == 2
    assert_release_is_whole(home)


def test_a_current_that_is_no_link_is_left_alone(stick, home, put):
    (home / "current").mkdir(parents=True)
    with pytest.raises(HomeRefused, match="not the installer's link"):
        put(stick, home)


def test_two_components_never_share_a_folder(tmp_path, keys, home, put):
    twins = [model(b"one", version="1.0.0"), model(b"two", version="2.0.0")]
    with pytest.raises(BundleError, match="want the folder models/fieldpost/answers"):
        make_bundle(tmp_path / "twins", keys, version="8.0.0", components=twins)


@pytest.mark.needs_root
def test_a_home_across_two_disks_is_refused_before_anything_is_copied(tmp_path, stick, home, put):
    staging = home / "staging"
    staging.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", staging], check=True)
    try:
        with pytest.raises(HomeRefused, match="is on another disk"):
            put(stick, home)
    finally:
        subprocess.run(["umount", staging], check=True)
    assert not (home / "state.json").exists()
