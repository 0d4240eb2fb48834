"""Tests of installer.pyz itself: bare Python, real processes, and pulled plugs."""

import json
import os
import pty
import random
import subprocess
import sys
import time
import zipfile

import pytest

from tests.installer.test_install import SEED, assert_release_is_whole
from tests.support.bundle_factory import make_bundle, model
from tests.support.site import ROOT, installer, run

PYZ = ROOT / "dist" / "installer.pyz"


def test_it_is_the_same_bytes_every_time(tmp_path):
    for name in ("a", "b"):
        run(sys.executable, "-m", "installer.build_pyz", tmp_path / name, env={"PYTHONPATH": str(ROOT)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").stat().st_size < 1_500_000


def test_it_carries_its_parts_licences_and_nothing_of_the_box():
    names = zipfile.ZipFile(PYZ).namelist()
    for package in ("tuf", "securesystemslib", "urllib3"):
        assert any(n.startswith(f"{package}-") and "LICEN" in n.upper() for n in names), package
    assert not [n for n in names if n.startswith(("appliance", "bundles/build"))]


def test_the_wheel_has_no_top_level_installer(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=ROOT, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {"appliance", "bundles"} <= tops
    assert "installer" not in tops


def test_bare_python_installs_and_tells_the_status(made_stick, home, keys):
    done = installer("install", "--from", made_stick, "--home", home, "--fingerprint", keys.fingerprint)
    assert "demo 0.1.0 is now in use" in done.stdout
    assert_release_is_whole(home)
    again = installer("install", "--from", made_stick, "--home", home)
    assert "nothing to do" in again.stdout
    facts = json.loads(installer("status", "--home", home, "--json").stdout)
    assert (facts["release"], facts["root"]) == (1, keys.fingerprint)


def test_nobody_to_ask_means_no_install(made_stick, home, keys):
    done = installer("install", "--from", made_stick, "--home", home, check=False)
    assert done.returncode == 1
    assert f"--fingerprint {keys.fingerprint}" in done.stderr
    assert not (home / "current").exists()


def test_a_wrong_fingerprint_is_refused(made_stick, home):
    done = installer("install", "--from", made_stick, "--home", home, "--fingerprint", "SHA256:no", check=False)
    assert done.returncode == 1
    assert "ask your organisation" in done.stderr


@pytest.mark.parametrize(("typed", "code"), [("right", 0), ("wrong", 1)])
def test_on_a_terminal_a_person_is_asked(made_stick, home, keys, typed, code):
    leader, follower = pty.openpty()
    command = [sys.executable, "-I", "-S", PYZ, "install", "--from", made_stick, "--home", home]
    process = subprocess.Popen(command, stdin=follower, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.write(leader, f"{keys.fingerprint[-8:] if typed == 'right' else 'maybe'}\n".encode())
    out, _ = process.communicate(timeout=60)
    os.close(leader)
    os.close(follower)
    assert process.returncode == code
    assert keys.fingerprint in out
    assert (home / "current").exists() == (code == 0)


@pytest.mark.parametrize(
    "mistake",
    [
        ["install"],
        ["install", "--from", "x"],
        ["install", "--from", "x", "--home", "y", "--force"],
        ["install", "--from", "x", "--home", "y", "--finger", "z"],
        ["remove"],
        [],
    ],
)
def test_mistakes_in_the_command_line_are_exit_2(mistake):
    assert installer(*mistake, check=False).returncode == 2


def test_a_stick_that_is_no_folder_is_said_in_words(tmp_path):
    done = installer("install", "--from", tmp_path / "none", "--home", tmp_path / "home", check=False)
    assert done.returncode == 1
    assert "where the stick is mounted" in done.stderr


def test_pulled_plugs_leave_the_old_release_or_the_new_one_and_the_next_run_ends_well(tmp_path, keys):
    """Real processes, killed at seeded moments spread over a whole update."""
    chance = random.Random(SEED)
    big = [model(chance.randbytes(24 << 20))]
    old = make_bundle(tmp_path / "old", keys, version="7.0.0", components=[model(b"old")])
    new = make_bundle(tmp_path / "new", keys, version="7.1.0", components=big)
    home = tmp_path / "home"
    installer("install", "--from", old, "--home", home, "--fingerprint", keys.fingerprint)
    command = [sys.executable, "-I", "-S", PYZ, "install", "--from", new, "--home", home]

    began = time.monotonic()
    trial = tmp_path / "trial"
    installer("install", "--from", new, "--home", trial, "--fingerprint", keys.fingerprint)
    whole_run = time.monotonic() - began

    outcomes = set()
    for number in range(20):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=whole_run * (number + chance.random()) / 20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        version = assert_release_is_whole(home)["version"]
        assert version in ("7.0.0", "7.1.0")
        outcomes.add(version)
        for release in (home / "releases").iterdir():
            if release.name.isdigit():
                assert (release / "release.json").exists()
    installer("install", "--from", new, "--home", home)
    assert assert_release_is_whole(home)["version"] == "7.1.0"
    assert list((home / "staging").iterdir()) == []
    assert "7.0.0" in outcomes, "no run was killed before its switch: the moments prove nothing"


def test_the_disk_is_synced_before_each_name_that_counts(made_stick, home, keys, tmp_path):
    """Power cuts cannot be had here; what can be seen is the order of the calls: fsync before rename."""
    trace = tmp_path / "trace"
    command = [sys.executable, "-I", "-S", PYZ, "install", "--from", made_stick, "--home", home]
    run("strace", "-f", "-y", "-o", trace, "-e", "trace=fsync,fdatasync,rename,renameat,renameat2",
        *command, "--fingerprint", keys.fingerprint)  # fmt: skip
    synced: set[str] = set()
    renames = 0
    for line in trace.read_text().splitlines():
        if "sync(" in line and line.endswith("= 0"):
            synced.add(line.split("<", 1)[1].split(">", 1)[0])
        elif "rename" in line and line.endswith("= 0"):
            source = line.split('"')[1]
            renames += 1
            if source.endswith((".part", "state.json.tmp", "release.json.tmp", "/1.tmp")):
                assert source in synced, f"{source} was named before it was on the disk"
    assert renames > 10
    assert str(home / "blobs" / "sha256") in synced
