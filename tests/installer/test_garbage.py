"""Tests of installer.garbage: what goes, what stays, and that a power cut in between costs nothing."""

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from installer.cli import main
from installer.garbage import Removed, collect, collect_after_trial
from installer.preflight import locked
from installer.releases import Releases
from installer.trial import TRIES, begin, keep, roll_back
from tests.support import powercut
from tests.support.bundle_factory import docpack, make_bundle, model, runtime
from tests.support.site import ROOT


@pytest.fixture
def releases(home, put, keys, tmp_path):
    """Makes and installs a bundle that has programs and weights of its own, and documents that all share."""

    def add(number, *, kept=True, version=""):
        stick = tmp_path / f"stick-{number}"
        if not stick.exists():
            parts = [model(f"weights {number}".encode()), docpack(), programs(number)]
            make_bundle(stick, keys, version=version or f"{number}.0.0", components=parts)
        put(stick, home)
        if kept:
            begin(home)
            keep(home)
        return stick

    return add


def programs(number):
    return runtime(entries={"lib/a.py": f"print({number})".encode()})


def lying(home):
    """What lies there: numbers of releases, how many programs, how many files that no whole release names."""
    whole = sorted(int(p.name) for p in (home / "releases").iterdir())
    facts = [json.loads((home / "releases" / str(n) / "release.json").read_bytes()) for n in whole]
    named = {f["digest"].removeprefix("sha256:") for one in facts for c in one["components"] for f in c["files"]}
    blobs = {p.name for p in (home / "blobs/sha256").iterdir()}
    assert named <= blobs, "a release lost a file of its own"
    return SimpleNamespace(
        releases=whole, runtimes=len(list((home / "runtimes").iterdir())), stray=len(blobs - named), blobs=blobs
    )


def test_the_release_in_use_and_the_one_before_stay_with_all_they_link_to(home, releases):
    for number in (1, 2, 3):
        releases(number, kept=number != 3)
    begin(home)
    keep(home)
    before = lying(home)
    assert (before.releases, before.runtimes) == ([1, 2, 3], 3)
    told = collect_after_trial(home)
    after = lying(home)
    assert (after.releases, after.runtimes, after.stray) == ([2, 3], 2, 0)
    assert len(before.blobs - after.blobs) == 2, "its weights and its archive of programs; not the documents all share"
    assert told == "Old releases removed: 1; programs: 1; files: 2."
    assert powercut.state_of(home) == "3.0.0"
    assert roll_back(home) == 2, "the one before can still be put in use"
    assert powercut.state_of(home) == "2.0.0"


def test_nothing_goes_while_a_release_is_on_trial(home, releases):
    for number in (1, 2):
        releases(number)
    releases(3, kept=False)
    assert collect(home) == Removed()
    begin(home)
    assert collect(home) == Removed()
    assert lying(home).releases == [1, 2, 3]


def test_an_install_removes_what_no_trial_needs_before_it_asks_for_room(home, releases):
    releases(1), releases(2), releases(3)
    releases(4, kept=False)
    assert lying(home).releases == [2, 3, 4]


def test_a_release_that_failed_its_trial_stays_until_another_took_its_place(home, releases):
    releases(1)
    releases(2, kept=False)
    for _ in range(TRIES + 1):
        begin(home)
    assert collect(home) == Removed()
    assert lying(home).releases == [1, 2]
    releases(3)
    collect(home)
    assert lying(home).releases == [1, 3]


def test_what_a_pulled_stick_left_is_still_there_for_the_next_try(home, releases, keys, tmp_path):
    releases(1)
    copied = home / "blobs/sha256" / ("a" * 64)
    copied.write_bytes(b"of the bundle that is being installed")
    other = home / "blobs/sha256" / ("b" * 64)
    other.write_bytes(b"of a bundle that nobody installs any more")
    own = home / "blobs/sha256/notes.txt"
    own.write_text("a person's own")
    assert collect(home, coming=[f"sha256:{'a' * 64}"]) == Removed(blobs=1)
    assert copied.exists() and own.exists() and not other.exists()


def test_a_release_made_by_a_run_that_was_ended_is_taken_up_again(home, releases):
    releases(1)
    releases(2, kept=False)
    (home / "trial.json").unlink()  # ended after the release was made, and before it was put on trial and in use
    (home / "current").unlink()
    (home / "current").symlink_to("releases/1")
    assert collect(home, candidate=2) == Removed()
    assert lying(home).releases == [1, 2]


def test_a_start_that_lasts_takes_nothing_of_an_install_that_was_cut_short(home, releases):
    for number in (1, 2, 3):
        releases(number)
    releases(4, kept=False)
    (home / "trial.json").unlink()  # cut short after release 4 was made, and before it was put in use
    (home / "current").unlink()
    (home / "current").symlink_to("releases/3")
    copied = home / "blobs/sha256" / ("a" * 64)
    copied.write_bytes(b"of a bundle of which more is to be copied")
    unpacked = home / "runtimes" / ("a" * 64)
    unpacked.mkdir()
    collect_after_trial(home)
    assert copied.exists() and unpacked.exists()
    assert 4 in {int(path.name) for path in (home / "releases").iterdir()}
    assert collect(home, coming=()).blobs >= 1
    assert not copied.exists() and not unpacked.exists()


def test_a_number_that_is_given_again_has_passed_no_self_test(home, releases):
    releases(1)
    shutil.copytree(home / "releases/1", home / "releases/2")
    (home / "selftests").mkdir(exist_ok=True)
    (home / "selftests/2.json").write_text('{"passed": true}')
    assert collect(home, coming=()).releases == 1
    assert not (home / "selftests/2.json").exists()


def test_where_a_release_that_is_kept_cannot_be_read_nothing_goes(home, releases):
    for number in (1, 2, 3):
        releases(number)
    for damaged in ("", "[]", "{}", '{"components": [{}]}'):
        (home / "releases/3/release.json").unlink()
        (home / "releases/3/release.json").write_text(damaged)
        assert collect(home) == Removed()
    assert {p.name for p in (home / "releases").iterdir()} == {"1", "2", "3"}


def test_it_waits_for_an_installer_that_is_at_work_and_says_so(home, releases):
    for number in (1, 2, 3):
        releases(number)
    with locked(home):
        assert "Another installer" in collect_after_trial(home)
    assert lying(home).releases == [1, 2, 3]


def test_keep_removes_and_says_so(home, releases, capsys):
    for number in (1, 2):
        releases(number)
    releases(3, kept=False)
    begin(home)
    assert main(["keep", "--home", str(home)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "The release in use has proved itself.",
        "Old releases removed: 1; programs: 1; files: 2.",
    ]
    assert main(["keep", "--home", str(home)]) == 0
    assert capsys.readouterr().out == ""


def test_ended_at_every_removal_it_leaves_whole_releases_and_goes_on(home, releases, tmp_path):
    for number in (1, 2, 3):
        releases(number)
    subprocess.run([sys.executable, "-B", "-c", _END_AT_EVERY_REMOVAL, ROOT, home, tmp_path], check=True)
    boxes = sorted(tmp_path.glob("box-*"))
    assert len(boxes) > 15
    begun = 0
    for box in boxes:
        assert powercut.state_of(box) == "3.0.0", box.name
        assert Releases(box).describe(2)["version"] == "2.0.0", box.name
        begun += not (box / "releases/1").exists()
        collect(box, coming=())
        after = lying(box)
        assert (after.releases, after.runtimes, after.stray) == ([2, 3], 2, 0), box.name
    assert begun > 10, "most were ended in the middle of it"


_END_AT_EVERY_REMOVAL = """
import os, subprocess, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from installer.garbage import collect

def end_at(number):
    left = number
    def hook(event, _):
        nonlocal left
        if event in ("os.remove", "os.rename", "os.rmdir"):
            left -= 1
            if left < 0:
                os._exit(9)
    sys.addaudithook(hook)

for number in range(1000):
    box = Path(sys.argv[3]) / f"box-{number:03}"
    subprocess.run(["cp", "-a", sys.argv[2], box], check=True)  # keeps hard links
    child = os.fork()
    if child == 0:
        end_at(number)
        collect(box)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""
