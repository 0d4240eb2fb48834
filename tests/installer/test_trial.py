"""An update is on trial until it lasts; one that never does is gone back on, by counting starts and asking no clock."""

import json

import pytest

from installer.cli import main
from installer.errors import HomeRefused
from installer.trial import TRIES, Trial, begin, keep, read, roll_back
from tests.support.bundle_factory import make_bundle, model


@pytest.fixture
def updated(stick, home, put, keys, tmp_path):
    """A box with release 1, and release 2 just installed over it."""
    put(stick, home)
    put(make_bundle(tmp_path / "two", keys, version="2.0.0", components=[model(b"other")]), home)
    assert in_use(home) == 2
    return home


def in_use(home):
    return int((home / "current").readlink().name)


def test_the_first_release_is_not_on_trial(stick, home, put):
    put(stick, home)
    assert read(home) is None
    assert begin(home).trial is None


def test_a_release_that_never_lasts_is_gone_back_on_after_three_starts(updated):
    for left in (2, 1, 0):
        begun = begin(updated)
        assert (begun.release, begun.trial.tries) == (2, left)
    assert TRIES == 3
    begun = begin(updated)
    assert (begun.release, begun.trial.failed) == (1, True)
    assert in_use(updated) == 1
    assert begin(updated).trial is None, "the old release is not on trial"
    assert in_use(updated) == 1


def test_a_release_that_lasts_is_never_counted_again(updated):
    begin(updated)
    assert keep(updated)
    for _ in range(5):
        assert begin(updated).release == 2
    assert not keep(updated)


def test_what_was_installed_while_another_ran_has_proved_nothing(updated):
    assert not keep(updated)
    assert read(updated) == Trial(release=2, previous=1, tries=TRIES)


def test_power_lost_between_the_count_and_the_switch_counts_nothing(updated):
    (updated / "current").unlink()
    (updated / "current").symlink_to("releases/1")
    for _ in range(5):
        assert begin(updated).trial is None
    assert read(updated) == Trial(release=2, previous=1, tries=TRIES)


def test_power_lost_while_going_back_goes_back_again(updated):
    (updated / "trial.json").write_text(
        json.dumps({"format": 1, "release": 2, "previous": 1, "tries": 0, "failed": False})
    )
    (updated / "current").unlink()
    (updated / "current").symlink_to("releases/1")  # switched, and the file is still the old one
    assert begin(updated).release == 1
    assert in_use(updated) == 1


def test_installing_the_same_stick_again_is_a_new_trial(updated, put, tmp_path):
    for _ in range(TRIES + 1):
        begin(updated)
    assert in_use(updated) == 1
    put(tmp_path / "two", updated)
    assert in_use(updated) == 2
    assert read(updated) == Trial(release=2, previous=1, tries=TRIES)


def test_a_person_goes_back_and_is_told_when_there_is_nothing_to_go_back_to(updated, stick, put, tmp_path):
    assert roll_back(updated) == 1
    assert in_use(updated) == 1
    with pytest.raises(HomeRefused, match="no release before"):
        roll_back(updated)


def test_a_damaged_count_is_told(updated):
    for content in ("", "{}", "[]", '{"format": 1, "release": "2", "previous": 1, "tries": 3, "failed": false}'):
        (updated / "trial.json").write_text(content)
        with pytest.raises(HomeRefused, match=r"trial\.json"):
            begin(updated)


def test_status_tells_of_the_trial(updated, capsys):
    begin(updated)
    assert main(["status", "--home", str(updated)]) == 0
    assert "on trial: 2 starts are left before release 1 comes back" in capsys.readouterr().out
    for _ in range(3):
        begin(updated)
    assert main(["status", "--home", str(updated)]) == 0
    assert "Release 2 did not last" in capsys.readouterr().out
